"""Runs the control plane."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from roomkeeper.control.app import create_app
from roomkeeper.control.plane import run_plane
from roomkeeper.wire.link import MAX_FRAME

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from roomkeeper.control.adoption import Adopters
    from roomkeeper.control.config import ControlConfig

logger = logging.getLogger(__name__)

GRACE = 3
"""Seconds that open requests get when the server is told to stop."""


def serve(config: ControlConfig, adopters: Adopters) -> None:
    """Keep sessions, and answer for them, until SIGINT or SIGTERM.

    Args:
        config: With a database.
        adopters: Which rooms are kept.

    Raises:
        ConfigError: The database or a receiver cannot be used.
    """
    asyncio.run(_serve(config, adopters))


async def _serve(config: ControlConfig, adopters: Adopters) -> None:
    async with run_plane(config.plane(adopters)) as plane:
        settings = uvicorn.Config(
            create_app(config, plane),
            host=config.host,
            port=config.port,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=MAX_FRAME,
            timeout_graceful_shutdown=GRACE,
        )
        server = _Server(settings, plane.stream.close)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, server.stop)
        await server.serve()


class _Server(uvicorn.Server):
    """Says where it listens, and leaves signals to us: uvicorn raises them again before the plane could be closed."""

    def __init__(self, settings: uvicorn.Config, let_go: Callable[[], None]) -> None:
        super().__init__(settings)
        self._let_go = let_go

    def stop(self) -> None:
        """Finish open requests, then return; streams would never finish by themselves."""
        self._let_go()
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        for server in self.servers if self.started else ():
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                logger.info("control plane listens", extra={"host": host, "port": port})
