"""Purging: the personal data of an ended session is deleted, the fact that it was stays.

What stays is one row: the ids, the agent's name, times, state, reason, revision of the report. What goes is everything
else: the room's name, the journal (identities, what was said, evidence, the application's metadata and data), other
names, deliveries with their reports, events of the stream, what was still to be done. Facts that come later are
dropped. Nothing else ever takes a line out of a journal.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from starlette.routing import Route

from roomkeeper.control.admin import admin_of
from roomkeeper.control.bodies import answer, bad, read_object
from roomkeeper.control.problems import Problem
from roomkeeper.control.store import tables
from roomkeeper.control.store.rows import body_of, policy_of, session_of
from roomkeeper.control.store.tables import deliveries, outbox, sessions
from roomkeeper.lifecycle.policy import Policy
from roomkeeper.lifecycle.state import Session, State, stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
    from starlette.requests import Request
    from starlette.responses import JSONResponse

    from roomkeeper.control.store.store import Store
    from roomkeeper.control.stream import Stream

logger = logging.getLogger(__name__)

AT_ONCE: Final = 500
"""Sessions that one call purges by age at most."""


def _aged(before: int) -> sa.ColumnElement[bool]:
    """Match sessions that ended before a time and were not purged."""
    columns = sessions.c
    return sa.and_(columns.state == str(State.ENDED), columns.ended_at < before, columns.room != columns.id)


def _done() -> tuple[sa.ColumnElement[bool], ...]:
    """Match sessions of which nothing is on its way; what was given up waits for nothing any more."""
    letters, deeds = deliveries.c, outbox.c
    waiting = (letters.session == sessions.c.id, letters.delivered_at.is_(None), letters.parked_at.is_(None))
    pending = (deeds.session == sessions.c.id, deeds.parked_at.is_(None))
    return sessions.c.unsettled.is_(False), *(~sa.exists().where(*each) for each in (waiting, pending))


class Undone(Exception):
    """A session cannot be purged yet; the message says why."""


def forgotten(session: Session, now: int) -> Session:
    """Return what stays of a session; pure."""
    end = session.end
    return Session(
        id=session.id,
        room=session.id,
        generation=session.generation,
        agent_name=session.agent_name,
        origin=session.origin,
        dispatcher=session.dispatcher,
        policy=Policy(),
        opened_at=session.opened_at,
        since=session.since,
        state=session.state,
        seq=session.seq,
        attendance=session.attendance,
        live_at=session.live_at,
        end=replace(end, because="", detail=None, data=None) if end is not None else None,
        ended_at=session.ended_at,
        report=session.report,
        purged_at=now,
    )


class Purge:
    """Deletes personal data, in one transaction a session.

    Args:
        store: Gives the clock.
        engine: The store's.
        stream: Hears of it.
    """

    def __init__(self, store: Store, engine: AsyncEngine, stream: Stream) -> None:
        self._store = store
        self._engine = engine
        self._stream = stream

    async def purge(self, session: str, *, force: bool = False) -> Session:
        """Purge a session that has ended; one that was purged already stays as it is.

        Args:
            session: Its id.
            force: Also if its report has not reached every receiver, or its room has not been deleted: then they never
                will.

        Raises:
            Undone: It goes on, or something is still to be done and not `force`.
        """
        now = await self._store.now()
        async with self._engine.begin() as connection:
            query = sa.select(sessions.c.body, sessions.c.policy).where(sessions.c.id == session).with_for_update()
            row = (await connection.execute(query)).one()
            found = session_of(row.body, row.policy)
            if found.purged_at is not None:
                return found
            if found.state is not State.ENDED:
                raise Undone(f"{session} is {found.state}: end it first.")
            if not force and await self._undone(connection, found):
                raise Undone(
                    f"The report of {session} is on its way, or its room is still there; later, or with force."
                )
            left = forgotten(found, now)
            await self._delete(connection, left)
        # Its own transaction: the stream's events of this session are gone by now.
        await self._stream.emit(left, "session.purged", {})
        logger.info("session purged", extra={"session": session})
        return left

    async def aged(self, before: int, most: int = AT_ONCE) -> list[str]:
        """Return ids of sessions that ended before a time (milliseconds) and can be purged, the oldest first."""
        columns = sessions.c
        query = sa.select(columns.id).where(_aged(before), *_done()).order_by(columns.ended_at).limit(most)
        async with self._engine.connect() as connection:
            return list((await connection.execute(query)).scalars())

    async def not_done(self, before: int) -> int:
        """Count sessions that ended before a time (milliseconds) and cannot be purged yet."""
        query = sa.select(sa.func.count()).select_from(sessions).where(_aged(before), sa.not_(sa.and_(*_done())))
        async with self._engine.connect() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def _undone(self, connection: AsyncConnection, session: Session) -> bool:
        done = sa.select(sa.func.count()).select_from(sessions).where(sessions.c.id == session.id, *_done())
        return not (await connection.execute(done)).scalar_one()

    async def _delete(self, connection: AsyncConnection, left: Session) -> None:
        if not self._store.postgres:
            # SQLite overwrites what it deletes, here and in its pages, only when told to.
            await connection.execute(sa.text("PRAGMA secure_delete=ON"))
        for table in tables.metadata.sorted_tables:
            if "session" in table.c:
                await connection.execute(sa.delete(table).where(table.c.session == left.id))
        change = {"room": left.room, "policy": policy_of(left), "body": body_of(left), "unsettled": False}
        await connection.execute(sa.update(sessions).where(sessions.c.id == left.id).values(change))


class Purging:
    """The endpoints.

    Args:
        purge: Does it.
        store: The sessions.
        keys: Secret by API key.
    """

    def __init__(self, purge: Purge, store: Store, keys: Mapping[str, str]) -> None:
        self._purge = purge
        self._store = store
        self._keys = keys

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/purge", self.by_age, methods=["POST"]),
            Route("/sessions/{id:path}", self.one, methods=["DELETE"]),
        ]

    async def one(self, request: Request) -> JSONResponse:
        """Purge one session; again, it answers the same.

        Raises:
            Problem: 404 there is none, 409 it goes on, or is not done and not `?force=true`.
        """
        admin = admin_of(request, self._keys)
        name = request.path_params["id"]
        session = await self._store.find(name) if "\x00" not in name else None
        if session is None or not admin.reaches(session, None):
            raise Problem(HTTPStatus.NOT_FOUND, "No session of this id or room is within this token's reach.")
        try:
            left = await self._purge.purge(session.id, force=request.query_params.get("force") == "true")
        except Undone as why:
            raise Problem(HTTPStatus.CONFLICT, str(why)) from None
        return answer({"session": left.id, "purged_at": stamp(left.purged_at or 0)})

    async def by_age(self, request: Request) -> JSONResponse:
        """Purge what ended before a time, some hundreds a call; `more` says whether there are further ones.

        Raises:
            Problem: 400 no such time, 403 a token for one room.
        """
        admin = admin_of(request, self._keys)
        if admin.room:
            raise Problem(HTTPStatus.FORBIDDEN, "Purging by age needs a token without `room`.")
        before = _time((await read_object(request)).get("ended_before"))
        found = await self._purge.aged(before, AT_ONCE)
        purged = 0
        for session in found:
            with suppress(Undone):  # something has come up since: it is counted below
                await self._purge.purge(session)
                purged += 1
        kept = await self._purge.not_done(before)
        return answer({"purged": purged, "not_done": kept, "more": len(found) == AT_ONCE and purged > 0})


def _time(given: object) -> int:
    try:
        moment = datetime.fromisoformat(given if isinstance(given, str) else "")
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise bad("`ended_before` must be a time such as 2026-11-01T00:00:00Z.")
    return int(moment.timestamp() * 1000)
