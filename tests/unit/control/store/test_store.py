"""Sessions in a database: told once, in order, replayable; the same on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from roomkeeper.control.store.engine import open_engine
from roomkeeper.control.store.store import REPEATED_WITHIN, NoSuchSession, Store
from roomkeeper.control.store.tables import told
from roomkeeper.errors import ConfigError
from roomkeeper.lifecycle.events import (
    AgentAttached,
    EndAsked,
    GoodbyeOver,
    Noted,
    ParticipantJoined,
    RoomStarted,
    SessionOpened,
)
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.replay import replay
from roomkeeper.lifecycle.state import State

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


OPENED = SessionOpened(at=0, session="S_1", room="tea")
STARTED = RoomStarted(at=0, sid="RM_1")
ANN = ParticipantJoined(at=0, sid="PA_1", identity="ann", room_sid="RM_1")


async def test_a_session_is_what_its_journal_tells(store: Store) -> None:
    await store.open(OPENED)
    await store.tell("S_1", STARTED, ANN)
    await store.tell("S_1", AgentAttached(at=0, job="AJ_1", identity="agent"))
    told = await store.tell("S_1", EndAsked(at=0, reason=Reason.COMPLETED, by=By.AGENT, job="AJ_1"))
    assert told.session == await store.get("S_1") == replay(await store.journal("S_1"))


async def test_events_get_the_time_of_the_database(store: Store) -> None:
    await store.open(OPENED)
    await store.tell("S_1", STARTED)
    assert {event.at for event in await store.journal("S_1")} == {await store.now()}


async def test_who_opens_a_room_second_finds_the_session_of_the_first(store: Store) -> None:
    first, second = await asyncio.gather(store.open(OPENED), store.open(SessionOpened(at=0, session="S_2", room="tea")))
    assert first == second
    assert len(await store.journal(first.id)) == 1


async def test_a_repetition_of_the_same_source_changes_nothing(store: Store) -> None:
    await store.open(OPENED)
    assert not (await store.tell("S_1", STARTED, source="EV_1")).repeated
    again = await store.tell("S_1", STARTED, source="EV_1")
    assert (again.repeated, again.actions) == (True, ())
    assert len(await store.journal("S_1")) == 2


async def test_what_told_something_is_forgotten_when_it_is_repeated_no_more(store: Store, engine: AsyncEngine) -> None:
    await store.open(OPENED)
    await store.tell("S_1", STARTED, source="EV_1")
    await store.tell("S_1", ANN, source="EV_2")
    now = await store.now()
    async with engine.begin() as connection:
        for source, at in (("EV_1", now - REPEATED_WITHIN - 1), ("EV_2", now - REPEATED_WITHIN)):
            await connection.execute(sa.update(told).where(told.c.source == source).values(at=at))
    assert await store.forget_sources() == 1
    assert (await store.tell("S_1", ANN, source="EV_2")).repeated


async def test_many_tellers_at_once_lose_and_double_nothing(store: Store) -> None:
    await store.open(OPENED)
    notes = [Noted(at=0, job="AJ_1", seq=number, what="item") for number in range(1, 41)]
    await asyncio.gather(*(store.tell("S_1", note, source=f"AJ_1:{note.seq}") for note in notes + notes))
    journal = await store.journal("S_1")
    assert sorted(event.seq for event in journal if isinstance(event, Noted)) == list(range(1, 41))
    assert replay(journal) == await store.get("S_1")


async def test_a_session_is_found_by_every_name_it_has(store: Store) -> None:
    await store.open(OPENED)
    await store.tell("S_1", STARTED, ANN, AgentAttached(at=0, job="AJ_1", identity="agent"))
    for name in ("S_1", "tea", "RM_1", "AJ_1"):
        found = await store.find(name)
        assert found is not None, name
        assert found.id == "S_1"
    assert await store.find("nobody") is None


async def test_a_rooms_name_finds_its_latest_generation(store: Store) -> None:
    await store.open(OPENED)
    await store.open(SessionOpened(at=0, session="S_2", room="tea", generation=2))
    found = await store.find("tea")
    assert found is not None
    assert found.id == "S_2"


async def test_ended_sessions_are_not_open(store: Store) -> None:
    await store.open(OPENED)
    assert [session.id for session in await store.open_sessions()] == ["S_1"]
    await store.tell("S_1", EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
    await store.tell("S_1", GoodbyeOver(at=0, job="AJ_1"))
    assert (await store.get("S_1")).state is State.ENDED
    assert await store.open_sessions() == []


async def test_a_session_that_does_not_exist_is_an_error_that_names_it(store: Store) -> None:
    with pytest.raises(NoSuchSession, match="S_9"):
        await store.get("S_9")
    with pytest.raises(NoSuchSession, match="S_9"):
        await store.tell("S_9", STARTED)


async def test_the_databases_own_clock_is_that_of_the_world(engine: AsyncEngine) -> None:
    store = Store(engine)
    before = await store.now()
    after = await store.now()
    assert 0 <= after - before < 60_000
    assert before > 1_700_000_000_000


async def test_a_second_process_cannot_open_the_same_sqlite_file(tmp_path: object) -> None:
    url = f"sqlite:///{tmp_path}/one.db"
    async with open_engine(url):
        with pytest.raises(ConfigError, match="PostgreSQL"):
            async with open_engine(url):
                pass


@pytest.mark.parametrize("url", ["sqlite://", "mysql://host/db"])
async def test_a_database_that_cannot_be_used_says_what_can(url: str) -> None:
    with pytest.raises(ConfigError, match="sqlite:///"):
        async with open_engine(url):
            pass
