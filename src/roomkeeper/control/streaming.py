"""`GET /api/stream`: server-sent events of everything that happens, resumable by `Last-Event-ID`.

Every reader asks the database for what came after the last event it was sent, so it may reconnect to any replica, and a
slow one holds up nobody and fills no memory.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

from anyio import CancelScope
from starlette.responses import StreamingResponse
from starlette.routing import Route

from roomkeeper.control.admin import admin_of
from roomkeeper.control.problems import Problem
from roomkeeper.control.stream import Position
from roomkeeper.lifecycle.state import stamp
from roomkeeper.wire.tokens import LEEWAY

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from starlette.requests import Request
    from starlette.types import Message, Send

    from roomkeeper.control.admin import Admin
    from roomkeeper.control.listing import Listing
    from roomkeeper.control.store.store import Store
    from roomkeeper.control.stream import Happened, Stream

logger = logging.getLogger(__name__)

HEARTBEAT: Final = 15.0
"""Seconds without a word after which a comment says that the connection lives."""
LOOK_AGAIN: Final = 0.5
"""Seconds after which another replica's events are looked for."""
COUNT_EVERY: Final = 1.0
"""Seconds between two counts at least."""
TAKEN_WITHIN: Final = 30.0
"""Seconds that a reader may let the buffers of its connection be full."""
MOST_READERS: Final = 100
"""Of one process."""


class Streaming:
    """The endpoint.

    Args:
        store: Gives the clock.
        stream: What happened.
        listing: Counts sessions.
        keys: Secret by API key.

    Attributes:
        readers: How many are connected.
    """

    def __init__(self, store: Store, stream: Stream, listing: Listing, keys: Mapping[str, str]) -> None:
        self._store = store
        self._stream = stream
        self._listing = listing
        self._keys = keys
        self.readers = 0

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route("/stream", self.endpoint, methods=["GET"])]

    async def endpoint(self, request: Request) -> StreamingResponse:
        """Answer with what happens, until the reader leaves or its token is not taken any more.

        Raises:
            Problem: 401, 403 not an administrator, 400 a filter that is none, 503 too many readers.
        """
        admin = admin_of(request, self._keys)
        session = request.query_params.get("session", "")
        if "\x00" in session:
            raise Problem(HTTPStatus.BAD_REQUEST, "`session` must be the id of a session.")
        if self.readers >= MOST_READERS:
            busy = {"Retry-After": "10"}
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"There are {MOST_READERS} readers already.", busy)
        events = self._events(admin, session, request.headers.get("last-event-id", ""))
        # `X-Accel-Buffering`: a proxy in front must not collect events.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return _Response(events, headers=headers, media_type="text/event-stream")

    async def _events(self, admin: Admin, session: str, last: str) -> AsyncGenerator[str, None]:
        self.readers += 1
        try:
            reader = _Reader(self._store, self._stream, self._listing, admin.room, session)
            async for event in reader.read(Position.parse(last)):
                yield event
                if time.time() > admin.expires_at + LEEWAY:  # as long as a new connection would be taken
                    return
        finally:
            self.readers -= 1


class _Response(StreamingResponse):
    """Sends events for as long as they are taken: a reader that takes none gives its place back."""

    async def stream_response(self, send: Send) -> None:
        async def soon(message: Message) -> None:
            async with asyncio.timeout(TAKEN_WITHIN):
                await send(message)

        async with aclosing(cast("AsyncGenerator[str, None]", self.body_iterator)):
            try:
                await super().stream_response(soon)
            except TimeoutError:  # the server closes a connection whose answer was not finished
                logger.warning("a reader of the stream took nothing", extra={"seconds": TAKEN_WITHIN})


class _Reader:
    """One connection.

    A reader may go at any moment. Queries are shielded from that: a connection to the database that is left in the
    middle of one cannot be used again.
    """

    def __init__(self, store: Store, stream: Stream, listing: Listing, room: str, session: str) -> None:
        self._store = store
        self._stream = stream
        self._listing = listing
        self._room = room
        self._session = session

    async def read(self, last: Position | None) -> AsyncIterator[str]:
        with CancelScope(shield=True):
            resumed = last is not None and await self._stream.keeps(last)
            at = last if last is not None and resumed else await self._stream.head()
        yield await self._counted("snapshot", at, resumed=resumed)
        counted = spoken = time.monotonic()
        stale = False
        while not self._stream.closed:
            changed = self._stream.changed
            with CancelScope(shield=True):
                batch = await self._stream.after(at, room=self._room, session=self._session)
            for happened in batch:
                yield _event(happened)
                at = happened.position
            now = time.monotonic()
            stale = stale or bool(batch)
            if stale and now - counted >= COUNT_EVERY:
                yield await self._counted("counts", None)
                counted, stale = now, False
            elif not batch and now - spoken >= HEARTBEAT:
                yield ": \n\n"
                spoken = now
            if batch:
                spoken = now
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN):  # `wait_for` may lose a cancellation before Python 3.12
                    await changed.wait()

    async def _counted(self, kind: str, at: Position | None, **more: object) -> str:
        with CancelScope(shield=True):
            counts, now = await self._listing.counts(self._room), await self._store.now()
        said = {"type": kind, "at": stamp(now), "counts": counts, **more}
        return _lines(kind, json.dumps(said, separators=(",", ":")), at)


def _event(happened: Happened) -> str:
    # The body is an object that is never empty.
    return _lines(happened.topic, f'{{"id":"{happened.position}",{happened.body[1:]}', happened.position)


def _lines(kind: str, data: str, at: Position | None) -> str:
    """Write an event; JSON as it is written here has no line breaks."""
    number = f"id: {at}\n" if at is not None else ""
    return f"{number}event: {kind}\ndata: {data}\n\n"
