"""uvicorn as the room server needs it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from roomkeeper.sfu.limits import Limits

if TYPE_CHECKING:
    import logging
    from collections.abc import Generator

    from starlette.types import ASGIApp

    from roomkeeper.sfu.config import SfuConfig


def is_news(record: logging.LogRecord) -> bool:
    """Drops what uvicorn logs as an error for each WebSocket that was refused with an HTTP answer."""
    return record.getMessage() != "ASGI callable returned without completing handshake."


class WebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, which leaves nothing to the garbage collector."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Lets go of everything (asyncio protocol)."""
        super().connection_lost(exc)
        # The parser is a generator of the connection that holds it (websockets): a circle, with all their buffers.
        self.conn.parser.close()


class HttpServer(uvicorn.Server):
    """uvicorn without its own signal handlers: a stop must reach the clients first."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Captures none."""
        yield


def http_config(config: SfuConfig, app: ASGIApp) -> uvicorn.Config:
    """Returns how uvicorn serves the room server."""
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",  # its INFO lines hold query strings, and those hold access tokens
        access_log=False,
        server_header=False,
        lifespan="off",
        loop="none",
        ws=WebSocket,
        ws_per_message_deflate=False,  # 45 kB for each connection, and signal messages are small
        ws_max_size=Limits().worker_frame_bytes,
        ws_ping_interval=10,
        ws_ping_timeout=None,
        timeout_graceful_shutdown=2,
        ssl_certfile=str(config.tls_cert) if config.tls_cert else None,
        ssl_keyfile=str(config.tls_key) if config.tls_key else None,
    )
