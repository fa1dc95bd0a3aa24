"""A hand-over: the successor waits, muted, until the old agent finds a pause."""

from __future__ import annotations

import pytest

from roomkeeper.lifecycle.actions import (
    AcceptJob,
    CreateDispatch,
    EndAgent,
    FenceJob,
    MuteAgent,
    RemoveParticipant,
)
from roomkeeper.lifecycle.events import (
    AgentAttached,
    AgentDone,
    AgentLost,
    AgentYielded,
    EndAsked,
    LeaseExpired,
    Noted,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantRemoved,
)
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import State
from roomkeeper.lifecycle.vocabulary import Dispatcher, ParticipantKind
from tests.unit.lifecycle.story import Story


def started(job: str) -> Noted:
    return Noted(at=0, job=job, seq=1, what="started", data={})


@pytest.fixture
def talk() -> Story:
    story = Story()
    story.live()
    return story


@pytest.fixture
def handing_over(talk: Story) -> Story:
    """The old agent has yielded, the successor is in the room, muted, and its session has started."""
    talk(AgentYielded(at=0, job="AJ_1"))
    talk.agent("AJ_2", epoch=2)
    talk(started("AJ_2"))
    return talk


def test_a_hand_over_costs_no_attempt_and_the_session_stays_live(handing_over: Story) -> None:
    assert CreateDispatch(epoch=2) in handing_over.ever
    assert AcceptJob(job="AJ_2", epoch=2, resumed=True, muted=True) in handing_over.ever
    assert handing_over.asked(MuteAgent) == [MuteAgent(job="AJ_1", muted=True)]

    handing_over.agent_leaves()
    handing_over(AgentDone(at=0, job="AJ_1"))

    assert handing_over.asked(MuteAgent) == [MuteAgent(job="AJ_2", muted=False)]
    assert handing_over.state() is State.LIVE
    assert handing_over.session.current == 2
    assert handing_over.session.losses == ()
    assert {State.RECOVERING, State.HOLDING}.isdisjoint(
        action.topic.removeprefix("session.") for action in handing_over.ever if hasattr(action, "topic")
    )


def test_an_agent_that_finds_no_pause_is_cut_off(handing_over: Story) -> None:
    handing_over.wait(10)

    assert [action.job for action in handing_over.ever_asked(FenceJob)] == ["AJ_1"]
    assert [action.identity for action in handing_over.ever_asked(RemoveParticipant)] == ["agent-AJ_1"]
    assert handing_over.state() is State.LIVE
    assert handing_over.session.agent.job == "AJ_2"


def test_the_old_agent_goes_on_until_the_session_of_its_successor_has_started(talk: Story) -> None:
    talk(AgentYielded(at=0, job="AJ_1"))
    talk.agent("AJ_2", epoch=2)
    assert talk.ever_asked(MuteAgent) == []

    talk(started("AJ_2"))

    assert talk.asked(MuteAgent) == [MuteAgent(job="AJ_1", muted=True)]


def test_the_start_of_any_other_session_mutes_nobody(talk: Story) -> None:
    talk(started("AJ_1"))
    talk(AgentYielded(at=0, job="AJ_1"))
    talk(Noted(at=0, job="AJ_1", seq=2, what="started", data={}))

    assert talk.ever_asked(MuteAgent) == []


def test_a_session_may_start_before_the_room_tells_of_its_agent(talk: Story) -> None:
    talk(AgentYielded(at=0, job="AJ_1"))
    talk(AgentAttached(at=0, job="AJ_2", identity="agent-AJ_2", epoch=2))

    talk(started("AJ_2"))

    assert talk.asked(MuteAgent) == [MuteAgent(job="AJ_1", muted=True)]


def test_a_successor_that_reports_again_is_still_muted(handing_over: Story) -> None:
    handing_over(AgentAttached(at=0, job="AJ_2", identity="agent-AJ_2", epoch=2))

    assert handing_over.asked(AcceptJob) == [AcceptJob(job="AJ_2", epoch=2, resumed=True, muted=True)]


