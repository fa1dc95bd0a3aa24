"""The room server's process: its ports, its parts, and how they are put together."""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import signal
import socket
import time
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

import ifaddr
import uvicorn
import uvloop
from livekit.protocol import models
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute

from roomkeeper.errors import ConfigError
from roomkeeper.sfu.limits import Limits
from roomkeeper.sfu.media.connection import MediaStack, new_certificate
from roomkeeper.sfu.media.ice import MediaPort
from roomkeeper.sfu.rooms import Rooms
from roomkeeper.sfu.signal import AGENT_PROTOCOL, PROTOCOL, SERVER_VERSION, SignalEndpoint
from roomkeeper.sfu.tombstones import Tombstones

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from roomkeeper.sfu.config import SfuConfig

logger = logging.getLogger(__name__)

WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to
BACKLOG = 512
FAREWELL = 0.2
"""Seconds that clients get to read their Leave before the ports close."""
GC_THRESHOLDS = (50_000, 50, 100)
"""Rare collections: with the default thresholds one takes over 20 ms as soon as a few dozen rooms are live."""


class SfuServer:
    """A room server in this process.

    Attributes:
        url: Where clients connect, once `started` is set.
    """

    def __init__(self, config: SfuConfig) -> None:
        self.config = config
        self.started = asyncio.Event()
        self.url = ""
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Ends `run`: everybody is told SERVER_SHUTDOWN, then the ports close."""
        self._stop.set()

    async def run(self) -> None:
        """Serves until `stop`.

        Raises:
            ConfigError: A port is taken, or the TLS files cannot be used.
        """
        config = self.config
        listener = _listen(config.host, config.port)
        async with _media_port(config) as media, asyncio.TaskGroup() as group:
            stack = MediaStack(media, new_certificate(), time.monotonic, time.time, lambda *_: None)
            rooms = Rooms(config, stack, _NoHooks(), Tombstones(), Limits())
            rooms.dispatcher = _NoDispatch()
            clock = group.create_task(rooms.run())
            http = _Http(_http_config(config, self._app(rooms)))
            serving = group.create_task(http.serve(sockets=[listener]))
            self.url = f"{'wss' if config.tls_cert else 'ws'}://{config.host}:{listener.getsockname()[1]}"
            self.started.set()
            logger.info("room server ready", extra={"url": self.url, "strict": config.strict})
            await self._stop.wait()
            await rooms.close()
            await asyncio.sleep(FAREWELL)
            http.should_exit = True
            await serving
            clock.cancel()

    def _app(self, rooms: Rooms) -> Starlette:
        info = models.ServerInfo(
            edition=models.ServerInfo.Standard,
            version=SERVER_VERSION,
            protocol=PROTOCOL,
            node_id="ND_" + secrets.token_hex(6),
            agent_protocol=AGENT_PROTOCOL,
        )
        signal_endpoint = SignalEndpoint(rooms, self.config.keys, rooms.limits, info)
        return Starlette(
            routes=[
                Route("/", _health, methods=["GET", "HEAD"]),
                Route("/rtc/validate", signal_endpoint.validate),
                Route("/rtc/v1/validate", signal_endpoint.validate),
                WebSocketRoute("/rtc", signal_endpoint.v0),
                WebSocketRoute("/rtc/v1", signal_endpoint.v1),
            ],
            middleware=[Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])],
        )


async def _health(request: Request) -> Response:
    return PlainTextResponse("OK")


class _Http(uvicorn.Server):
    """uvicorn without its own signal handlers: a stop must reach the clients first."""

    def capture_signals(self) -> AbstractContextManager[None]:
        return nullcontext()


def _http_config(config: SfuConfig, app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",  # its INFO lines hold query strings, and those hold access tokens
        access_log=False,
        server_header=False,
        lifespan="off",
        loop="none",
        ws="websockets-sansio",
        ws_max_size=Limits().worker_frame_bytes,
        ws_ping_interval=10,
        ws_ping_timeout=None,
        timeout_graceful_shutdown=2,
        ssl_certfile=str(config.tls_cert) if config.tls_cert else None,
        ssl_keyfile=str(config.tls_key) if config.tls_key else None,
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), backlog=BACKLOG, family=family)
    except OSError as error:
        raise ConfigError(f"TCP {host}:{port} cannot be used ({error.strerror}); choose another with --port.") from None


@asynccontextmanager
async def _media_port(config: SfuConfig) -> AsyncIterator[MediaPort]:
    media = MediaPort(clock=time.monotonic)
    try:
        await media.open(config.host, config.udp_port, config.advertise or _addresses(config.host))
    except OSError as error:
        where = f"{config.host}:{config.udp_port}"
        raise ConfigError(f"UDP or TCP {where} cannot be used ({error}); choose another with --udp-port.") from None
    try:
        yield media
    finally:
        media.close()


def _addresses(host: str) -> tuple[str, ...]:
    """Returns what clients are told: the host, or every address of the machine behind a wildcard."""
    if host == "localhost":
        return ("127.0.0.1",)
    if host not in WILDCARDS:
        return (host,)
    found = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    return tuple(address for address in found if isinstance(address, str))


def run_forever(config: SfuConfig) -> None:
    """Runs a room server until SIGINT or SIGTERM; see `roomkeeper.sfu.serve`."""

    async def main() -> None:
        server = SfuServer(config)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, server.stop)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        await server.run()

    try:
        uvloop.run(main())
    except* ConfigError as failures:
        raise failures.exceptions[0] from None


class _NoHooks:
    def notify(self, event) -> None:
        pass


class _NoDispatch:
    def room_opened(self, room, agents) -> None:
        pass

    def participant_joined(self, room, p) -> None:
        pass

    def track_published(self, room, p) -> None:
        pass

    def participant_left(self, room, p) -> None:
        pass

    def room_closed(self, room) -> None:
        pass
