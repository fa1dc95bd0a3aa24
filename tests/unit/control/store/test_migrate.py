"""The migrations make exactly the tables that the code uses, on both databases."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from roomkeeper.control.store.engine import open_engine
from roomkeeper.control.store.migrate import migrate
from roomkeeper.control.store.store import Store
from roomkeeper.control.store.tables import metadata
from roomkeeper.lifecycle.events import SessionOpened

if TYPE_CHECKING:
    import sqlalchemy as sa


def differences(connection: sa.Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


async def test_an_empty_database_becomes_what_the_code_expects(database_url: str) -> None:
    async with open_engine(database_url) as engine:
        await migrate(engine)
        async with engine.begin() as connection:
            assert await connection.run_sync(differences) == []


async def test_migrating_again_keeps_what_is_there(database_url: str) -> None:
    async with open_engine(database_url) as engine:
        await migrate(engine)
        await Store(engine).open(SessionOpened(at=0, session="S_1", room="tea"))
        await migrate(engine)
        assert (await Store(engine).get("S_1")).room == "tea"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_replicas_that_start_together_migrate_once(database_url: str) -> None:
    async with open_engine(database_url) as one, open_engine(database_url) as two:
        await asyncio.gather(migrate(one), migrate(two), migrate(one))
        async with two.begin() as connection:
            assert await connection.run_sync(differences) == []
