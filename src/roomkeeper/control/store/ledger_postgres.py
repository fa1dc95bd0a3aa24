"""Transitions in PostgreSQL: read, decide, write, with one round trip for reading and one for writing.

1. One statement writes everything, and nothing if the row is not the one that was read any more: `xmin`, the
   transaction that wrote it, tells. A statement is a transaction, so there is no BEGIN, no COMMIT, and no lock that
   waits for us. Whoever was too late locks the row the second time.
2. The parts of a statement see the same snapshot, so no part may touch a row of another: a key is asked for or dropped,
   never both.
3. What many ask for at the same time, they ask for in common (`together`).
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy.exc import OperationalError
from sqlalchemy.util import greenlet_spawn

from roomkeeper.control.store.ledger import Claimed, LostRace, Row
from roomkeeper.control.store.together import Together, to_its_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.store.ledger import Begin, Decide, NewRow, Writes

T = TypeVar("T")

RACES = frozenset({"40001", "40P01", "55P03"})
"""SQLSTATEs: serialization failure, deadlock, lock not available (PostgreSQL, appendix A)."""

CLOCK = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
NOW = f"SELECT {CLOCK}"
_KNOWN = f"{CLOCK} AS now, EXISTS (SELECT FROM told WHERE source = $2) AS repeated"
FIND = f"SELECT body, policy, lines, xmin::text AS version, {_KNOWN} FROM sessions WHERE id = $1"  # noqa: S608
# The time is taken outside of the locking query: after the lock was waited for, not before.
LOCK = f"""
SELECT body, policy, lines, version, {_KNOWN}
FROM (SELECT body, policy, lines, xmin::text AS version FROM sessions WHERE id = $1 FOR UPDATE) AS locked
"""  # noqa: S608
TOLD = f"INSERT INTO told (source, at) VALUES ($1, {CLOCK}) ON CONFLICT DO NOTHING"  # noqa: S608
OPEN = """
INSERT INTO sessions (id, room, generation, agent_name, opened_at, policy, state, unsettled, lines, body)
VALUES ($1, $2, $3, $4, $5, $6, '', TRUE, 0, '') ON CONFLICT DO NOTHING RETURNING xmin::text
"""
MOVED = """
WITH moved AS (
    UPDATE sessions SET state = $2, reason = $3, ended_at = $4, unsettled = $5, lines = $6, body = $7
    WHERE id = $1 AND xmin::text = $8 RETURNING id
), journaled AS (
    INSERT INTO journal (session, line, at, body)
    SELECT id, $6 - cardinality($10::text[]) + number, $9, written.body
    FROM moved, unnest($10::text[]) WITH ORDINALITY AS written (body, number)
), asked AS (
    INSERT INTO outbox (session, key, kind, body, due_at, asked_at, claimed_until, tries)
    SELECT id, key, kind, asks.body, due_at, $9, 0, 0
    FROM moved, unnest($11::text[], $12::text[], $13::text[], $14::bigint[]) AS asks (key, kind, body, due_at)
    ON CONFLICT (session, key) DO UPDATE SET kind = excluded.kind, body = excluded.body, due_at = excluded.due_at,
        asked_at = excluded.asked_at, asked = outbox.asked + 1, tries = 0, parked_at = NULL, error = NULL
)
"""
# Most transitions are lines of a talk, which name nothing, cancel nothing and are known by their numbers.
WRITE_LINES = f"{MOVED} SELECT id FROM moved"  # noqa: S608
WRITE = f"""{MOVED}, named AS (
    INSERT INTO aliases (alias, session) SELECT unnest($15::text[]), id FROM moved ON CONFLICT DO NOTHING
), dropped AS (
    DELETE FROM outbox USING moved WHERE outbox.session = moved.id AND outbox.key = ANY ($16::text[])
), heard AS (
    INSERT INTO told (source, at) SELECT unnest($17::text[]), $9 FROM moved
)
SELECT id FROM moved
"""  # noqa: S608
READ = "SELECT id, body, policy, lines FROM sessions WHERE id = ANY ($1)"
# A branch for each index; with `OR`, none would be used.
READ_NAMED = """
SELECT body, policy, lines FROM unnest($1::text[]) WITH ORDINALITY AS names (name, place) LEFT JOIN LATERAL (
    SELECT 0 AS rank, generation, body, policy, lines FROM sessions WHERE id = name
    UNION ALL
    SELECT 1, generation, body, policy, lines FROM sessions JOIN aliases ON session = id WHERE alias = name
    UNION ALL
    SELECT 2, generation, body, policy, lines FROM sessions WHERE room = name
    ORDER BY rank, generation DESC LIMIT 1
) AS found ON TRUE ORDER BY place
"""
# When the statement began: unlike the clock itself it may be looked up in an index. A clock that is given is a test's.
_MOMENT = f"COALESCE($1, {CLOCK.replace('clock_', 'statement_')})"
# `parked_at` is null in all of them: ordering by it says that the index has the order, so that one row costs one row.
# What is due is chosen once, or more than that would be locked.
CLAIM = f"""
WITH due AS MATERIALIZED (
    SELECT id FROM outbox WHERE due_at <= {_MOMENT} AND claimed_until <= {_MOMENT} AND parked_at IS NULL
    ORDER BY parked_at, due_at, id LIMIT $3 FOR UPDATE SKIP LOCKED
)
UPDATE outbox SET claim = $2, claimed_until = {_MOMENT} + $4 WHERE id = ANY (ARRAY (SELECT id FROM due))
RETURNING id, session, body, claim, asked, tries, due_at
"""  # noqa: S608
DUE = f"""
SELECT due_at, {_MOMENT} AS moment FROM outbox WHERE parked_at IS NULL AND claimed_until <= {_MOMENT}
ORDER BY parked_at, due_at LIMIT 1
"""  # noqa: S608
# Rows that somebody else has locked are being asked for anew, and are settled one by one: so nobody waits in a circle.
SETTLE = """
DELETE FROM outbox WHERE id IN (
    SELECT outbox.id FROM outbox JOIN unnest($1::bigint[], $2::text[], $3::int[]) AS done (id, claim, asked)
    ON outbox.id = done.id AND outbox.claim = done.claim AND outbox.asked = done.asked
    FOR UPDATE OF outbox SKIP LOCKED
) RETURNING id
"""
SETTLE_ONE = "DELETE FROM outbox WHERE id = $1 AND claim = $2 AND asked = $3 RETURNING id"
FREE = "UPDATE outbox SET claim = NULL, claimed_until = 0 WHERE id = $1 AND claim = $2"


class PostgresLedger:
    """The ledger in PostgreSQL.

    Args:
        engine: Of the driver asyncpg.
        clock: Milliseconds; None (always, outside of tests) asks the database.
    """

    def __init__(self, engine: AsyncEngine, clock: Callable[[], int] | None = None) -> None:
        self._engine = engine
        self._clock = clock
        self._times = Together(self._now)
        self._reads = Together(self._read)
        self._finds = Together(self._find)
        self._settled = Together(self._settle)

    async def now(self) -> int:
        """Return the clock that transitions go by, in milliseconds."""
        return self._clock() if self._clock is not None else await self._times.ask(None)

    async def read(self, session: str) -> Row | None:
        """Return a session's row by its id; see `Ledger`."""
        return await self._reads.ask(session)

    async def find(self, name: str) -> Row | None:
        """Return a session's row by any of its names; see `Ledger`."""
        return await self._finds.ask(name)

    async def claim(self, claim: str, most: int, lease: int) -> list[Claimed]:
        """Claim rows of the outbox; see `Ledger`."""
        async with self._driver() as driver:
            rows = await driver.fetch(CLAIM, self._clock and self._clock(), claim, most, lease)
        return sorted((Claimed(*row) for row in rows), key=lambda row: (row.due_at, row.id))

    async def due(self) -> tuple[int, int] | None:
        """Return when a row of the outbox is due next; see `Ledger`."""
        async with self._driver() as driver:
            row = await driver.fetchrow(DUE, self._clock and self._clock())
        return (row["due_at"], row["moment"]) if row is not None else None

    async def settle(self, row: int, claim: str, asked: int) -> bool:
        """Drop a row of the outbox that was carried out; see `Ledger`."""
        return await self._settled.ask((row, claim, asked))

    async def move(self, session: str, source: str, decide: Decide[T]) -> T:
        """Lock a session, decide what becomes of it, and write that; see `Ledger`."""
        return await _finished(self._move(session, source, decide))

    async def open(self, begin: Begin[T]) -> T | None:
        """Write a new session; see `Ledger`."""
        return await _finished(self._open(begin))

    # -- transitions --------------------------------------------------------------------------------------------------

    async def _move(self, session: str, source: str, decide: Decide[T]) -> T:
        async with self._driver() as driver:
            try:
                return await self._try(driver, FIND, session, source, decide)
            except LostRace:
                async with _transaction(driver):
                    return await self._try(driver, LOCK, session, source, decide)

    async def _try(self, driver: Any, find: str, session: str, source: str, decide: Decide[T]) -> T:  # noqa: ANN401 - asyncpg has no types
        found = await driver.fetchrow(find, session, source)
        if found is None:
            return decide(None, False, 0)[0]  # noqa: FBT003 - see Decide
        now = self._clock() if self._clock is not None else found["now"]
        row = Row(found["body"], found["policy"], found["lines"])
        answer, writes = decide(row, found["repeated"], now)
        if writes is not None:
            await _write(driver, writes, found["version"], source, now)
        elif source and not found["repeated"]:
            await driver.execute(TOLD, source)
        return answer

    async def _open(self, begin: Begin[T]) -> T | None:
        async with self._driver() as driver, _transaction(driver):
            now = self._clock() if self._clock is not None else await driver.fetchval(NOW)
            answer, new, writes = begin(now)
            version = await _insert(driver, writes.session, new)
            if version is None:
                return None
            await _write(driver, writes, version, "", now)
            return answer

    # -- in common ----------------------------------------------------------------------------------------------------

    async def _now(self, asked: Sequence[None]) -> Sequence[int]:
        async with self._driver() as driver:
            return [cast("int", await driver.fetchval(NOW))] * len(asked)

    async def _read(self, names: Sequence[str]) -> Sequence[Row | None]:
        async with self._driver() as driver:
            rows = await driver.fetch(READ, list(set(names)))
        found = {row["id"]: Row(row["body"], row["policy"], row["lines"]) for row in rows}
        return [found.get(name) for name in names]

    async def _find(self, names: Sequence[str]) -> Sequence[Row | None]:
        async with self._driver() as driver:
            rows = await driver.fetch(READ_NAMED, names)
        return [Row(*row) if row["body"] is not None else None for row in rows]

    async def _settle(self, rows: Sequence[tuple[int, str, int]]) -> Sequence[bool]:
        async with self._driver() as driver:
            gone = {row["id"] for row in await driver.fetch(SETTLE, *zip(*rows, strict=True))}
            for row, claim, asked in rows:
                if row in gone:
                    continue
                if await driver.fetchval(SETTLE_ONE, row, claim, asked) is not None:
                    gone.add(row)
                else:
                    await driver.execute(FREE, row, claim)
        return [row in gone for row, _, _ in rows]

    # -- connections --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _driver(self) -> AsyncIterator[Any]:
        # Of the pool, and nothing more: a connection of SQLAlchemy would cost as much as what is asked.
        connection = await self._engine.raw_connection()
        driver = cast("Any", connection.driver_connection)
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
                await greenlet_spawn(connection.invalidate)  # the next one must not find a transaction of ours
            await greenlet_spawn(connection.close)


async def _finished(work: Coroutine[Any, Any, T]) -> T:
    return await to_its_end(asyncio.ensure_future(work))


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


async def _write(driver: Any, writes: Writes, version: str, source: str, now: int) -> None:  # noqa: ANN401 - asyncpg has no types
    """Write a transition of the row that was read.

    Raises:
        LostRace: The row has been written since, or the source has told it since.
    """
    asks = writes.asks
    values = (
        writes.session,
        writes.state,
        writes.reason,
        writes.ended_at,
        writes.unsettled,
        writes.lines,
        writes.body,
        version,
        now,
        writes.journal,
        [ask.key for ask in asks],
        [ask.kind for ask in asks],
        [ask.body for ask in asks],
        [ask.due_at for ask in asks],
    )
    try:
        if source or writes.names or writes.dropped:
            more = (writes.names, writes.dropped, [source] if source else [])
            moved = await driver.fetchval(WRITE, *values, *more)
        else:
            moved = await driver.fetchval(WRITE_LINES, *values)
    except asyncpg.UniqueViolationError as error:
        if error.table_name == "told":
            raise LostRace from error
        raise
    if moved is None:
        raise LostRace
