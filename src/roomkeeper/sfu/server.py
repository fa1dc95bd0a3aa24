"""The room server's process: its ports, its parts, and how they are put together."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ifaddr
import uvloop
from livekit.protocol import models
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute

from roomkeeper.errors import ConfigError
from roomkeeper.sfu.api import services
from roomkeeper.sfu.dispatch import Dispatches
from roomkeeper.sfu.host import RoomHost
from roomkeeper.sfu.http import HttpServer, http_config, is_news
from roomkeeper.sfu.limits import Limits
from roomkeeper.sfu.media.certificate import new_certificate
from roomkeeper.sfu.media.connection import MediaStack
from roomkeeper.sfu.media.ice import MediaPort
from roomkeeper.sfu.metrics import Metrics
from roomkeeper.sfu.outage import Outage
from roomkeeper.sfu.rooms import Rooms
from roomkeeper.sfu.signal import AGENT_PROTOCOL, PROTOCOL, SERVER_VERSION, SignalEndpoint
from roomkeeper.sfu.tombstones import Tombstones
from roomkeeper.sfu.twirp import Twirp
from roomkeeper.sfu.webhooks import Webhooks
from roomkeeper.sfu.workers import Workers
from roomkeeper.wire.ids import new_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from roomkeeper.sfu.config import SfuConfig

logger = logging.getLogger(__name__)

WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to
BACKLOG = 512
VANISHED_AFTER = 30_000
"""Milliseconds that sent bytes may stay unacknowledged."""
FAREWELL = 0.2
"""Seconds that clients get to read their Leave before the ports close."""
CORS: dict[str, Any] = {
    "allow_origins": ["*"],
    "allow_methods": ["*"],
    "allow_headers": ["*"],
    "expose_headers": ["*"],
    "max_age": 86400,
}
"""A page of any origin may connect, as with the original: what counts is the token."""
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
            parts = _parts(config, media)
            await parts.webhooks.open()
            http = HttpServer(http_config(config, _app(config, parts)))
            http.config.load()  # its imports take 30 ms: now, not while somebody is being served
            clocks = [group.create_task(parts.rooms.run()), group.create_task(parts.metrics.watch_loop(_held_up))]
            serving = group.create_task(http.serve(sockets=[listener]))
            self.url = f"{'wss' if config.tls_cert else 'ws'}://{config.host}:{listener.getsockname()[1]}"
            self.started.set()
            logger.info("room server ready", extra={"url": self.url, "strict": config.strict})
            await self._stop.wait()
            await parts.rooms.close()
            await asyncio.sleep(FAREWELL)
            http.should_exit = True
            await serving
            await parts.dispatches.close()
            await parts.webhooks.close()
            for clock in clocks:
                clock.cancel()


@dataclass(frozen=True, slots=True)
class _Parts:
    info: models.ServerInfo
    rooms: Rooms
    host: RoomHost
    workers: Workers
    dispatches: Dispatches
    webhooks: Webhooks
    metrics: Metrics


def _parts(config: SfuConfig, media: MediaPort) -> _Parts:
    limits = Limits()
    info = models.ServerInfo(
        edition=models.ServerInfo.Standard,
        version=SERVER_VERSION,
        protocol=PROTOCOL,
        node_id=new_id("ND_"),
        agent_protocol=AGENT_PROTOCOL,
    )
    metrics = Metrics()
    stack = MediaStack(media, new_certificate(), time.monotonic, time.time, metrics.packet)
    key = config.webhook_key or next(iter(config.keys))
    webhooks = Webhooks(
        config.webhooks, api_key=key, secret=config.keys[key], data_dir=_webhook_dir(config), strict=config.strict
    )
    rooms = Rooms(config, stack, webhooks, Tombstones(), limits)
    host = RoomHost(rooms)
    workers = Workers(keys=config.keys, server_info=info, limits=limits, strict=config.strict)
    dispatches = Dispatches(workers, host, limits=limits, strict=config.strict)
    rooms.dispatcher = dispatches
    _measure(metrics, rooms, workers, webhooks)
    metrics.counter("stray_packets", "Packets at the media port from nobody known", lambda: media.dropped)
    metrics.counter("packets_dropped", "Packets beyond their sender's rate", lambda: media.excess)
    return _Parts(info, rooms, host, workers, dispatches, webhooks, metrics)


def _measure(metrics: Metrics, rooms: Rooms, workers: Workers, webhooks: Webhooks) -> None:
    """Names what is read when somebody asks for the metrics."""

    def tracks() -> int:
        return sum(len(person.tracks) for live in rooms for person in live.room.participants.values())

    metrics.gauge("rooms", "Live rooms", lambda: len(rooms))
    metrics.gauge("participants", "Participants", lambda: sum(len(live.room.participants) for live in rooms))
    metrics.gauge("tracks", "Published tracks", tracks)
    metrics.gauge("workers", "Registered agent workers", lambda: len(workers))
    metrics.gauge("webhooks_queued", "Webhooks on their way", lambda: webhooks.queued)
    metrics.counter("webhooks_delivered", "Webhooks delivered", lambda: webhooks.delivered)
    metrics.counter("webhooks_dropped", "Webhooks given up, refused or not queued", lambda: webhooks.dropped)
    metrics.counter("webhook_tries_failed", "Tries that found no receiver", lambda: webhooks.failed_tries)
    metrics.counter("data_bytes_sent", "Bytes of data packets to participants", lambda: rooms.delivered_bytes)


def _held_up(seconds: float, worked: float) -> None:
    extra = {"milliseconds": round(seconds * 1000, 1), "worked_milliseconds": round(worked * 1000, 1)}
    logger.warning("the event loop was held up", extra=extra)


def _webhook_dir(config: SfuConfig) -> Path | None:
    """Returns where undelivered webhooks are kept: as told, else in the user's state folder, one for each port."""
    if config.data_dir is not None or not config.port:
        return config.data_dir
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "roomkeeper" / f"sfu-{config.port}"


def _app(config: SfuConfig, parts: _Parts) -> Starlette:
    limits = parts.rooms.limits
    signal_endpoint = SignalEndpoint(parts.rooms, config.keys, limits, parts.info, parts.metrics)
    offered = services(
        parts.host, parts.dispatches, limits=limits, auto_create=config.auto_create, strict=config.strict
    )
    outage = Outage(parts.rooms, config.keys).routes() if config.outages else ()
    return Starlette(
        routes=[
            Route("/", _health, methods=["GET", "HEAD"]),
            Route("/rtc/validate", signal_endpoint.validate),
            Route("/rtc/v1/validate", signal_endpoint.validate),
            WebSocketRoute("/rtc", signal_endpoint.v0),
            WebSocketRoute("/rtc/v1", signal_endpoint.v1),
            WebSocketRoute("/agent", parts.workers.endpoint),
            Mount("/twirp", Twirp(offered, keys=config.keys, limits=limits)),
            Route("/metrics", parts.metrics.endpoint),
            *outage,
        ],
        middleware=[Middleware(CORSMiddleware, **CORS)],
    )


async def _health(request: Request) -> Response:
    return PlainTextResponse("OK")


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), backlog=BACKLOG, family=family)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Inherited by every connection: a machine that vanished is noticed by the pings it does not acknowledge.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, VANISHED_AFTER)
        return listener
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
        logging.getLogger("uvicorn.error").addFilter(is_news)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        await server.run()

    try:
        uvloop.run(main())
    except* ConfigError as failures:
        raise failures.exceptions[0] from None
