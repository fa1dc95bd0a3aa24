"""Leases: who fell silent is replaced, and nobody whom the control plane could not hear."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from roomkeeper.control.link.links import WATCH_EVERY
from roomkeeper.control.store.links import GRACE, LEASE, REPLICA_LEASE, SILENCE, LinkStore
from roomkeeper.lifecycle.events import EndAsked
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import State
from roomkeeper.wire import link
from tests.unit.control.link.conftest import replica
from tests.unit.control.link.scripted import item

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.store.store import Store
    from tests.unit.control.conftest import Clock
    from tests.unit.control.link.conftest import Replica

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
postgres_only = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


async def live_on(one: Replica, clock: Clock, seconds: float) -> None:
    """Let time pass while the replica watches, as it does every second."""
    for _ in range(int(seconds)):
        clock.pass_by(1)
        await one.links.watch()


async def unlinked(one: Replica) -> None:
    async with asyncio.timeout(5):
        while one.links.workers:
            await asyncio.sleep(0.01)


async def test_a_worker_that_falls_silent_loses_its_jobs_after_a_lease(one: Replica, clock: Clock) -> None:
    worker = await one.worker()
    await one.live(worker)
    await worker.beat("AJ_1")
    await live_on(one, clock, 4)
    assert (await one.session()).state is State.LIVE
    await live_on(one, clock, 2)
    session = await one.session()
    assert (session.state, session.current, len(session.losses)) == (State.RECOVERING, 2, 1)
    told = await one.told()
    await live_on(one, clock, 5)
    assert await one.told() == told
    assert told.count("LeaseExpired") == 1


async def test_a_lease_that_nobody_renews_is_looked_at_as_it_runs_out(one: Replica, clock: Clock) -> None:
    worker = await one.worker()
    await one.live(worker)
    await worker.beat("AJ_1")
    assert await one.links.watch() == WATCH_EVERY
    await live_on(one, clock, 4)
    clock.pass_by(LEASE / 1000 - 4.2)
    pause = await one.links.watch()
    assert 0.2 < pause < WATCH_EVERY / 2
    clock.pass_by(pause)
    await one.links.watch()
    assert (await one.session()).state is State.RECOVERING


async def test_heartbeats_keep_a_lease_and_are_one_row_however_many_jobs_there_are(one: Replica, clock: Clock) -> None:
    worker = await one.worker()
    await one.live(worker)
    for _ in range(4):
        clock.pass_by(3)
        await worker.beat("AJ_1")
        await one.links.watch()
    assert (await one.session()).state is State.LIVE


async def test_a_job_that_its_worker_stops_naming_loses_its_own_lease(one: Replica, clock: Clock) -> None:
    worker = await one.worker()
    await one.live(worker)
    await worker.attached("AJ_2", "coffee", room_sid="RM_2", session="S_2")
    await worker.beat("AJ_1", "AJ_2")
    for _ in range(SILENCE // 1000 + 2):
        await live_on(one, clock, 1)
        await worker.beat("AJ_2")
    assert (await one.session()).state is State.RECOVERING
    assert (await one.session("S_2")).agent.job == "AJ_2"


@sqlite_only
async def test_a_job_that_is_named_again_in_time_is_kept(one: Replica, clock: Clock) -> None:
    worker = await one.worker()
    await one.live(worker)
    await worker.beat()
    await live_on(one, clock, SILENCE // 1000 - 1)
    await worker.beat("AJ_1")
    for _ in range(4):
        await live_on(one, clock, 2)
        await worker.beat("AJ_1")
    assert (await one.session()).state is State.LIVE


@sqlite_only
async def test_a_broken_link_is_a_suspicion_until_the_lease_runs_out(one: Replica, clock: Clock) -> None:
    worker = await one.worker()
    await one.live(worker)
    await worker.beat("AJ_1")
    worker.vanish()
    await unlinked(one)
    session = await one.session()
    assert (session.state, session.agent.link_lost_at) == (State.LIVE, clock.now)
    await live_on(one, clock, 3)
    again = await one.worker()
    await again.attached()
    for _ in range(3):
        await again.beat("AJ_1")
        await live_on(one, clock, 3)
    session = await one.session()
    assert (session.state, session.agent.link_lost_at) == (State.LIVE, None)


@sqlite_only
async def test_a_job_that_a_returning_worker_does_not_attach_again_is_lost(one: Replica, clock: Clock) -> None:
    worker = await one.worker()
    await one.live(worker)
    worker.vanish()
    await unlinked(one)
    again = await one.worker()
    for _ in range(GRACE // 1000 + 1):
        await live_on(one, clock, 1)
        await again.beat()
    assert (await one.session()).state is State.RECOVERING


async def test_what_a_fenced_or_finished_job_leaves_has_no_lease(one: Replica, clock: Clock) -> None:
    worker = await one.worker()
    await one.live(worker)
    await worker.attach("AJ_2")
    await worker.over(link.Done(job="AJ_1"))
    told = await one.told()
    worker.vanish()
    await live_on(one, clock, 20)
    assert "LeaseExpired" not in await one.told()
    assert (await one.told())[: len(told)] == told


async def listens(engine: AsyncEngine) -> None:
    """Wait until a replica listens to PostgreSQL."""
    query = sa.text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()")
    async with asyncio.timeout(5):
        while True:
            async with engine.connect() as connection:
                if (await connection.execute(query)).scalar_one():
                    return
            await asyncio.sleep(0.01)


# Replicas that were away.


async def test_after_a_start_no_lease_runs_out_before_workers_had_time_to_come_back(
    engine: AsyncEngine, clock: Clock
) -> None:
    async with replica(engine, clock, "first") as one:
        await one.live(await one.worker())
        one.links._stopping = True  # it is killed: nobody says that links broke
    clock.pass_by(600)
    async with replica(engine, clock, "second") as one:
        await live_on(one, clock, GRACE // 1000)
        assert (await one.session()).state is State.LIVE
        assert (await one.session()).agent.link_lost_at is not None
        await live_on(one, clock, 1)
        assert (await one.session()).state is State.RECOVERING


async def test_a_worker_that_comes_back_after_a_start_goes_on(engine: AsyncEngine, clock: Clock) -> None:
    async with replica(engine, clock, "first") as one:
        worker = await one.worker()
        await one.live(worker)
        await worker.ship([item(1)])
        one.links._stopping = True
    clock.pass_by(600)
    async with replica(engine, clock, "second") as one:
        worker = await one.worker()
        assert (await worker.attached()).seq == 1
        for _ in range(5):
            await worker.beat("AJ_1")
            await live_on(one, clock, 4)
        session = await one.session()
        assert (session.state, session.agent.link_lost_at) == (State.LIVE, None)


@sqlite_only
async def test_a_replica_that_stood_still_blames_no_worker(one: Replica, clock: Clock) -> None:
    worker = await one.worker()
    await one.live(worker)
    clock.pass_by(60)  # paused: neither heartbeats nor rounds
    await one.links.watch()
    assert (await one.session()).state is State.LIVE
    await worker.beat("AJ_1")
    await live_on(one, clock, 4)
    assert (await one.session()).state is State.LIVE
    await live_on(one, clock, 8)
    assert (await one.session()).state is State.RECOVERING


@postgres_only
async def test_a_dead_replicas_workers_are_taken_over_with_new_leases(engine: AsyncEngine, clock: Clock) -> None:
    async with replica(engine, clock, "one") as one:
        async with replica(engine, clock, "two") as two:
            await two.live(await two.worker())
            two.links._stopping = True
        await live_on(one, clock, REPLICA_LEASE // 1000 + LEASE // 1000)
        session = await one.session()
        assert (session.state, session.agent.link_lost_at) == (State.LIVE, clock.now - LEASE + 1000)
        await live_on(one, clock, GRACE // 1000)
        assert (await one.session()).state is State.RECOVERING
        assert (await one.told()).count("LeaseExpired") == 1


@postgres_only
async def test_two_replicas_that_see_a_lease_run_out_tell_it_once(engine: AsyncEngine, clock: Clock) -> None:
    async with replica(engine, clock, "one") as one, replica(engine, clock, "two") as two:
        await one.live(await one.worker())
        for _ in range(7):
            clock.pass_by(1)
            await asyncio.gather(one.links.watch(), two.links.watch())
        assert (await one.told()).count("LeaseExpired") == 1


@postgres_only
async def test_a_replica_that_resigns_is_succeeded_at_once(engine: AsyncEngine, clock: Clock, store: Store) -> None:
    one, two = LinkStore(engine, store, "one"), LinkStore(engine, store, "two")
    for each in (one, two):
        await each.watch()
    await two.greet("worker-1", "c1")
    await two.resign()
    assert (await one.watch()).orphans == ("worker-1",)
    assert not await two.beat("worker-1", "c1")


@postgres_only
async def test_a_replica_that_has_just_started_is_not_taken_for_dead(
    engine: AsyncEngine, clock: Clock, store: Store
) -> None:
    one, two = LinkStore(engine, store, "one"), LinkStore(engine, store, "two")
    await two.greet("worker-1", "c1")  # before its first round
    assert not (await one.watch()).orphans
    assert await two.beat("worker-1", "c1")


@postgres_only
async def test_what_was_said_while_a_replica_was_taken_for_dead_is_told_after_all(
    engine: AsyncEngine, clock: Clock
) -> None:
    async with replica(engine, clock, "one") as one, replica(engine, clock, "two") as two:
        worker = await two.worker()
        await two.live(worker)
        await live_on(one, clock, REPLICA_LEASE // 1000 + 1)  # it is slow, not dead
        told = await one.store.tell("S_1", EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
        await one.carry_out("S_1", told.actions)  # to nobody: no replica says that it has the link
        await two.links.watch()
        await worker.say(link.Heartbeat(n=1, jobs=("AJ_1",)))
        assert await worker.closed() == (1008, "This connection counts no longer; connect again.")
        await unlinked(two)
        answers = await (await two.worker()).attach()
        assert [each.reason for each in answers if isinstance(each, link.EndNow)] == [Reason.OPERATOR_ENDED]


@postgres_only
async def test_a_letter_wakes_the_replica_it_is_for(engine: AsyncEngine, clock: Clock) -> None:
    async with replica(engine, clock, "one") as one, replica(engine, clock, "two") as two:
        running = asyncio.create_task(two.links.run())
        try:
            worker = await two.worker()
            await two.live(worker)
            await listens(engine)
            actions = (
                await one.store.tell("S_1", EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
            ).actions
            began = asyncio.get_running_loop().time()
            await one.carry_out("S_1", actions)
            assert (await worker.hear(link.EndNow)).goodbye
            assert asyncio.get_running_loop().time() - began < 0.5
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
