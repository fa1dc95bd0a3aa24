"""Transactions of sessions: whole or not at all, whoever is cancelled, raises or loses the connection."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from roomkeeper.control.store.outbox import Outbox
from roomkeeper.control.store.rows import Read, body_of, key_of, policy_of
from roomkeeper.control.store.store import Store
from roomkeeper.control.store.tables import journal, outbox
from roomkeeper.lifecycle.actions import EmitEvent, FenceJob, LookAtRoom, RemoveParticipant, SetTimer
from roomkeeper.lifecycle.events import Noted, ParticipantJoined, RoomStarted, SessionOpened
from roomkeeper.lifecycle.replay import replay
from roomkeeper.lifecycle.vocabulary import TimerKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.lifecycle.events import Event
    from roomkeeper.lifecycle.state import Session


def note(seq: int, job: str = "AJ_1") -> Noted:
    return Noted(at=0, job=job, seq=seq, what="item")


async def opened(store: Store, number: int = 1) -> str:
    return (await store.open(SessionOpened(at=0, session=f"S_{number}", room=f"room {number}"))).id


async def test_a_session_may_know_things_from_its_first_moment_on(store: Store) -> None:
    started = RoomStarted(at=0, sid="RM_1")
    session = await store.open(SessionOpened(at=0, session="S_1", room="tea"), started)
    assert session.room_sid == "RM_1"
    assert replay(await store.journal("S_1")) == session == await store.get("S_1")
    found = await store.find("RM_1")
    assert found == session
    again = await store.open(SessionOpened(at=0, session="S_2", room="tea"), RoomStarted(at=0, sid="RM_2"))
    assert again == session


async def test_a_decision_that_raises_writes_nothing_and_hurts_nobody_else(store: Store) -> None:
    one, two = await opened(store, 1), await opened(store, 2)

    def refuse(_: Session) -> Sequence[Event]:
        raise ValueError("no")

    results = await asyncio.gather(
        store.tell(one, note(1)),
        store.tell_by(one, refuse, source="EV_1"),
        store.tell(two, note(1)),
        return_exceptions=True,
    )
    assert [type(result).__name__ for result in results] == ["Told", "ValueError", "Told"]
    assert not (await store.tell(one, note(2), source="EV_1")).repeated, "its source was not remembered either"
    assert [len(await store.journal(name)) for name in (one, two)] == [3, 2]


async def test_whoever_is_cancelled_leaves_whole_transactions_and_a_store_that_works(store: Store) -> None:
    session = await opened(store)
    for first in range(1, 60, 6):
        told = [asyncio.create_task(store.tell(session, note(seq))) for seq in range(first, first + 6)]
        await asyncio.sleep(0)
        for number, task in enumerate(told):
            if number % 2:
                await asyncio.sleep(0)
                task.cancel()
        await asyncio.gather(*told, return_exceptions=True)
    await asyncio.wait_for(store.tell(session, note(100)), 10)
    written = await store.journal(session)
    assert replay(written) == await store.get(session)
    kept = [event.seq for event in written if isinstance(event, Noted)]
    assert set(range(1, 60, 2)) <= set(kept)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_connections_that_the_server_closed_are_replaced(store: Store, engine: AsyncEngine) -> None:
    session = await opened(store)
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    async with engine.connect() as connection:
        await connection.execute(sa.text(f"{others} AND pid <> pg_backend_pid()"))
    results = await asyncio.gather(*(store.tell(session, note(seq)) for seq in range(1, 9)), return_exceptions=True)
    for seq in range(10, 20):
        await store.tell(session, note(seq))
    kept = sum(not isinstance(result, BaseException) for result in results)
    assert len(await store.journal(session)) == 1 + kept + 10


async def test_lines_are_numbered_and_alarms_are_rows_whatever_comes_in_one_transaction(
    store: Store, engine: AsyncEngine
) -> None:
    session = await opened(store)
    joined = ParticipantJoined(at=0, sid="PA_1", identity="ann", room_sid="RM_1")
    told = await store.tell(session, RoomStarted(at=0, sid="RM_1"), joined, note(1), note(2))
    async with engine.connect() as connection:
        lines = (await connection.execute(sa.select(journal.c.line).order_by(journal.c.line))).scalars().all()
        alarms = sa.select(outbox.c.key).where(outbox.c.kind == "timer")
        keys = set((await connection.execute(alarms)).scalars())
    assert lines == [1, 2, 3, 4, 5]
    assert keys == {f"timer:{kind}" for kind in told.session.timers}


async def test_what_another_replica_wrote_is_read_anew(store: Store, engine: AsyncEngine) -> None:
    other = Store(engine)
    session = await opened(store)
    for seq in range(1, 10):
        await (store, other)[seq % 2].tell(session, note(seq))
    assert replay(await store.journal(session)) == await other.get(session)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_who_decided_about_a_row_that_has_been_written_since_decides_again(
    store: Store, engine: AsyncEngine
) -> None:
    other, session = Store(engine), await opened(store)
    decided_on: list[int] = []
    write = asyncio.Event()

    def choose(found: Session) -> Sequence[Event]:
        decided_on.append(len(found.sids))
        return (note(1),)

    async def meanwhile() -> None:
        await write.wait()
        await other.tell(session, RoomStarted(at=0, sid="RM_1"))

    # The other's statement is sent while this one's decision is on its way to the database.
    async with engine.begin() as connection:
        await connection.execute(sa.text("SELECT FROM sessions FOR UPDATE"))
        write.set()
        others = asyncio.create_task(meanwhile())
        ours = asyncio.create_task(store.tell_by(session, choose, source="EV_1"))
        async with engine.connect() as watching, asyncio.timeout(10):
            waiting = sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            while (await watching.execute(waiting)).scalar_one() < 2:
                await watching.rollback()
    await asyncio.gather(ours, others)
    written = await store.journal(session)
    assert len(written) == 3
    assert replay(written) == await store.get(session)
    assert decided_on in ([0], [0, 1]), "whoever was second decided on what the first had written"
    assert (await store.tell(session, note(2), source="EV_1")).repeated


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_one_source_that_tells_twice_at_once_is_heard_once(store: Store, engine: AsyncEngine) -> None:
    session = await opened(store)
    tellers = [store, Store(engine), store, Store(engine)]
    told = await asyncio.gather(*(each.tell(session, note(1), source="EV_1") for each in tellers))
    assert sorted(each.repeated for each in told) == [False, True, True, True]
    assert len(await store.journal(session)) == 2


async def test_many_rows_are_settled_at_once_each_by_its_own_claim(store: Store, engine: AsyncEngine) -> None:
    box = Outbox(store, engine, replica="one")
    for number in range(1, 6):
        await opened(store, number)
    tasks = await box.claim(50)
    assert len(tasks) >= 5
    wrong = replace(tasks[0], claim="another")
    anew = replace(tasks[1], asked=tasks[1].asked - 1)
    settled = await asyncio.gather(*(box.settle(task) for task in (wrong, anew, *tasks[2:])))
    assert settled == [False, False, *[True] * (len(tasks) - 2)]
    assert [task.id for task in await box.claim(50)] == [tasks[1].id], "it was asked for anew; the first is still held"


async def test_sessions_read_lately_are_few_and_never_stale(store: Store) -> None:
    first, second = [await store.get(await opened(store, number)) for number in (1, 2)]
    read = Read(most=1)
    policy = policy_of(first)
    kept = read.session("S_1", body_of(first), policy)
    assert read.session("S_1", body_of(first), policy) is kept
    read.keep(body_of(second), second)
    assert read.session("S_1", body_of(first), policy) is not kept
    moved = (await store.tell("S_1", RoomStarted(at=0, sid="RM_1"))).session
    assert read.session("S_1", body_of(moved), policy) == moved


def test_a_key_says_what_replaces_what() -> None:
    alarm, look = SetTimer(kind=TimerKind.HOLD, at=1), LookAtRoom(why="a")
    assert key_of(alarm, "1.0") == key_of(SetTimer(kind=TimerKind.HOLD, at=2), "2.0") == "timer:hold"
    assert key_of(look, "1.0") == key_of(LookAtRoom(why="b"), "2.0")
    assert key_of(FenceJob(job="AJ_1", why="a"), "1.0") == key_of(FenceJob(job="AJ_1", why="b"), "2.0")
    assert key_of(FenceJob(job="AJ_1", why="a"), "1.0") != key_of(FenceJob(job="AJ_2", why="a"), "1.0")
    assert key_of(EmitEvent(topic="session.live"), "1.0") != key_of(EmitEvent(topic="session.live"), "2.0")
    longest = RemoveParticipant(identity="\x00ann" * 1000 + "\ud800", why="")
    assert len(key_of(longest, "1.0")) < 64
