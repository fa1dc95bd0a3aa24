"""Opening the database: SQLite in WAL mode for one process, PostgreSQL for any number of replicas."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import create_async_engine

from roomkeeper.control.store.ledger_sqlite import LOOP_WAIT, THREAD_WAIT, Connection
from roomkeeper.control.store.together import to_its_end
from roomkeeper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine

CHECKPOINT_EVERY = 1.0
"""Seconds between two looks at how much SQLite's log has grown."""
CHECKPOINT_FROM = 8_000_000
"""Bytes of the log from which a thread works it into the file: not at once, for what changes often is written once."""
CHECKPOINT_PAGES = 16_000
"""Pages of the log, of 4 KB, from which the next transaction does so itself; only a storm comes this far."""
SQLITE_QUEUE = 60
"""Seconds somebody waits for the connection."""
POOL = 10
SINGLE = "roomkeeper_single"
"""Option of an engine whose blocks hold one statement each."""


@asynccontextmanager
async def open_engine(url: str) -> AsyncIterator[AsyncEngine]:
    """Open a database for the length of a `with` block.

    Args:
        url: `sqlite:///path.db` or `postgresql://…`; the asyncio driver is chosen here.

    Raises:
        ConfigError: Neither of the two, or another process has the SQLite file open.
    """
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        async with _sqlite(parsed.database or "") as engine:
            yield engine
    elif backend == "postgresql":
        engine = create_async_engine(parsed.set(drivername="postgresql+asyncpg"), pool_size=POOL)
        event.listen(engine.sync_engine, "checkout", _refuse_closed)
        try:
            yield engine
        finally:
            await engine.dispose()
    else:
        raise ConfigError(f"The database {parsed.render_as_string()} is neither sqlite:/// nor postgresql://.")


def single(engine: AsyncEngine) -> AsyncEngine:
    """Return the engine for blocks of one statement, which is a transaction by itself: no BEGIN and no COMMIT are sent.

    On SQLite it runs right in the event loop, so it has to be one that takes no time.

    Args:
        engine: From `open_engine`.
    """
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="AUTOCOMMIT")
    return engine.execution_options(**{SINGLE: True})


@asynccontextmanager
async def _sqlite(path: str) -> AsyncIterator[AsyncEngine]:
    if not path or path == ":memory:":
        raise ConfigError("SQLite needs a file: sqlite:///roomkeeper.db.")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{path} is in use; for several replicas use PostgreSQL.") from None

        # One connection: SQLite has one writer, and a queue in the pool is fairer than its busy handler.
        async def connect() -> Connection:
            return await Connection(path)

        # Whoever leaves a transaction open rolls it back; the pool would do so again, each time, for nothing.
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{path}",
            async_creator=connect,
            pool_size=1,
            max_overflow=0,
            pool_timeout=SQLITE_QUEUE,
            pool_reset_on_return=None,
        )
        event.listen(engine.sync_engine, "connect", _configure)
        event.listen(engine.sync_engine, "begin", _begin)
        checkpoints = asyncio.create_task(_checkpoints(path))
        try:
            yield engine
        finally:
            checkpoints.cancel()
            await asyncio.wait({checkpoints})
            await engine.dispose()
    finally:
        os.close(lock)


async def _checkpoints(path: str) -> None:
    """Work the log into the file while nobody waits for the disk, until cancelled."""
    with closing(sqlite3.connect(path, check_same_thread=False, isolation_level=None)) as connection:
        while True:
            await asyncio.sleep(CHECKPOINT_EVERY)
            await to_its_end(asyncio.ensure_future(asyncio.to_thread(_checkpoint, connection, Path(f"{path}-wal"))))


def _checkpoint(connection: sqlite3.Connection, log: Path) -> None:
    if log.exists() and log.stat().st_size > CHECKPOINT_FROM:
        with suppress(sqlite3.Error):  # a full disk: transactions fail of themselves, and are repeated
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _refuse_closed(connection: Any, *_: object) -> None:  # noqa: ANN401 - a driver's connection
    # The driver knows when a server has gone away; a ping would cost each transaction a round trip.
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _configure(connection: Any, _: object) -> None:  # noqa: ANN401 - a driver's connection
    # The driver's own BEGIN comes too late and is DEFERRED; ours follows in `_begin`.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        f"busy_timeout={THREAD_WAIT}",
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:  # noqa: ANN401 - SQLAlchemy's connection
    alone = bool(connection.get_execution_options().get(SINGLE))
    connection.connection.driver_connection.use(inline=alone, wait=LOOP_WAIT if alone else THREAD_WAIT)
    if not alone:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
