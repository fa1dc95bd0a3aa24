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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from roomkeeper.control.store.engine import single
from roomkeeper.control.store.ledger import Ask, LostRace, NewRow, Writes
from roomkeeper.control.store.ledger_postgres import PostgresLedger
from roomkeeper.control.store.ledger_sqlite import SqliteLedger
from roomkeeper.control.store.rows import ALARM, Read, action_of, body_of, key_of, line_of, policy_of, session_of
from roomkeeper.control.store.tables import journal, sessions, told
from roomkeeper.errors import RoomkeeperError
from roomkeeper.lifecycle.actions import CancelTimer, Ignored, SetTimer
from roomkeeper.lifecycle.codec import load_event
from roomkeeper.lifecycle.events import AgentAttached, EgressStarted, SessionOpened
from roomkeeper.lifecycle.machine import begin, transition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.store.ledger import Claimed, Ledger, Row
    from roomkeeper.lifecycle.actions import Action
    from roomkeeper.lifecycle.events import Event
    from roomkeeper.lifecycle.state import Session

T = TypeVar("T")

REPEATED_WITHIN = 7 * 24 * 3_600_000
"""Milliseconds for which a source is known again; LiveKit repeats a webhook for minutes, and signs it for five."""

TRIES = 11
"""Times a transaction is begun anew after it lost a race, within about five seconds."""

SESSION = sa.select(sessions.c.id, sessions.c.body, sessions.c.policy)
"""What `Read.session` reads."""


class NoSuchSession(RoomkeeperError):
    """No session has this id; list the sessions to see which there are."""


class IdTaken(RoomkeeperError):
    """A session of another room has this id already; choose another id."""


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
        self._engine, self._slow = single(engine), engine
        self.postgres = engine.dialect.name == "postgresql"
        self._read = Read()
        self._ledger: Ledger = (PostgresLedger if self.postgres else SqliteLedger)(engine, clock)

    # -- telling ------------------------------------------------------------------------------------------------------

    async def open(self, opened: SessionOpened, *events: Event) -> Session:
        """Begin a session, or return the one that has this room and generation.

        Two who open the same at once get the same: whoever comes second finds the first's.

        Args:
            opened: The first line of its journal.
            events: What it is to know from its first moment on; left out if it was there before.

        Raises:
            IdTaken: Its id is that of another room's session.
        """

        def begin_at(now: int) -> tuple[Session, NewRow, Writes]:
            first, later = replace(opened, at=now), [replace(event, at=now) for event in events]
            session, actions = begin(first)
            asked = [actions]
            for event in later:
                session, actions = transition(session, event)
                asked.append(actions)
            new = NewRow(session.room, session.generation, session.agent_name, session.opened_at, policy_of(session))
            return session, new, writes_of(None, session, 0, [first, *later], asked, now)

        session = await self._in_turn(lambda: self._ledger.open(begin_at))
        return session if session is not None else await self._of_room(opened.room, opened.generation)

    async def tell(self, session: str, *events: Event, source: str = "") -> Told:
        """Tell a session what has happened, in order, in one transaction. One that was purged hears nothing any more.

        Args:
            session: Its id.
            events: Facts and requests; their `at` is replaced by the database's clock.
            source: What makes a repetition known, such as a webhook's id; empty: it is never one.

        Raises:
            NoSuchSession: There is none.
        """
        return await self.tell_by(session, lambda _: events, source=source)

    async def tell_by(self, session: str, choose: Callable[[Session], Sequence[Event]], *, source: str = "") -> Told:
        """Tell a session what has happened, where that depends on what it knows already; else as `tell`.

        Args:
            session: Its id.
            choose: Is given the session, locked, and returns what to tell it. Pure: it may run twice.
            source: As of `tell`.

        Raises:
            NoSuchSession: There is none.
        """

        def decide(row: Row | None, repeated: bool, now: int) -> tuple[Told, Writes | None]:  # noqa: FBT001 - see Decide
            if row is None:
                raise NoSuchSession(f"{session!r}.")
            found = self._read.session(session, row.body, row.policy)
            events = () if repeated or found.purged_at is not None else choose(found)
            if not events:
                return Told(found, (), repeated=repeated), None
            moved = found
            timed = [replace(event, at=now) for event in events]
            asked: list[tuple[Action, ...]] = []
            for event in timed:
                moved, actions = transition(moved, event)
                asked.append(actions)
            told = Told(moved, tuple(action for actions in asked for action in actions))
            writes = writes_of(found, moved, row.lines, timed, asked, now)
            self._read.keep(writes.body, moved)
            return told, writes

        return await self._in_turn(lambda: self._ledger.move(session, source, decide))

    # -- reading ------------------------------------------------------------------------------------------------------

    async def get(self, session: str) -> Session:
        """Return a session by its id.

        Raises:
            NoSuchSession: There is none.
        """
        row = await self._in_turn(lambda: self._ledger.read(session))
        if row is None:
            raise NoSuchSession(f"{session!r}.")
        return self._read.session(session, row.body, row.policy)

    async def find(self, name: str) -> Session | None:
        """Return a session by `S_…`, room name (its latest generation), `RM_…`, `AJ_…` or `EG_…`."""
        row = await self._in_turn(lambda: self._ledger.find(name))
        return session_of(row.body, row.policy) if row is not None else None

    async def journal(self, session: str) -> list[SessionOpened | Event]:
        """Return everything that happened to a session, in order."""
        query = sa.select(journal.c.body).where(journal.c.session == session).order_by(journal.c.line)
        async with self._engine.connect() as connection:
            return [load_event(json.loads(body)) for body in (await connection.execute(query)).scalars()]

    async def open_sessions(self) -> list[Session]:
        """Return every session that has not ended."""
        return await self._all(SESSION.where(sessions.c.state != "ended"))

    async def unsettled(self) -> list[Session]:
        """Return every session that goes on, or has ended and still has a room or a report to send."""
        return await self._all(SESSION.where(sessions.c.unsettled.is_(True)))

    async def now(self) -> int:
        """Return the time that transitions go by, in milliseconds."""
        return await self._ledger.now()

    async def _all(self, query: sa.Select[tuple[str, str, str]]) -> list[Session]:
        async with self._slow.connect() as connection:
            rows = (await connection.execute(query.order_by(sessions.c.opened_at))).all()
        return [self._read.session(row.id, row.body, row.policy) for row in rows]

    async def forget_sources(self) -> int:
        """Forget what told something so long ago that it is not repeated any more; returns how many that were."""
        old = sa.delete(told).where(told.c.at < await self.now() - REPEATED_WITHIN)
        async with self._engine.begin() as connection:
            return int((await connection.execute(old)).rowcount)

    # -- the outbox, see there ----------------------------------------------------------------------------------------

    async def claim(self, claim: str, most: int, lease: int) -> list[Claimed]:
        """Claim rows of the outbox; see `Ledger`."""
        return await self._in_turn(lambda: self._ledger.claim(claim, most, lease))

    async def due(self) -> tuple[int, int] | None:
        """Return when a row of the outbox is due next, and the time; see `Ledger`."""
        return await self._in_turn(self._ledger.due)

    async def settle(self, row: int, claim: str, asked: int) -> bool:
        """Drop a row of the outbox that was carried out; see `Ledger`."""
        return await self._in_turn(lambda: self._ledger.settle(row, claim, asked))

    # -- one transaction ----------------------------------------------------------------------------------------------

    async def _in_turn(self, transaction: Callable[[], Awaitable[T]]) -> T:
        for attempt in range(TRIES - 1):
            try:
                return await transaction()
            except LostRace:
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - spreads the tries, hides nothing
        try:
            return await transaction()
        except LostRace as lost:
            raise OperationalError(None, None, lost) from lost

    async def _of_room(self, room: str, generation: int) -> Session:
        query = SESSION.where(sessions.c.room == room, sessions.c.generation == generation)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise IdTaken(f"Room {room!r} has no session {generation}.")
        return session_of(row.body, row.policy)


