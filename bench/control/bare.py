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


def sqlite(path: str, all_writes: list[Writes]) -> list[float]:
    """Write to a SQLite file, one transaction after the other; returns seconds for each."""
    database = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        database.execute(f"PRAGMA {pragma}")
    times = []
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
    database.close()
    return times


async def postgres(url: str, all_writes: list[Writes], at_once: int) -> list[float]:
    """Write to PostgreSQL over some connections at once; returns seconds for each transaction."""
    times: list[float] = []
    # Events of one session stay in order: each session belongs to one connection.
    queues: list[list[Writes]] = [[] for _ in range(at_once)]
    for writes in all_writes:
        queues[hash(writes.session) % at_once].append(writes)

    async def work(queue: list[Writes]) -> None:
        connection = await asyncpg.connect(url)
        try:
            for writes in queue:
                begun = time.perf_counter()
                async with connection.transaction():
                    await _write(connection, writes)
                times.append(time.perf_counter() - begun)
        finally:
            await connection.close()

    await asyncio.gather(*map(work, queues))
    return times


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
