"""Transitions in PostgreSQL: begin, lock, write, commit, whatever a transition asks for.

One statement writes everything. Its parts see the same snapshot, so no part may touch a row of another: a key is asked
for or dropped, never both.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy.exc import OperationalError

from roomkeeper.control.store.ledger import LostRace, Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.store.ledger import Begin, Decide, NewRow, Writes

T = TypeVar("T")

RACES = frozenset({"40001", "40P01", "55P03"})
"""SQLSTATEs: serialization failure, deadlock, lock not available (PostgreSQL, appendix A)."""

CLOCK = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
NOW = f"SELECT {CLOCK}"
TOLD = f"INSERT INTO told (source, at) VALUES ($1, {CLOCK}) ON CONFLICT DO NOTHING RETURNING at"  # noqa: S608
# The time is taken outside of the locking query: after the lock was waited for, not before.
FIND = f"""
SELECT body, policy, lines, {CLOCK} AS now
FROM (SELECT body, policy, lines FROM sessions WHERE id = $1 FOR UPDATE) AS locked
"""  # noqa: S608
OPEN = """
INSERT INTO sessions (id, room, generation, agent_name, opened_at, policy, state, unsettled, lines, body)
VALUES ($1, $2, $3, $4, $5, $6, '', TRUE, 0, '') ON CONFLICT DO NOTHING RETURNING id
"""
WRITE = """
WITH moved AS (
    UPDATE sessions SET state = $2, reason = $3, ended_at = $4, unsettled = $5, lines = $6, body = $7 WHERE id = $1
), told AS (
    INSERT INTO journal (session, line, at, body)
    SELECT $1, $6 - cardinality($9::text[]) + number, $8, body
    FROM unnest($9::text[]) WITH ORDINALITY AS lines (body, number)
), named AS (
    INSERT INTO aliases (alias, session) SELECT unnest($10::text[]), $1 ON CONFLICT DO NOTHING
), dropped AS (
    DELETE FROM outbox WHERE session = $1 AND key = ANY ($11::text[])
)
INSERT INTO outbox (session, key, kind, body, due_at, asked_at, claimed_until, tries)
SELECT $1, key, kind, body, due_at, $8, 0, 0
FROM unnest($12::text[], $13::text[], $14::text[], $15::bigint[]) AS asks (key, kind, body, due_at)
ON CONFLICT (session, key) DO UPDATE SET kind = excluded.kind, body = excluded.body, due_at = excluded.due_at,
    asked_at = excluded.asked_at, asked = outbox.asked + 1, tries = 0, parked_at = NULL, error = NULL
"""
# Most transitions of a talk are lines of it, which ask for nothing.
WRITE_LINES = """
WITH moved AS (
    UPDATE sessions SET state = $2, reason = $3, ended_at = $4, unsettled = $5, lines = $6, body = $7 WHERE id = $1
)
INSERT INTO journal (session, line, at, body)
SELECT $1, $6 - cardinality($9::text[]) + number, $8, body
FROM unnest($9::text[]) WITH ORDINALITY AS lines (body, number)
"""


class PostgresLedger:
    """The ledger in PostgreSQL.

    Args:
        engine: Of the driver asyncpg.
        clock: Milliseconds; None (always, outside of tests) asks the database.
    """

    def __init__(self, engine: AsyncEngine, clock: Callable[[], int] | None = None) -> None:
        self._engine = engine
        self._clock = clock

    async def now(self) -> int:
        """Return the clock that transitions go by, in milliseconds."""
        if self._clock is not None:
            return self._clock()
        async with self._driver() as driver:
            return cast("int", await driver.fetchval(NOW))

    async def move(self, session: str, source: str, decide: Decide[T]) -> T:
        """Lock a session, decide what becomes of it, and write that; see `Ledger`."""
        return await _to_its_end(self._move(session, source, decide))

    async def open(self, begin: Begin[T]) -> T | None:
        """Write a new session; see `Ledger`."""
        return await _to_its_end(self._open(begin))

    async def _move(self, session: str, source: str, decide: Decide[T]) -> T:
        async with self._driver() as driver, _transaction(driver):
            repeated = bool(source) and await driver.fetchval(TOLD, source) is None
            found = await driver.fetchrow(FIND, session)
            now = self._clock() if self._clock is not None else found["now"] if found is not None else 0
            row = Row(found["body"], found["policy"], found["lines"]) if found is not None else None
            answer, writes = decide(row, repeated, now)
            if writes is not None:
                await _write(driver, writes, now)
            return answer

    async def _open(self, begin: Begin[T]) -> T | None:
        async with self._driver() as driver, _transaction(driver):
            now = self._clock() if self._clock is not None else await driver.fetchval(NOW)
            answer, new, writes = begin(now)
            if await _insert(driver, writes.session, new) is None:
                return None
            await _write(driver, writes, now)
            return answer

    @asynccontextmanager
    async def _driver(self) -> AsyncIterator[Any]:
        async with self._engine.connect() as connection:
            raw = await connection.get_raw_connection()
            driver = cast("Any", raw.driver_connection)
            try:
                yield driver
            except asyncpg.PostgresError as error:
                if error.sqlstate in RACES:
                    raise LostRace from error
                raise OperationalError(None, None, error) from error
            except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
                raise OperationalError(None, None, error, connection_invalidated=True) from error
            finally:
                if driver.is_closed() or driver.is_in_transaction():
                    await connection.invalidate()  # the next one must not find a transaction of ours


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a transaction that a cancelled caller does not break off.

    Breaking off a query means asking the server to, and that may hit whatever the connection does next.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # it is nobody's any more
        raise


@asynccontextmanager
async def _transaction(driver: Any) -> AsyncIterator[None]:  # noqa: ANN401 - asyncpg has no types
    await driver.execute("BEGIN")
    try:
        yield
    except BaseException:
        if not driver.is_closed():
            await driver.execute("ROLLBACK")
        raise
    # A transaction that has failed is not committed, and PostgreSQL says so in the command tag alone.
    if (tag := await driver.execute("COMMIT")) != "COMMIT":
        raise asyncpg.InternalClientError(f"The transaction was not committed: {tag}.")


async def _insert(driver: Any, session: str, new: NewRow) -> str | None:  # noqa: ANN401 - asyncpg has no types
    values = (new.room, new.generation, new.agent_name, new.opened_at, new.policy)
    return cast("str | None", await driver.fetchval(OPEN, session, *values))


async def _write(driver: Any, writes: Writes, now: int) -> None:  # noqa: ANN401 - asyncpg has no types
    changed = (writes.state, writes.reason, writes.ended_at, writes.unsettled, writes.lines, writes.body)
    values = (writes.session, *changed, now, writes.journal)
    asks = writes.asks
    if not (asks or writes.names or writes.dropped):
        await driver.fetch(WRITE_LINES, *values)
        return
    await driver.fetch(
        WRITE,
        *values,
        writes.names,
        writes.dropped,
        [ask.key for ask in asks],
        [ask.kind for ask in asks],
        [ask.body for ask in asks],
        [ask.due_at for ask in asks],
    )
