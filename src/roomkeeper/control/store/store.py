"""Moving sessions: one transaction locks the row, runs the transition, writes session, journal and outbox.

1. Only this module calls `lifecycle.transition`. Whoever has something to tell (a webhook, a link, a listing, a
   request, an alarm) calls `Store.tell`; whoever has something to do takes it from the outbox.
2. Locks are taken in one order: the session's row, then its outbox. One session a transaction.
3. The time of an event is the database's, whatever the event carries.
4. A serialization failure or a deadlock is somebody else's turn: try again.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from roomkeeper.control.store.tables import aliases, journal, outbox, sessions, told
from roomkeeper.errors import RoomkeeperError
from roomkeeper.lifecycle.actions import CancelTimer, DeleteRoom, Ignored, LookAtRoom, SetTimer, WriteRoomState
from roomkeeper.lifecycle.codec import dump_action, dump_event, dump_session, load_event, load_session
from roomkeeper.lifecycle.events import AgentAttached, EgressStarted, SessionOpened
from roomkeeper.lifecycle.machine import begin, transition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from roomkeeper.lifecycle.actions import Action
    from roomkeeper.lifecycle.events import Event
    from roomkeeper.lifecycle.state import Session

T = TypeVar("T")

TRIES = 8
"""Times a transaction is begun anew after it lost a race."""
SERIALIZATION_FAILURE, DEADLOCK = "40001", "40P01"
"""SQLSTATEs of PostgreSQL, appendix A."""
ALARM = "timer"


class NoSuchSession(RoomkeeperError):
    """No session has this id; list the sessions to see which there are."""


@dataclass(frozen=True, slots=True)
class Told:
    """What came of telling a session something.

    Attributes:
        session: As it is now.
        actions: What was asked for, `Ignored` included.
        repeated: True if the same source had told it before: nothing was done.
    """

    session: Session
    actions: tuple[Action, ...]
    repeated: bool = False


class Store:
    """The sessions of a database.

    Args:
        engine: From `engine.open_engine`.
        clock: Milliseconds; None (always, outside of tests) asks the database.
    """

    def __init__(self, engine: AsyncEngine, *, clock: Callable[[], int] | None = None) -> None:
        self._engine = engine
        self._clock = clock
        self.postgres = engine.dialect.name == "postgresql"

    # -- telling ------------------------------------------------------------------------------------------------------

    async def open(self, opened: SessionOpened) -> Session:
        """Begin a session, or return the one that has this room and generation.

        Two who open the same at once get the same: whoever comes second finds the first's.
        """

        async def work(connection: AsyncConnection, now: int) -> Session:
            event = replace(opened, at=now)
            session, actions = begin(event)
            insert = (postgresql if self.postgres else sqlite).insert(sessions)
            row = _row(session) | {"id": session.id, "room": session.room, "generation": session.generation, "lines": 1}
            result = await connection.execute(insert.values(row).on_conflict_do_nothing())
            if not result.rowcount:
                return await self._latest(connection, opened.room, opened.generation)
            await connection.execute(sa.insert(journal).values(session=session.id, line=1, at=now, body=_line(event)))
            await self._ask(connection, session, actions, now)
            return session

        return await self._transact(work)

    async def tell(self, session: str, *events: Event, source: str = "") -> Told:
        """Tell a session what has happened, in order, in one transaction.

        Args:
            session: Its id.
            events: Facts and requests; their `at` is replaced by the database's clock.
            source: What makes a repetition known, such as a webhook's id; empty: it is never one.

        Raises:
            NoSuchSession: There is none.
        """

        async def work(connection: AsyncConnection, now: int) -> Told:
            found, lines = await self._lock(connection, session)
            if source and not await self._is_new(connection, source, now):
                return Told(found, (), repeated=True)
            moved = found
            asked: list[Action] = []
            written: list[dict[str, object]] = []
            for event in events:
                timed = replace(event, at=now)
                moved, actions = transition(moved, timed)
                asked += actions
                written.append({"session": session, "line": lines + len(written) + 1, "at": now, "body": _line(timed)})
            if written:
                await connection.execute(sa.insert(journal), written)
                changes = _row(moved) | {"lines": lines + len(written)}
                await connection.execute(sa.update(sessions).where(sessions.c.id == session).values(changes))
                await self._name(connection, session, events, moved)
                await self._ask(connection, moved, asked, now)
            return Told(moved, tuple(asked))

        return await self._transact(work)

    # -- reading ------------------------------------------------------------------------------------------------------

    async def get(self, session: str) -> Session:
        """Return a session by its id.

        Raises:
            NoSuchSession: There is none.
        """
        query = sa.select(sessions.c.body).where(sessions.c.id == session)
        async with self._engine.connect() as connection:
            body = (await connection.execute(query)).scalar_one_or_none()
        if body is None:
            raise NoSuchSession(f"{session!r}.")
        return load_session(json.loads(body))

    async def find(self, name: str) -> Session | None:
        """Return a session by `S_…`, room name (its latest generation), `RM_…`, `AJ_…` or `EG_…`."""
        by_alias = sa.select(aliases.c.session).where(aliases.c.alias == name).scalar_subquery()
        query = (
            sa.select(sessions.c.body)
            .where(sa.or_(sessions.c.id == name, sessions.c.room == name, sessions.c.id == by_alias))
            .order_by(sa.case((sessions.c.id == name, 0), (sessions.c.id == by_alias, 1), else_=2))
            .order_by(sessions.c.generation.desc())
            .limit(1)
        )
        async with self._engine.connect() as connection:
            body = (await connection.execute(query)).scalar_one_or_none()
        return load_session(json.loads(body)) if body is not None else None

    async def journal(self, session: str) -> list[SessionOpened | Event]:
        """Return everything that happened to a session, in order."""
        query = sa.select(journal.c.body).where(journal.c.session == session).order_by(journal.c.line)
        async with self._engine.connect() as connection:
            return [load_event(json.loads(body)) for body in (await connection.execute(query)).scalars()]

    async def open_sessions(self) -> list[Session]:
        """Return every session that has not ended."""
        query = sa.select(sessions.c.body).where(sessions.c.state != "ended").order_by(sessions.c.opened_at)
        async with self._engine.connect() as connection:
            return [load_session(json.loads(body)) for body in (await connection.execute(query)).scalars()]

    async def unsettled(self) -> list[Session]:
        """Return every session that goes on, or has ended and still has a room or a report to send."""
        query = sa.select(sessions.c.body).where(sessions.c.unsettled.is_(True)).order_by(sessions.c.opened_at)
        async with self._engine.connect() as connection:
            return [load_session(json.loads(body)) for body in (await connection.execute(query)).scalars()]

    async def now(self) -> int:
        """Return the time that transitions go by, in milliseconds."""
        async with self._engine.connect() as connection:
            return await self._now(connection)

    # -- one transaction ----------------------------------------------------------------------------------------------

    async def _transact(self, work: Callable[[AsyncConnection, int], Awaitable[T]]) -> T:
        for attempt in range(TRIES):
            try:
                async with self._engine.begin() as connection:
                    return await work(connection, await self._now(connection))
            except DBAPIError as error:
                if attempt == TRIES - 1 or not _is_lost_race(error):
                    raise
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - spreads the tries, hides nothing
        raise AssertionError

    async def _now(self, connection: AsyncConnection) -> int:
        if self._clock is not None:
            return self._clock()
        if not self.postgres:
            return time.time_ns() // 1_000_000  # SQLite runs in this process: its clock is ours
        clock = sa.text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)")
        return int((await connection.execute(clock)).scalar_one())

    async def _lock(self, connection: AsyncConnection, session: str) -> tuple[Session, int]:
        # SQLite ignores FOR UPDATE; its BEGIN IMMEDIATE has locked everything already.
        query = sa.select(sessions.c.body, sessions.c.lines).where(sessions.c.id == session).with_for_update()
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise NoSuchSession(f"{session!r}.")
        return load_session(json.loads(row.body)), row.lines

    async def _latest(self, connection: AsyncConnection, room: str, generation: int) -> Session:
        query = sa.select(sessions.c.body).where(sessions.c.room == room, sessions.c.generation == generation)
        return load_session(json.loads((await connection.execute(query)).scalar_one()))

    async def _is_new(self, connection: AsyncConnection, source: str, now: int) -> bool:
        insert = (postgresql if self.postgres else sqlite).insert(told)
        result = await connection.execute(insert.values(source=source, at=now).on_conflict_do_nothing())
        return bool(result.rowcount)

    async def _name(self, connection: AsyncConnection, session: str, events: Sequence[Event], moved: Session) -> None:
        names = set(moved.sids)
        names |= {event.job for event in events if isinstance(event, AgentAttached)}
        names |= {event.egress for event in events if isinstance(event, EgressStarted)}
        if names:
            insert = (postgresql if self.postgres else sqlite).insert(aliases)
            rows = [{"alias": name, "session": session} for name in sorted(names)]
            await connection.execute(insert.on_conflict_do_nothing(), rows)

    async def _ask(self, connection: AsyncConnection, session: Session, actions: Sequence[Action], now: int) -> None:
        insert = (postgresql if self.postgres else sqlite).insert(outbox)
        for action in actions:
            match action:
                case Ignored():
                    continue
                case CancelTimer(kind=kind):
                    key = f"{ALARM}:{kind}"
                    await connection.execute(
                        sa.delete(outbox).where(outbox.c.session == session.id, outbox.c.key == key)
                    )
                    continue
                case SetTimer(kind=kind, at=due):
                    key, kind_name = f"{ALARM}:{kind}", ALARM
                case WriteRoomState() | LookAtRoom() | DeleteRoom():
                    key, due, kind_name = type(action).__name__, now, type(action).__name__
                case _:
                    kind_name, due = type(action).__name__, now
                    key = f"{kind_name}:{session.seq}:{json.dumps(dump_action(action), sort_keys=True)}"[:255]
            fresh = {
                "kind": kind_name,
                "body": json.dumps(dump_action(action)),
                "due_at": due,
                "claim": None,
                "claimed_until": 0,
                "tries": 0,
                "asked_at": now,
                "parked_at": None,
                "error": None,
            }
            statement = insert.values(session=session.id, key=key, **fresh)
            await connection.execute(statement.on_conflict_do_update(index_elements=["session", "key"], set_=fresh))


def _row(session: Session) -> dict[str, object]:
    return {
        "agent_name": session.agent_name,
        "state": str(session.state),
        "reason": str(session.end.reason) if session.end is not None else None,
        "opened_at": session.opened_at,
        "ended_at": session.ended_at,
        "unsettled": not (session.settled and session.report and not session.unreported),
        "body": json.dumps(dump_session(session), separators=(",", ":")),
    }


def _line(event: SessionOpened | Event) -> str:
    return json.dumps(dump_event(event), separators=(",", ":"))


def _is_lost_race(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    return state in {SERIALIZATION_FAILURE, DEADLOCK} or "database is locked" in str(error.orig)
