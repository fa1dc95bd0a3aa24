"""The room server's process: ports, rooms, routes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import secrets
import signal
import time
from collections.abc import AsyncIterator

import uvicorn
from livekit.protocol import models
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute

from roomkeeper.sfu.config import SfuConfig
from roomkeeper.sfu.limits import Limits
from roomkeeper.sfu.media.connection import MediaStack, new_certificate
from roomkeeper.sfu.media.ice import MediaPort
from roomkeeper.sfu.rooms import Rooms
from roomkeeper.sfu.signal import AGENT_PROTOCOL, PROTOCOL, SERVER_VERSION, SignalEndpoint
from roomkeeper.sfu.tombstones import Tombstones

logger = logging.getLogger(__name__)

WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104


class SfuServer:
    """A room server in this process, from `start` to `stop`."""

    def __init__(self, config: SfuConfig) -> None:
        self.config = config
        self.limits = Limits()
        self._media = MediaPort(clock=time.monotonic)
        self._http: uvicorn.Server | None = None
        self.rooms: Rooms | None = None

    async def run(self) -> None:
        """Serves until SIGINT or SIGTERM.

        Raises:
            OSError: A port is taken.
        """
        config = self.config
        await self._media.open(config.host, config.udp_port, config.advertise or (config.host,))
        stack = MediaStack(self._media, new_certificate(), time.monotonic, time.time, lambda *_: None)
        self.rooms = Rooms(config, stack, _NoHooks(), Tombstones(), self.limits)
        self.rooms.dispatcher = _NoDispatch()
        info = models.ServerInfo(
            edition=models.ServerInfo.Standard,
            version=SERVER_VERSION,
            protocol=PROTOCOL,
            node_id="ND_" + secrets.token_hex(6),
            agent_protocol=AGENT_PROTOCOL,
        )
        endpoint = SignalEndpoint(self.rooms, config.keys, self.limits, info)
        app = Starlette(
            routes=[
                Route("/", lambda _: PlainTextResponse("OK"), methods=["GET", "HEAD"]),
                Route("/rtc/validate", endpoint.validate),
                Route("/rtc/v1/validate", endpoint.validate),
                WebSocketRoute("/rtc", endpoint.v0),
                WebSocketRoute("/rtc/v1", endpoint.v1),
            ],
            middleware=[Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])],
        )
        self._http = uvicorn.Server(
            uvicorn.Config(app, host=config.host, port=config.port, log_level="warning", access_log=False,
                           ws_max_size=self.limits.signal_frame_bytes, ws="websockets-sansio")
        )
        clock = asyncio.create_task(self.rooms.run())
        await self._http.serve()
        clock.cancel()


class _NoHooks:
    def notify(self, event): pass


class _NoDispatch:
    def room_opened(self, room, agents): pass
    def participant_joined(self, room, p): pass
    def track_published(self, room, p): pass
    def participant_left(self, room, p): pass
    def room_closed(self, room): pass
