"""Transitions in SQLite: whole transactions, one after the other, right in the event loop.

Each takes some tenths of a millisecond, less than to hand it to a thread and back: it waits for no disk, since only the
checkpoints of `engine` do, and for no lock, since it holds the only connection. Those who come at once share the way to
the connection (`together`), `MOST` at a time, and then it is everybody else's turn. Each is a transaction of its own.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar, cast

import aiosqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.util import greenlet_spawn

from roomkeeper.control.store.ledger import Claimed, LostRace, Row
from roomkeeper.control.store.together import Together

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from threading import Thread

    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.store.ledger import Begin, Decide, Writes

T = TypeVar("T")

Work: TypeAlias = "Callable[[sqlite3.Connection, int], T]"
"""What a transaction does; is given the connection and the time."""
Outcome: TypeAlias = "tuple[object, Exception | None]"
"""What a transaction returned, or what it raised."""

THREAD_WAIT = 10_000
"""Milliseconds that a statement in the thread waits for somebody who has the file locked from outside."""
LOOP_WAIT = 50
"""The same of a single statement in the event loop. A transaction here does not wait, and is begun anew later."""
MOST = 16
"""Transactions between two turns of everybody else on the event loop."""

TOLD = "INSERT INTO told (source, at) VALUES (?, ?) ON CONFLICT DO NOTHING"
FIND = "SELECT body, policy, lines FROM sessions WHERE id = ?"
READ_NAMED = """
SELECT body, policy, lines FROM (
    SELECT 0 AS rank, generation, body, policy, lines FROM sessions WHERE id = ?1
    UNION ALL
    SELECT 1, generation, body, policy, lines FROM sessions JOIN aliases ON session = id WHERE alias = ?1
    UNION ALL
    SELECT 2, generation, body, policy, lines FROM sessions WHERE room = ?1
) ORDER BY rank, generation DESC LIMIT 1
"""
CLAIM = """
UPDATE outbox SET claim = ?1, claimed_until = ?4 + ?3 WHERE id IN (
    SELECT id FROM outbox WHERE due_at <= ?4 AND claimed_until <= ?4 AND parked_at IS NULL
    ORDER BY due_at, id LIMIT ?2
) RETURNING id, session, body, claim, asked, tries, due_at
"""
DUE = "SELECT due_at FROM outbox WHERE parked_at IS NULL AND claimed_until <= ? ORDER BY due_at LIMIT 1"
SETTLE = "DELETE FROM outbox WHERE id = ? AND claim = ? AND asked = ?"
FREE = "UPDATE outbox SET claim = NULL, claimed_until = 0 WHERE id = ? AND claim = ?"
OPEN = """
INSERT INTO sessions (id, room, generation, agent_name, opened_at, policy, state, unsettled, lines, body)
VALUES (?, ?, ?, ?, ?, ?, '', TRUE, 0, '') ON CONFLICT DO NOTHING
"""
MOVE = "UPDATE sessions SET state = ?, reason = ?, ended_at = ?, unsettled = ?, lines = ?, body = ? WHERE id = ?"
LINE = "INSERT INTO journal (session, line, at, body) VALUES (?, ?, ?, ?)"
NAME = "INSERT INTO aliases (alias, session) VALUES (?, ?) ON CONFLICT DO NOTHING"
DROP = "DELETE FROM outbox WHERE session = ? AND key = ?"
ASK = """
INSERT INTO outbox (session, key, kind, body, due_at, asked_at, claimed_until, tries) VALUES (?, ?, ?, ?, ?, ?, 0, 0)
ON CONFLICT (session, key) DO UPDATE SET kind = excluded.kind, body = excluded.body, due_at = excluded.due_at,
    asked_at = excluded.asked_at, asked = asked + 1, tries = 0, parked_at = NULL, error = NULL