@pytest.mark.parametrize("how", ["lost", "lease", "left"])
def test_a_successor_that_fails_gives_the_voice_back(handing_over: Story, how: str) -> None:
    if how == "lost":
        handing_over(AgentLost(at=0, job="AJ_2", exit=1))
    elif how == "lease":
        handing_over(LeaseExpired(at=0, job="AJ_2"))
    else:
        handing_over(
            ParticipantLeft(
                at=0, sid="PA_agent-AJ_2", identity="agent-AJ_2", kind=ParticipantKind.AGENT, raw="CONNECTION_TIMEOUT"
            )
        )

    assert handing_over.asked(MuteAgent) == [MuteAgent(job="AJ_1", muted=False)]
    assert handing_over.session.successor is None
    assert handing_over.session.agent.job == "AJ_1"
    assert handing_over.state() is State.LIVE


def test_a_successor_that_dies_before_it_is_in_the_room_changes_nothing(talk: Story) -> None:
    talk(AgentYielded(at=0, job="AJ_1"))
    talk(AgentAttached(at=0, job="AJ_2", identity="agent-AJ_2", epoch=2))

    talk(AgentLost(at=0, job="AJ_2", exit=1))

    assert talk.asked(MuteAgent) == []
    assert talk.session.successor is None


def test_a_second_wish_to_yield_is_one_wish(handing_over: Story) -> None:
    handing_over(AgentYielded(at=0, job="AJ_1"))

    assert handing_over.ignored == "the successor is there"


def test_a_second_wish_to_yield_repeats_a_dispatch_that_brought_nobody(talk: Story) -> None:
    talk(AgentYielded(at=0, job="AJ_1"))

    talk(AgentYielded(at=0, job="AJ_1"), after=5)

    assert talk.asked(CreateDispatch) == [CreateDispatch(epoch=2)]
    assert talk.session.successor == 2


def test_an_old_agent_that_dies_before_its_successor_came_is_replaced_by_it_at_no_cost_of_a_second_dispatch(
    talk: Story,
) -> None:
    talk(AgentYielded(at=0, job="AJ_1"))

    talk(AgentDone(at=0, job="AJ_1"))
    assert talk.state() is State.RECOVERING
    assert talk.session.current == 2
    talk(ParticipantRemoved(at=0, identity="agent-AJ_1"))
    talk.agent("AJ_2", epoch=2)

    assert talk.state() is State.LIVE
    assert talk.session.losses == ()


def test_a_successor_that_is_attached_and_not_yet_in_the_room_takes_over_when_it_comes(talk: Story) -> None:
    talk(AgentYielded(at=0, job="AJ_1"))
    talk(AgentAttached(at=0, job="AJ_2", identity="agent-AJ_2", epoch=2))
    talk(AgentDone(at=0, job="AJ_1"))
    assert talk.state() is State.RECOVERING

    talk(ParticipantJoined(at=0, sid="PA_2", identity="agent-AJ_2", kind=ParticipantKind.AGENT))

    assert talk.state() is State.LIVE


def test_an_agent_of_an_empty_room_is_simply_let_go(talk: Story) -> None:
    talk.leaves()

    talk(AgentYielded(at=0, job="AJ_1"))

    assert talk.asked(CreateDispatch) == []
    assert [action.job for action in talk.asked(FenceJob)] == ["AJ_1"]


def test_an_agent_that_the_application_dispatches_has_to_drain() -> None:
    story = Story(dispatcher=Dispatcher.NOBODY)
    story.live()

    story(AgentYielded(at=0, job="AJ_1"))

    assert story.ignored == "the application dispatches its agents: the worker has to drain"


def test_an_end_during_a_hand_over_sends_the_successor_away(handing_over: Story) -> None:
    handing_over(EndAsked(at=0, job="AJ_1", reason=Reason.COMPLETED, by=By.AGENT))

    assert [action.job for action in handing_over.asked(FenceJob)] == ["AJ_2"]
    assert handing_over.asked(EndAgent) == []
    assert handing_over.state() is State.ENDING


def test_an_end_before_the_successor_came_leaves_nobody_to_send_away(talk: Story) -> None:
    talk(AgentYielded(at=0, job="AJ_1"))

    talk(EndAsked(at=0, job="AJ_1", reason=Reason.COMPLETED, by=By.AGENT))

    assert talk.asked(FenceJob) == []
    talk(AgentAttached(at=0, job="AJ_2", identity="agent-AJ_2", epoch=2))
    assert [action.why for action in talk.asked(FenceJob)] == ["the end of the session is decided"]
