"""The same rows by the bare drivers: what the databases can do when nobody decides anything.

A program that stores sessions, journal and outbox in one transaction has to read the row it changes, under a lock, and
to write each row; this does so, with prepared statements and nothing else.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import asyncpg  # type: ignore[import-untyped]

from roomkeeper.control.store import ledger_sqlite as statements

if TYPE_CHECKING:
    from roomkeeper.control.store.ledger import Writes

NOW = 1_700_000_000_000
FIND = "SELECT body, policy, lines FROM sessions WHERE id = $1 FOR UPDATE"
MOVE = "UPDATE sessions SET state = $2, reason = $3, ended_at = $4, unsettled = $5, lines = $6, body = $7 WHERE id = $1"
LINE = "INSERT INTO journal (session, line, at, body) VALUES ($1, $2, $3, $4)"
DROP = "DELETE FROM outbox WHERE session = $1 AND key = $2"
ASK = """
INSERT INTO outbox (session, key, kind, body, due_at, asked_at, claimed_until, tries)
VALUES ($1, $2, $3, $4, $5, $6, 0, 0)
ON CONFLICT (session, key) DO UPDATE SET kind = excluded.kind, body = excluded.body, due_at = excluded.due_at,
    asked_at = excluded.asked_at, asked = outbox.asked + 1, tries = 0, parked_at = NULL, error = NULL
"""


class Sqlite:
    """A SQLite file.

    Args:
        path: Its name.
    """

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            self._database.execute(f"PRAGMA {pragma}")

    async def write(self, all_writes: list[Writes]) -> list[float]:
        """Write, one transaction after the other; returns seconds for each."""
        database, times = self._database, []
        for writes in all_writes:
            begun = time.perf_counter()
            session = writes.session
            database.execute("BEGIN IMMEDIATE")
            database.execute(statements.FIND, (session,)).fetchone()
            changed = (writes.state, writes.reason, writes.ended_at, writes.unsettled, writes.lines, writes.body)
            database.execute(statements.MOVE, (*changed, session))
            for number, body in enumerate(writes.journal, writes.lines - len(writes.journal) + 1):
                database.execute(statements.LINE, (session, number, NOW, body))
            for key in writes.dropped:
                database.execute(statements.DROP, (session, key))
            for ask in writes.asks:
                database.execute(statements.ASK, (session, ask.key, ask.kind, ask.body, ask.due_at, NOW))
            database.execute("COMMIT")
            times.append(time.perf_counter() - begun)
        return times

    async def close(self) -> None:
        """Close it."""
        self._database.close()


class Postgres:
    """A PostgreSQL, over some connections at once.

    Args:
        connections: Of asyncpg.
    """

    def __init__(self, connections: list[Any]) -> None:
        self._connections = connections

    @classmethod
    async def open(cls, url: str, at_once: int) -> Postgres:
        """Connect."""
        return cls([await asyncpg.connect(url) for _ in range(at_once)])

    async def write(self, all_writes: list[Writes]) -> list[float]:
        """Write, each session's events in order on one connection; returns seconds for each transaction."""
        times: list[float] = []
        queues: list[list[Writes]] = [[] for _ in self._connections]
        for writes in all_writes:
            queues[queue_of(writes.session, len(queues))].append(writes)

        async def work(connection: Any, queue: list[Writes]) -> None:  # noqa: ANN401 - asyncpg has no types
            for writes in queue:
                begun = time.perf_counter()
                async with connection.transaction():
                    await _write(connection, writes)
                times.append(time.perf_counter() - begun)

        await asyncio.gather(*map(work, self._connections, queues))
        return times

    async def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            await connection.close()


def queue_of(session: str, queues: int) -> int:
    """Say which of some queues a session's events wait in: always the same, in every run."""
    return int(session.removeprefix("S_")) % queues


async def _write(connection: Any, writes: Writes) -> None:  # noqa: ANN401 - asyncpg has no types
    session = writes.session
    await connection.fetchrow(FIND, session)
    changed = (writes.state, writes.reason, writes.ended_at, writes.unsettled, writes.lines, writes.body)
    await connection.fetch(MOVE, session, *changed)
    for number, body in enumerate(writes.journal, writes.lines - len(writes.journal) + 1):
        await connection.fetch(LINE, session, number, NOW, body)
    for key in writes.dropped:
        await connection.fetch(DROP, session, key)
    for ask in writes.asks:
        await connection.fetch(ASK, session, ask.key, ask.kind, ask.body, ask.due_at, NOW)
