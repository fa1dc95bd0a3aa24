"""uvicorn as the room server needs it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
import websockets.http11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from roomkeeper.sfu.limits import Limits

if TYPE_CHECKING:
    import asyncio
    import logging
    from collections.abc import Generator

    from starlette.types import ASGIApp

    from roomkeeper.sfu.config import SfuConfig


HEAD_WITHIN = 10.0
"""Seconds that a client has to send the head of its first request, and of each that follows."""

# The library's own knob is an environment variable that it reads when it is imported. Its 8 kB are less than the URL of
# a client whose token holds some metadata.
websockets.http11.MAX_LINE_LENGTH = Limits().head_bytes


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


class Http(H11Protocol):
    """uvicorn's HTTP, which waits for nobody's request for ever: each connection held open costs a descriptor."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begins to wait (asyncio protocol)."""
        super().connection_made(transport)
        self._wait()

    def handle_events(self) -> None:
        """Waits no longer once a whole head has come."""
        cycle, scope = self.cycle, self.scope
        super().handle_events()
        if self.cycle is not cycle or self.scope is not scope:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Begins to wait for the next request."""
        self._wait()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the wait (asyncio protocol)."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(HEAD_WITHIN, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


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
        http=Http,
        h11_max_incomplete_event_size=Limits().head_bytes,
        ws=WebSocket,
        ws_per_message_deflate=False,  # 45 kB for each connection, and signal messages are small
        ws_max_size=Limits().worker_frame_bytes,
        ws_ping_interval=10,
        ws_ping_timeout=None,
        timeout_graceful_shutdown=2,
        ssl_certfile=str(config.tls_cert) if config.tls_cert else None,
        ssl_keyfile=str(config.tls_key) if config.tls_key else None,
    )
