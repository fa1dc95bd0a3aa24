"""The WebSocket of one worker: frames in and out, bounded in size, rate and number."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

from starlette.websockets import WebSocketDisconnect, WebSocketState

from roomkeeper.errors import RoomkeeperError
from roomkeeper.wire.link import MAX_FRAME, InvalidFrame, Refused, read_from_worker, write
from roomkeeper.wire.rates import Rate, TokenBucket

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.websockets import WebSocket

    from roomkeeper.wire.link import FromControl, FromWorker

logger = logging.getLogger(__name__)

FRAMES: Final = Rate(per_second=500, burst=5_000)
"""A worker of a thousand jobs that comes back attaches each and sends what is left of its spools."""
QUEUE: Final = 5_000
"""Frames that may wait for a worker that does not read."""
SILENCE: Final = 15.0
"""Seconds without a frame, heartbeats included, after which nobody is there."""
FLUSH: Final = 1.0
"""Seconds in which a connection that is being closed may still be told why."""

NORMAL: Final = 1000
POLICY_VIOLATION: Final = 1008
INTERNAL_ERROR: Final = 1011
"""RFC 6455, 7.4.1."""


class Misuse(RoomkeeperError):
    """The worker sent what docs/agent-link.md does not allow; its connection is closed."""


class Socket:
    """A worker's connection.

    Args:
        websocket: Accepted.
    """

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._rate = TokenBucket(FRAMES)
        self._outgoing: asyncio.Queue[FromControl | None] = asyncio.Queue(QUEUE)
        self._writer = asyncio.create_task(self._write())
        self._patience: asyncio.Timeout | None = None
        self._why: Misuse | None = None

    def send(self, frame: FromControl) -> None:
        """Queue a frame; a worker that has stopped reading is disconnected."""
        try:
            self._outgoing.put_nowait(frame)
        except asyncio.QueueFull:
            self.stop("The worker does not read.")

    def stop(self, why: str) -> None:
        """End the connection: whoever reads it gets `Misuse`."""
        self._why = self._why or Misuse(why)
        if self._patience is not None and not self._patience.expired():
            with contextlib.suppress(RuntimeError):  # it is not being read just now
                self._patience.reschedule(0)

    async def read(self, *, within: float = SILENCE) -> FromWorker | None:
        """Return the next frame; None for one that is not understood.

        Args:
            within: Seconds.

        Raises:
            Misuse: It is too large, malformed or too much, or nothing came, or `stop` was called.
            WebSocketDisconnect: The connection is over.
        """
        try:
            async with asyncio.timeout(0 if self._why else within) as self._patience:
                event = await self._websocket.receive()
        except TimeoutError:
            raise self._why or Misuse("Nothing was heard for too long.") from None
        return self._frame(event)

    async def close(self, code: int, why: str = "") -> None:
        """Send what is queued, and close; with a reason, the worker is told."""
        if why:
            self.send(Refused(why=why))
        with contextlib.suppress(asyncio.QueueFull):
            self._outgoing.put_nowait(None)
        await asyncio.wait({self._writer}, timeout=FLUSH)
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        if self._websocket.application_state is WebSocketState.CONNECTED:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self._websocket.close(code)

    def abort(self) -> None:
        """Send nothing more: the server is stopping."""
        self._writer.cancel()

    def _frame(self, event: Mapping[str, Any]) -> FromWorker | None:
        if event["type"] != "websocket.receive":
            raise WebSocketDisconnect(event.get("code") or NORMAL)
        if not self._rate.take(now=asyncio.get_running_loop().time()):
            raise Misuse("Too many frames.")
        text: str | None = event.get("text")
        if text is None:
            raise Misuse("Frames are text.")
        if len(text) > MAX_FRAME:  # a character has a byte at least
            raise Misuse(f"A frame may have {MAX_FRAME} bytes.")
        try:
            return read_from_worker(text)
        except InvalidFrame as invalid:
            raise Misuse(invalid.detail) from None

    async def _write(self) -> None:
        try:
            while (frame := await self._outgoing.get()) is not None:
                await self._websocket.send_text(write(frame))
        except (RuntimeError, WebSocketDisconnect):  # RuntimeError: there is something to send after the close
            self.stop("The connection is over.")