def writes_of(
    before: Session | None,
    after: Session,
    lines: int,
    events: Sequence[SessionOpened | Event],
    actions: Sequence[Sequence[Action]],
    now: int,
) -> Writes:
    """Say what a transition changes in the database.

    Args:
        before: The session; None if it begins.
        after: What became of it.
        lines: Number of the journal's last line so far.
        events: What was told.
        actions: What each of them asked for.
        now: The time, milliseconds.
    """
    asks: dict[str, Ask | None] = {}
    for number, asked in enumerate(actions, lines + 1):
        for place, action in enumerate(asked):
            if isinstance(action, Ignored):
                continue
            key = key_of(action, f"{number}.{place}")
            if isinstance(action, CancelTimer):
                asks[key] = None
            elif isinstance(action, SetTimer):
                asks[key] = Ask(key, ALARM, action_of(action), action.at)
            else:
                asks[key] = Ask(key, type(action).__name__, action_of(action), now)
    names = [sid for sid in after.sids if before is None or sid not in before.sids]
    names += [event.job for event in events if isinstance(event, AgentAttached)]
    names += [event.egress for event in events if isinstance(event, EgressStarted)]
    return Writes(
        session=after.id,
        state=str(after.state),
        reason=str(after.end.reason) if after.end is not None else None,
        ended_at=after.ended_at,
        unsettled=not (after.settled and after.report and not after.unreported),
        lines=lines + len(events),
        body=body_of(after),
        journal=tuple(map(line_of, events)),
        names=tuple(dict.fromkeys(names)),
        asks=tuple(ask for ask in asks.values() if ask is not None),
        dropped=tuple(key for key, ask in asks.items() if ask is None),
    )
