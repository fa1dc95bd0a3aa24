"""Opening the database: SQLite in WAL mode for one process, PostgreSQL for any number of replicas."""

from __future__ import annotations

import fcntl
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import create_async_engine

from roomkeeper.control.store.ledger_sqlite import Connection
from roomkeeper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine

SQLITE_WAIT = 10_000
"""Milliseconds a writer waits for the lock; there is one process, so only its own threads compete."""
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
        try:
            yield engine
        finally:
            await engine.dispose()
    finally:
        os.close(lock)


def _refuse_closed(connection: Any, *_: object) -> None:  # noqa: ANN401 - a driver's connection
    # The driver knows when a server has gone away; a ping would cost each transaction a round trip.
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _configure(connection: Any, _: object) -> None:  # noqa: ANN401 - a driver's connection
    # The driver's own BEGIN comes too late and is DEFERRED; ours follows in `_begin`.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={SQLITE_WAIT}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:  # noqa: ANN401 - SQLAlchemy's connection
    if not connection.get_execution_options().get(SINGLE):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
