"""What is to be done: claimed by one, settled once, repeated, parked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import sqlalchemy as sa

from roomkeeper.control.store import tables
from roomkeeper.control.store.outbox import LEASE, LONGEST_PAUSE, PARK_AFTER, Outbox
from roomkeeper.lifecycle.actions import LookAtRoom, SetTimer, WriteRoomState
from roomkeeper.lifecycle.events import EndAsked, ParticipantJoined, RoomStarted, SessionOpened
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.vocabulary import TimerKind

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.store.outbox import Task
    from roomkeeper.control.store.store import Store
    from tests.unit.control.conftest import Clock

STARTED = RoomStarted(at=0, sid="RM_1")


async def opened(store: Store, number: int = 1) -> str:
    session = await store.open(SessionOpened(at=0, session=f"S_{number}", room=f"room {number}"))
    return session.id


def kinds(tasks: list[Task]) -> set[str]:
    return {type(task.action).__name__ for task in tasks}


async def test_two_replicas_never_hold_the_same_row(store: Store, engine: AsyncEngine) -> None:
    for number in range(10):
        await store.tell(await opened(store, number), STARTED)
    one, two = Outbox(store, engine, replica="one"), Outbox(store, engine, replica="two")
    claimed = await asyncio.gather(*(box.claim(most=5) for box in (one, two, one, two, one, two)))
    ids = [task.id for tasks in claimed for task in tasks]
    assert len(ids) == len(set(ids)) > 0


async def test_a_settled_row_is_gone_and_a_claimed_one_waits(store: Store, outbox: Outbox) -> None:
    await store.tell(await opened(store), STARTED)
    tasks = await outbox.claim()
    assert tasks
    assert await outbox.claim() == []
    assert [await outbox.settle(task) for task in tasks] == [True] * len(tasks)
    assert await outbox.claim() == []


async def test_who_dies_holding_a_claim_loses_it_when_it_runs_out(store: Store, outbox: Outbox, clock: Clock) -> None:
    await opened(store)
    [dead] = await outbox.claim()
    clock.pass_by(LEASE / 1000)
    [heir] = await outbox.claim()
    assert heir.id == dead.id
    assert not await outbox.settle(dead)
    assert await outbox.settle(heir)


async def test_what_is_asked_again_while_it_is_done_is_done_again(store: Store, outbox: Outbox) -> None:
    session = await opened(store)
    await store.tell(session, STARTED)
    [write] = [task for task in await outbox.claim() if isinstance(task.action, WriteRoomState)]
    await store.tell(session, EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
    assert not await outbox.settle(write)
    again = [task.action for task in await outbox.claim() if isinstance(task.action, WriteRoomState)]
    assert len(again) == 1
    assert again[0].seq > write.action.seq  # type: ignore[union-attr]


async def test_an_alarm_is_due_at_its_time_and_not_before(store: Store, outbox: Outbox, clock: Clock) -> None:
    session = await store.get(await opened(store))
    for task in await outbox.claim():
        await outbox.settle(task)
    join = session.timers[TimerKind.JOIN]
    assert await outbox.next_due() == join
    clock.now = join - 1
    assert await outbox.claim() == []
    clock.now = join
    [alarm] = await outbox.claim()
    assert alarm.is_alarm
    assert isinstance(alarm.action, SetTimer)


async def test_a_cancelled_alarm_never_comes(store: Store, outbox: Outbox, clock: Clock) -> None:
    session = await opened(store)
    ann = ParticipantJoined(at=0, sid="PA_1", identity="ann", room_sid="RM_1")
    told = await store.tell(session, STARTED, ann)
    assert TimerKind.JOIN not in told.session.timers
    clock.pass_by(10_000)
    alarms = [task.action.kind for task in await outbox.claim() if isinstance(task.action, SetTimer)]
    assert TimerKind.JOIN not in alarms


async def test_what_fails_is_repeated_ever_later_and_then_parked(store: Store, outbox: Outbox, clock: Clock) -> None:
    session = await opened(store)
    await store.tell(session, STARTED)
    pauses: list[int] = []
    for attempt in range(PARK_AFTER):
        tasks = await outbox.claim()
        [task] = [task for task in tasks if isinstance(task.action, WriteRoomState)]
        assert task.tries == attempt
        for other in tasks:
            if other is not task:
                await outbox.settle(other)
        assert await outbox.failed(task, "the room API did not answer") is (attempt == PARK_AFTER - 1)
        pauses.append((await outbox.next_due() or clock.now) - clock.now)
        clock.pass_by(120)
    assert pauses[:3] == [375, 750, 1500]
    assert max(pauses) <= LONGEST_PAUSE
    assert not [task for task in await outbox.claim() if isinstance(task.action, WriteRoomState)]
    assert await outbox.unpark(session) == 1
    assert [task.tries for task in await outbox.claim() if isinstance(task.action, WriteRoomState)] == [0]


async def test_an_alarm_is_never_parked(store: Store, outbox: Outbox, clock: Clock) -> None:
    await opened(store)
    clock.pass_by(3600)
    [alarm] = [task for task in await outbox.claim() if task.is_alarm]
    for _ in range(PARK_AFTER + 2):
        assert not await outbox.failed(alarm, "the database was away")
        clock.pass_by(3600)
        [alarm] = [task for task in await outbox.claim() if task.is_alarm]


async def test_rows_come_in_the_order_they_were_due(store: Store, outbox: Outbox, clock: Clock) -> None:
    for number in range(3):
        await opened(store, number)
        clock.pass_by(1)
    tasks = await outbox.claim()
    assert [task.session for task in tasks] == ["S_0", "S_1", "S_2"]
    assert kinds(tasks) == {"EmitEvent"}
    assert LookAtRoom.__name__ not in kinds(tasks)


async def test_what_is_asked_again_while_it_is_done_waits_for_the_one_who_does_it(store: Store, outbox: Outbox) -> None:
    session = await opened(store)
    await store.tell(session, STARTED)
    [write] = [task for task in await outbox.claim() if isinstance(task.action, WriteRoomState)]
    await store.tell(session, EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
    assert not [task for task in await outbox.claim() if isinstance(task.action, WriteRoomState)]
    assert not await outbox.failed(write, "the room API did not answer")
    [again] = [task for task in await outbox.claim() if isinstance(task.action, WriteRoomState)]
    assert (again.asked, again.tries) == (2, 0)


async def test_a_claim_that_is_renewed_is_kept(store: Store, outbox: Outbox, clock: Clock) -> None:
    await opened(store)
    tasks = await outbox.claim()
    for _ in range(3):
        clock.pass_by(LEASE / 1000 - 0.5)
        await outbox.renew(tasks)
    assert await outbox.claim() == []
    assert await outbox.due_in() == 300 - 3 * (LEASE / 1000 - 0.5)
    clock.pass_by(LEASE / 1000)
    assert [task.id for task in await outbox.claim()] == [task.id for task in tasks]


async def test_what_only_a_newer_version_understands_is_left_to_it_and_holds_up_nothing(
    store: Store, engine: AsyncEngine, outbox: Outbox
) -> None:
    await store.tell(await opened(store), STARTED)
    of_the_opening = tables.outbox.c.kind == "EmitEvent"
    async with engine.begin() as connection:
        newer = sa.update(tables.outbox).where(of_the_opening).values(body='{"v":1,"type":"SendFlowers"}')
        assert (await connection.execute(newer)).rowcount == 1
    assert kinds(await outbox.claim()) == {"WriteRoomState"}
    async with engine.connect() as connection:
        query = sa.select(tables.outbox.c.parked_at).where(of_the_opening)
        assert (await connection.execute(query)).scalar_one_or_none() is None
