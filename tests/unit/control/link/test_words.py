"""What sessions ask for reaches the jobs it is about: now, as things are now, wherever their link is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from roomkeeper.lifecycle.actions import AcceptJob, EndAgent, FenceJob, MuteAgent, Warn
from roomkeeper.lifecycle.events import AgentYielded, EndAsked, LeaseExpired, TimerFired
from roomkeeper.lifecycle.policy import Policy
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import State
from roomkeeper.lifecycle.vocabulary import TimerKind
from roomkeeper.wire import link
from tests.unit.control.link.conftest import replica
from tests.unit.control.link.scripted import item

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.lifecycle.events import Event
    from tests.unit.control.conftest import Clock
    from tests.unit.control.link.conftest import Replica

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
postgres_only = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
CLOSED = EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR, detail="closing time")


async def happen(one: Replica, event: Event) -> None:
    told = await one.store.tell("S_1", event)
    await one.carry_out("S_1", told.actions)


@sqlite_only
async def test_an_operators_end_reaches_the_job_and_its_goodbye_ends_the_session(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    await happen(one, CLOSED)
    ending = await worker.hear(link.EndNow)
    assert (ending.reason, ending.detail, ending.goodbye) == ("operator_ended", "closing time", True)
    await worker.ship([link.Line(seq=1, at=1, type="goodbye_over")])
    assert (await one.session()).state is State.ENDED


@sqlite_only
async def test_the_time_limit_is_announced_to_the_job_in_charge(one: Replica, clock: Clock) -> None:
    worker = await one.worker()
    await one.live(worker, policy=Policy(time_limit=100, time_limit_warn=(30,)))
    clock.pass_by(70)
    await happen(one, TimerFired(at=0, kind=TimerKind.WARNING))
    assert await worker.hear(link.Warning) == link.Warning(job="AJ_1", remaining=30_000)


@sqlite_only
async def test_a_hand_over_is_yield_a_silent_successor_a_pause_and_a_voice(one: Replica) -> None:
    old, new = await one.worker("old"), await one.worker("new")
    await one.live(old)
    await old.say(link.Yield(job="AJ_1"))
    await old.attached()  # after the yield
    assert (await one.session()).successor == 2
    attached = await new.attached("AJ_2", epoch=2, session="S_1")
    assert (attached.epoch, attached.resumed, attached.muted) == (2, True, True)
    await one.agent_joins("AJ_2")
    await new.ship([link.Line(seq=1, at=1, type="started")], "AJ_2", epoch=2)
    await one.carry_out("S_1", (MuteAgent(job="AJ_1", muted=True),))
    assert await old.hear(link.Mute) == link.Mute(job="AJ_1")
    assert (await old.over(link.Done(job="AJ_1"))).over
    await one.carry_out("S_1", (MuteAgent(job="AJ_2", muted=False),))
    assert await new.hear(link.Unmute) == link.Unmute(job="AJ_2")
    session = await one.session()
    assert (session.state, session.agent.job, session.losses) == (State.LIVE, "AJ_2", ())
    await new.ship([item(2)], "AJ_2", epoch=2)


@sqlite_only
async def test_words_that_are_no_longer_true_are_not_said(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    await one.carry_out(
        "S_1",
        (
            EndAgent(job="AJ_1", reason=Reason.COMPLETED, detail=None, goodbye=True),  # nothing is decided
            AcceptJob(job="AJ_1", epoch=1, resumed=False, muted=False),  # was answered
            Warn(remaining=3),  # there is no limit
            MuteAgent(job="AJ_9", muted=True),  # of no place in this session
        ),
    )
    await one.carry_out("S_1", (MuteAgent(job="AJ_1", muted=True),))  # no successor is there: it speaks
    assert await worker.hear_all() == [link.Unmute(job="AJ_1")]


@sqlite_only
async def test_nothing_but_acknowledgements_follows_a_fence(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    await happen(one, LeaseExpired(at=0, job="AJ_1"))
    assert (await worker.hear(link.Fenced)).job == "AJ_1"
    await happen(one, CLOSED)
    await one.carry_out("S_1", (EndAgent(job="AJ_1", reason=Reason.COMPLETED, detail=None, goodbye=False),))
    await worker.ship([item(1)])
    assert [type(frame) for frame in worker.heard[-2:]] == [link.Fenced, link.Ack]


@sqlite_only
async def test_a_job_without_a_link_is_told_when_it_comes_back(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    worker.vanish()
    await happen(one, CLOSED)
    again = await one.worker()
    attached, ending = await again.attach()
    assert isinstance(attached, link.Attached)
    assert isinstance(ending, link.EndNow)
    assert ending.goodbye


@postgres_only
async def test_a_word_reaches_the_replica_that_holds_the_link(engine: AsyncEngine, clock: Clock) -> None:
    async with replica(engine, clock, "one") as one, replica(engine, clock, "two") as two:
        worker = await two.worker()
        await two.live(worker)
        await happen(one, CLOSED)
        assert await worker.hear_all() == []
        await two.links.read_mail()
        assert (await worker.hear(link.EndNow)).reason == "operator_ended"
        await two.links.read_mail()
        assert await worker.hear_all() == []


@postgres_only
async def test_a_word_follows_a_worker_that_moved_to_another_replica(engine: AsyncEngine, clock: Clock) -> None:
    async with replica(engine, clock, "one") as one, replica(engine, clock, "two") as two:
        before = await two.worker()
        await two.live(before)
        worker = await one.worker()  # the same worker, while the other replica has not noticed
        await worker.attached()
        await two.store.tell("S_1", AgentYielded(at=0, job="AJ_1"))
        await happen(one, CLOSED)
        assert (await worker.hear(link.EndNow)).goodbye
        await before.say(link.Heartbeat(n=1, jobs=("AJ_1",)))
        assert await before.closed() == (1008, "This connection counts no longer; connect again.")
        await worker.beat("AJ_1")


@sqlite_only
async def test_a_fence_is_said_again_to_whoever_asks_again(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    await worker.attach("AJ_2")
    await one.carry_out("S_1", (FenceJob(job="AJ_2", why="again"),))
    assert await worker.hear(link.Fenced) == link.Fenced(job="AJ_2", why="again")
