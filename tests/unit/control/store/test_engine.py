"""The SQLite file: whoever has it locked from outside holds up nobody else, and its log does not grow for ever."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import sqlalchemy as sa

from roomkeeper.control.store import engine as engines
from roomkeeper.control.store.engine import open_engine, single
from roomkeeper.control.store.store import Store
from roomkeeper.control.store.tables import metadata
from roomkeeper.lifecycle.events import Noted, SessionOpened

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

LOCKED_FOR = 0.5


def line(seq: int, text: str = "") -> Noted:
    return Noted(at=0, job="AJ_1", seq=seq, what="usage", data={"text": text})


async def longest_pause(over: asyncio.Event) -> float:
    longest = 0.0
    while not over.is_set():
        begun = time.perf_counter()
        await asyncio.sleep(0.001)
        longest = max(longest, time.perf_counter() - begun)
    return longest


async def test_a_file_that_is_locked_from_outside_is_waited_for_and_nothing_else_is(tmp_path: Path) -> None:
    path = tmp_path / "roomkeeper.db"
    async with open_engine(f"sqlite:///{path}") as engine:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        store = Store(engine)
        await store.open(SessionOpened(at=0, session="S_1", room="tea"))
        with closing(sqlite3.connect(path, isolation_level=None)) as outsider:
            outsider.execute("BEGIN IMMEDIATE")
            over = asyncio.Event()
            pausing = asyncio.create_task(longest_pause(over))
            begun = time.perf_counter()
            telling = asyncio.create_task(store.tell("S_1", line(1)))
            await asyncio.sleep(LOCKED_FOR)
            assert not telling.done()
            outsider.execute("ROLLBACK")
            await telling
            over.set()
        assert time.perf_counter() - begun >= LOCKED_FOR
        assert await pausing < LOCKED_FOR / 2
        assert len(await store.journal("S_1")) == 2


async def test_a_single_statement_runs_in_the_event_loop_and_a_longer_block_in_its_thread(tmp_path: Path) -> None:
    async with open_engine(f"sqlite:///{tmp_path / 'roomkeeper.db'}") as engine:
        threads: list[int] = []
        async with engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            await driver.create_function("note", 0, lambda: threads.append(threading.get_ident()))
        for each in (single(engine), engine):
            async with each.connect() as connection:
                await connection.execute(sa.text("SELECT note()"))
    assert threads[0] == threading.get_ident() != threads[1]


async def test_the_log_is_worked_into_the_file_while_it_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "CHECKPOINT_EVERY", 0.01)
    monkeypatch.setattr(engines, "CHECKPOINT_FROM", 200_000)
    path = tmp_path / "roomkeeper.db"
    async with open_engine(f"sqlite:///{path}") as engine:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        store = Store(engine)
        await store.open(SessionOpened(at=0, session="S_1", room="tea"))
        written = 0
        async with asyncio.timeout(20):
            while written < 4 * path.with_name("roomkeeper.db-wal").stat().st_size:
                written += 10_000
                await store.tell("S_1", line(written, "x" * 10_000))
                await asyncio.sleep(0.005)
