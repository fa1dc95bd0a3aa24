"""The WebSocket of one agent worker: frames in and out, bounded in size, rate and number.

Binary frames are protobuf. A text frame is JSON and is answered in JSON until the next binary one.

Source: livekit-server `pkg/service/wsprotocol.go`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from livekit.protocol import agent
from starlette.websockets import WebSocketDisconnect

from roomkeeper.errors import RoomkeeperError
from roomkeeper.sfu.limits import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.websockets import WebSocket

    from roomkeeper.sfu.limits import Limits

logger = logging.getLogger(__name__)

QUEUE: Final = 2000
"""Messages that may wait for a worker that does not read."""

_NORMAL: Final = 1000
_POLICY_VIOLATION: Final = 1008
_INTERNAL_ERROR: Final = 1011


class Misuse(RoomkeeperError):
    """The worker sent what the protocol does not allow; its connection is closed."""


class WorkerLink:
    """A worker's connection, from `run` to its end."""

    def __init__(self, websocket: WebSocket, limits: Limits) -> None:
        self._websocket = websocket
        self._most_bytes = limits.worker_frame_bytes
        self._rate = TokenBucket(limits.worker_messages)
        self._outgoing: asyncio.Queue[agent.ServerMessage] = asyncio.Queue(QUEUE)
        self._json = False
        self._over = asyncio.Event()
        self._code = _NORMAL
        self._tasks: set[asyncio.Task[None]] = set()
        self._group = asyncio.TaskGroup()

    async def run(self, serve: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `serve` until it is done or the connection has ended; then end what was spawned and close."""
        async with self._group:
            self.spawn(self._guard(serve))
            self.spawn(self._write())
            await self._over.wait()
            for task in self._tasks:
                task.cancel()
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await self._websocket.close(self._code)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task that lives no longer than the connection."""
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def send(self, message: agent.ServerMessage) -> None:
        """Queue a message; a worker that has stopped reading is disconnected."""
        try:
            self._outgoing.put_nowait(message)
        except asyncio.QueueFull:
            logger.warning("worker does not read, disconnected")
            self._over.set()

    async def read(self) -> agent.WorkerMessage:
        """Return the next message.

        Raises:
            Misuse: it is too large, too soon or malformed.
            WebSocketDisconnect: there is none.
        """
        event = await self._websocket.receive()
        if event["type"] != "websocket.receive":
            raise WebSocketDisconnect(event.get("code", _NORMAL))
        if not self._rate.take(now=asyncio.get_running_loop().time()):
            raise Misuse("Too many messages.")
        text: str | None = event.get("text")
        frame: bytes = event.get("bytes") or b""
        self._json = text is not None
        # A character has a byte at least, so that a huge text is refused before it is encoded.
        if max(len(frame), len(text or "")) > self._most_bytes:
            raise Misuse(f"A frame exceeds {self._most_bytes} bytes.")
        message = agent.WorkerMessage()
        try:
            if text is None:
                message.ParseFromString(frame)
            else:
                json_format.Parse(text, message, ignore_unknown_fields=True)
        except (DecodeError, json_format.ParseError, ValueError, RecursionError):
            # The library's words may quote what was sent.
            raise Misuse("A frame is malformed.") from None
        return message

    async def _write(self) -> None:
        try:
            while True:
                message = await self._outgoing.get()
                if self._json:
                    await self._websocket.send_text(json_format.MessageToJson(message, indent=None))
                else:
                    await self._websocket.send_bytes(message.SerializeToString())
        except (RuntimeError, WebSocketDisconnect):
            # RuntimeError: something to send after the close.
            self._over.set()

    async def _guard(self, serve: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `serve`; whatever fails in it ends this connection and nothing else."""
        try:
            await serve()
        except WebSocketDisconnect:
            pass
        except Misuse as misuse:
            logger.warning("worker refused", extra={"why": misuse.detail})
            self._code = _POLICY_VIOLATION
        except TimeoutError:
            logger.warning("worker did not register in time")
            self._code = _POLICY_VIOLATION
        except Exception:
            logger.exception("worker connection failed")
            self._code = _INTERNAL_ERROR
        finally:
            self._over.set()