"""


class Connection(aiosqlite.Connection):
    """A connection that whoever has it to himself may also use without its thread.

    Handing a statement to the thread and back takes longer than most statements, and as long as it is under way,
    everybody else waits for the connection.
    """

    def __init__(self, path: str) -> None:
        super().__init__(lambda: sqlite3.connect(path, check_same_thread=False), iter_chunk_size=64)
        # A process that ends by an error must not wait for this thread; before 0.22 the connection is the thread.
        cast("Thread", getattr(self, "_thread", self)).daemon = True
        self._inline = False

    async def _execute(self, fn: Callable[..., object], *args: object, **kwargs: object) -> object:
        """Do what the driver would have its thread do."""
        if self._inline:
            return fn(*args, **kwargs)
        return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]

    def __await__(self) -> Generator[Any, None, Self]:
        """Open it."""
        return cast("Generator[Any, None, Self]", super().__await__())

    def use(self, *, inline: bool, wait: int) -> sqlite3.Connection:
        """Begin to use it; returns what is behind it.

        Args:
            inline: Whether statements of SQLAlchemy run right in the event loop.
            wait: Milliseconds for somebody who has the file locked from outside.
        """
        self._inline = inline
        self._conn.execute(f"PRAGMA busy_timeout = {wait}")
        return self._conn


class SqliteLedger:
    """The ledger in a SQLite file.

    Args:
        engine: With one connection, a `Connection`.
        clock: Milliseconds.
    """

    def __init__(self, engine: AsyncEngine, clock: Callable[[], int] | None = None) -> None:
        self._engine = engine
        # SQLite runs in this process: its clock is ours.
        self._clock = clock or (lambda: time.time_ns() // 1_000_000)
        self._transactions: Together[Work[Any], Outcome] = Together(self._run, MOST)

    async def now(self) -> int:
        """Return the clock that transitions go by, in milliseconds."""
        return self._clock()

    async def move(self, session: str, source: str, decide: Decide[T]) -> T:
        """Lock a session, decide what becomes of it, and write that; see `Ledger`."""

        def work(database: sqlite3.Connection, now: int) -> T:
            repeated = bool(source) and not database.execute(TOLD, (source, now)).rowcount
            answer, writes = decide(_row(database.execute(FIND, (session,))), repeated, now)
            if writes is not None:
                _write(database, writes, now)
            return answer

        return await self._transact(work)

    async def open(self, begin: Begin[T]) -> T | None:
        """Write a new session; see `Ledger`."""

        def work(database: sqlite3.Connection, now: int) -> T | None:
            answer, new, writes = begin(now)
            row = (writes.session, new.room, new.generation, new.agent_name, new.opened_at, new.policy)
            if not database.execute(OPEN, row).rowcount:
                return None
            _write(database, writes, now)
            return answer

        return await self._transact(work)

    async def read(self, session: str) -> Row | None:
        """Return a session's row by its id; see `Ledger`."""
        return await self._transact(lambda database, _: _row(database.execute(FIND, (session,))))

    async def find(self, name: str) -> Row | None:
        """Return a session's row by any of its names; see `Ledger`."""
        return await self._transact(lambda database, _: _row(database.execute(READ_NAMED, (name,))))

    async def claim(self, claim: str, most: int, lease: int) -> list[Claimed]:
        """Claim rows of the outbox; see `Ledger`."""

        def work(database: sqlite3.Connection, now: int) -> list[Claimed]:
            return [Claimed(*row) for row in database.execute(CLAIM, (claim, most, lease, now)).fetchall()]

        return sorted(await self._transact(work), key=lambda row: (row.due_at, row.id))

    async def due(self) -> tuple[int, int] | None:
        """Return when a row of the outbox is due next; see `Ledger`."""

        def work(database: sqlite3.Connection, now: int) -> tuple[int, int] | None:
            row = database.execute(DUE, (now,)).fetchone()
            return (row[0], now) if row is not None else None

        return await self._transact(work)

    async def settle(self, row: int, claim: str, asked: int) -> bool:
        """Drop a row of the outbox that was carried out; see `Ledger`."""

        def work(database: sqlite3.Connection, _: int) -> bool:
            if database.execute(SETTLE, (row, claim, asked)).rowcount:
                return True
            database.execute(FREE, (row, claim))
            return False

        return await self._transact(work)

    async def _transact(self, work: Work[T]) -> T:
        """Run a transaction, from BEGIN to COMMIT.

        Raises:
            LostRace: Another process has the file locked.
            OperationalError: The database failed.
        """
        answer, error = await self._transactions.ask(work)
        if error is None:
            return cast("T", answer)
        if isinstance(error, sqlite3.Error):
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise LostRace from error
            raise OperationalError(None, None, error) from error
        raise error

    async def _run(self, works: Sequence[Work[object]]) -> Sequence[Outcome]:
        # Of the pool, and nothing more: a connection of SQLAlchemy would cost as much as a transition.
        connection = await self._engine.raw_connection()
        try:
            database = cast("Connection", connection.driver_connection).use(inline=True, wait=0)
            outcomes = [_outcome(database, work, self._clock) for work in works]
        finally:
            await greenlet_spawn(connection.close)
        await asyncio.sleep(0)
        return outcomes


def _outcome(database: sqlite3.Connection, work: Work[object], clock: Callable[[], int]) -> Outcome:
    try:
        database.execute("BEGIN IMMEDIATE")
        answer = work(database, clock())
        database.execute("COMMIT")
    except Exception as error:  # noqa: BLE001 - it is the caller's
        if database.in_transaction:
            database.execute("ROLLBACK")
        return None, error
    return answer, None


def _row(found: sqlite3.Cursor) -> Row | None:
    row = found.fetchone()
    return Row(*row) if row is not None else None


def _write(database: sqlite3.Connection, writes: Writes, now: int) -> None:
    session = writes.session
    changed = (writes.state, writes.reason, writes.ended_at, writes.unsettled, writes.lines, writes.body)
    database.execute(MOVE, (*changed, session))
    for number, body in enumerate(writes.journal, writes.lines - len(writes.journal) + 1):
        database.execute(LINE, (session, number, now, body))
    for name in writes.names:
        database.execute(NAME, (name, session))
    for key in writes.dropped:
        database.execute(DROP, (session, key))
    for ask in writes.asks:
        database.execute(ASK, (session, ask.key, ask.kind, ask.body, ask.due_at, now))
