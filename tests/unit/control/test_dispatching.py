"""Dispatches that are asked for again: replaced if nobody took them, left if somebody did and may still come."""

from __future__ import annotations

import pytest
from livekit.protocol import agent
from livekit.protocol.agent_dispatch import AgentDispatch, AgentDispatchState

from roomkeeper.control.dispatching import ANSWERED_WITHIN, EPOCH, JOINS_WITHIN, SESSION, Plan, Wanted, plan

NOW = 1_800_000_000.0
WANTED = Wanted(agent_name="interviewer", session="S_1", epoch=2, over={"AJ_1", "agent-AJ_1"})
RUNNING, FAILED = agent.JobStatus.JS_RUNNING, agent.JobStatus.JS_FAILED


def nanoseconds(age: float) -> int:
    return int((NOW - age) * 1e9)


def job(name: str, age: float = 1, *, status: agent.JobStatus = RUNNING, identity: str | None = None) -> agent.Job:
    state = agent.JobState(
        status=status,
        worker_id="AW_1",
        started_at=nanoseconds(age),
        participant_identity=f"agent-{name}" if identity is None else identity,
    )
    return agent.Job(id=name, state=state)


def dispatch(
    name: str,
    *jobs: agent.Job,
    epoch: int | None = 2,
    age: float = 10,
    session: str = "S_1",
    agent_name: str = "interviewer",
    metadata: str = "",
) -> AgentDispatch:
    made = AgentDispatch(
        id=name,
        agent_name=agent_name,
        metadata=metadata,
        state=AgentDispatchState(created_at=nanoseconds(age), jobs=jobs),
    )
    if epoch is not None:
        made.attributes.update({EPOCH: str(epoch), SESSION: session})
    return made


def planned(*listed: AgentDispatch) -> tuple[str | None, tuple[str, ...]]:
    found = plan(listed, WANTED, NOW)
    return found.keep, found.drop


def test_an_empty_room_gets_a_dispatch() -> None:
    assert plan([], WANTED, NOW) == Plan(keep=None, drop=(), metadata="")


def test_one_that_no_worker_took_is_replaced() -> None:
    assert planned(dispatch("AD_1")) == (None, ("AD_1",))


def test_one_that_a_worker_may_still_take_is_left() -> None:
    assert planned(dispatch("AD_1", age=ANSWERED_WITHIN - 0.1)) == ("AD_1", ())


def test_one_that_a_worker_took_is_left_while_its_agent_may_still_join() -> None:
    assert planned(dispatch("AD_1", job("AJ_2", JOINS_WITHIN - 0.1))) == ("AD_1", ())


def test_a_record_that_says_running_for_ever_is_not_believed_for_ever_and_its_job_not_ended() -> None:
    assert planned(dispatch("AD_1", job("AJ_2", JOINS_WITHIN + 0.1))) == (None, ())


@pytest.mark.parametrize("stale", [job("AJ_1"), job("AJ_9", identity="agent-AJ_1"), job("AJ_2", status=FAILED)])
def test_a_job_that_is_over_brings_nobody(stale: agent.Job) -> None:
    assert planned(dispatch("AD_1", stale, epoch=None)) == (None, ())


def test_the_rooms_own_dispatch_is_one_like_ours() -> None:
    assert planned(dispatch("AD_1", epoch=None)) == (None, ("AD_1",))
    assert planned(dispatch("AD_1", job("AJ_2"), epoch=None)) == ("AD_1", ())


def test_one_for_an_earlier_epoch_would_bring_an_agent_that_is_fenced() -> None:
    old, taken = dispatch("AD_1", epoch=1, age=1), dispatch("AD_2", job("AJ_3"), epoch=1)
    assert planned(old, taken) == (None, ("AD_1",))


def test_of_two_for_the_same_epoch_the_later_is_left() -> None:
    assert planned(dispatch("AD_2", age=1), dispatch("AD_1", age=2)) == ("AD_2", ("AD_1",))


def test_other_agents_and_other_sessions_are_not_touched() -> None:
    others = [dispatch("AD_1", agent_name="note-taker"), dispatch("AD_2", session="S_0")]
    assert planned(*others) == (None, ())


def test_the_applications_words_are_those_of_the_first_dispatch() -> None:
    first = dispatch("AD_1", job("AJ_1"), epoch=1, age=60, metadata='{"job": 7}')
    assert plan([dispatch("AD_2", age=50, metadata="later"), first], WANTED, NOW).metadata == '{"job": 7}'


def test_a_clock_that_is_far_ahead_keeps_nobody_waiting() -> None:
    assert planned(dispatch("AD_1", age=-60)) == (None, ("AD_1",))
    assert planned(dispatch("AD_1", job("AJ_2", -60))) == (None, ())
