"""Who is in charge: attaching, fencing, replacing."""

from __future__ import annotations

import pytest

from roomkeeper.lifecycle.actions import (
    AcceptJob,
    CreateDispatch,
    EmitEvent,
    FenceJob,
    RemoveParticipant,
    SendReport,
)
from roomkeeper.lifecycle.events import (
    AgentAttached,
    AgentDone,
    AgentLost,
    EndAsked,
    GoodbyeOver,
    LeaseExpired,
    LinkLost,
    Noted,
    ParticipantJoined,
    ParticipantRemoved,
    RoomSeen,
    Seen,
    UserAway,
    UserBack,
)
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import Standing, State
from roomkeeper.lifecycle.vocabulary import Dispatcher, ParticipantKind, TimerKind
from tests.unit.lifecycle.story import SECOND, Story


@pytest.fixture
def talk() -> Story:
    story = Story()
    story.live()
    return story


# Coming.


def test_nobody_is_live_before_the_agent_is_in_the_room() -> None:
    story = Story()
    story.room()
    story.user()

    story(AgentAttached(at=0, job="AJ_1", identity="agent-AJ_1"))

    assert story.asked(AcceptJob) == [AcceptJob(job="AJ_1", epoch=1, resumed=False, muted=False)]
    assert story.state() is State.WAITING


def test_an_agent_that_joins_before_it_attaches_is_the_same_one() -> None:
    story = Story()
    story.live(attached=False)

    story(AgentAttached(at=0, job="AJ_1", identity="agent-AJ_1"))

    assert story.asked(AcceptJob) == [AcceptJob(job="AJ_1", epoch=1, resumed=False, muted=False)]
    assert (story.session.agent.standing, story.session.agent.job) == (Standing.IN_CHARGE, "AJ_1")


def test_a_job_that_attaches_goes_before_an_agent_that_was_only_seen() -> None:
    story = Story()
    story.live(attached=False)

    story(AgentAttached(at=0, job="AJ_2", identity="agent-AJ_2"))

    assert story.session.agent.identity == "agent-AJ_2"


def test_an_agent_of_another_name_comes_and_goes() -> None:
    story = Story()
    story.room()
    story.user()

    story(ParticipantJoined(at=0, sid="PA_9", identity="notes", kind=ParticipantKind.AGENT, agent_name="note-taker"))

    assert story.state() is State.WAITING


def test_an_avatar_is_not_the_agent() -> None:
    story = Story()
    story.room()
    story.user()

    story(ParticipantJoined(at=0, sid="PA_9", identity="avatar", kind=ParticipantKind.AGENT, on_behalf="agent-AJ_1"))

    assert story.state() is State.WAITING


def test_a_second_dispatch_is_fenced_and_taken_out_of_the_room(talk: Story) -> None:
    talk(ParticipantJoined(at=0, sid="PA_2", identity="agent-AJ_2", kind=ParticipantKind.AGENT))
    talk(AgentAttached(at=0, job="AJ_2", identity="agent-AJ_2"))

    assert [action.job for action in talk.asked(FenceJob)] == ["AJ_2"]
    assert [action.identity for action in talk.asked(RemoveParticipant)] == ["agent-AJ_2"]
    assert talk.state() is State.LIVE


def test_a_fenced_job_is_removed_again_when_it_rejoins(talk: Story) -> None:
    talk(AgentAttached(at=0, job="AJ_2", identity="agent-AJ_2"))

    talk(ParticipantJoined(at=0, sid="PA_2", identity="agent-AJ_2", kind=ParticipantKind.AGENT))

    assert [action.identity for action in talk.asked(RemoveParticipant)] == ["agent-AJ_2"]


def test_the_job_of_an_older_epoch_is_fenced_even_if_nobody_is_in_charge(talk: Story) -> None:
    talk(AgentLost(at=0, job="AJ_1", exit=-9))

    talk(AgentAttached(at=0, job="AJ_late", identity="agent-late", epoch=1))

    assert [action.why for action in talk.asked(FenceJob)] == ["epoch 2 is in charge or expected"]


def test_only_the_first_job_of_an_epoch_gets_it(talk: Story) -> None:
    talk(AgentLost(at=0, job="AJ_1", exit=-9))
    talk(AgentAttached(at=0, job="AJ_2", identity="agent-AJ_2", epoch=2))

    talk(AgentAttached(at=0, job="AJ_3", identity="agent-AJ_3", epoch=2))

    assert [action.job for action in talk.asked(FenceJob)] == ["AJ_3"]
    assert talk.session.agent.job == "AJ_2"


def test_a_job_that_reports_again_after_its_link_was_down_is_still_in_charge(talk: Story) -> None:
    talk(LinkLost(at=0, job="AJ_1"))
    assert talk.link_lost_at() == talk.now

    talk(AgentAttached(at=0, job="AJ_1", identity="agent-AJ_1"), after=3)

    assert talk.link_lost_at() is None
    assert talk.asked(AcceptJob) == [AcceptJob(job="AJ_1", epoch=1, resumed=False, muted=False)]


# Going.


def test_a_lost_link_alone_replaces_nobody(talk: Story) -> None:
    talk(LinkLost(at=0, job="AJ_1"))
    talk.wait(4)

    assert talk.state() is State.LIVE
    assert talk.ever_asked(CreateDispatch) == []


def test_an_expired_lease_fences_removes_and_then_replaces(talk: Story) -> None:
    talk(LeaseExpired(at=0, job="AJ_1"))
    assert [action.job for action in talk.asked(FenceJob)] == ["AJ_1"]
    assert [action.identity for action in talk.asked(RemoveParticipant)] == ["agent-AJ_1"]
    assert talk.asked(CreateDispatch) == []

    talk(ParticipantRemoved(at=0, identity="agent-AJ_1"))
    assert talk.asked(CreateDispatch) == [CreateDispatch(epoch=2)]


def test_a_paused_agent_that_wakes_up_is_fenced_and_decides_nothing(talk: Story) -> None:
    talk(LeaseExpired(at=0, job="AJ_1"))
    talk(ParticipantRemoved(at=0, identity="agent-AJ_1"))
    talk.agent("AJ_2", epoch=2)

    talk(AgentAttached(at=0, job="AJ_1", identity="agent-AJ_1"), after=30)
    assert [action.job for action in talk.asked(FenceJob)] == ["AJ_1"]
    talk(EndAsked(at=0, job="AJ_1", reason=Reason.COMPLETED, by=By.AGENT))
    assert talk.ignored == "AJ_1 is not in charge: its end is a fact, no decision"
    talk(LeaseExpired(at=0, job="AJ_1"))
    assert talk.ignored == "AJ_1 is not in charge"
    assert talk.state() is State.LIVE


def test_an_end_journaled_before_the_loss_counts_while_nobody_else_is_in_charge(talk: Story) -> None:
    talk(LeaseExpired(at=0, job="AJ_1"))

    talk(EndAsked(at=0, job="AJ_1", reason=Reason.COMPLETED, by=By.AGENT))

    assert talk.reason() is Reason.COMPLETED


def test_an_agent_that_reconnects_fully_is_waited_for(talk: Story) -> None:
    talk.agent_leaves(raw="STATE_MISMATCH")
    assert talk.state() is State.LIVE
    assert talk.session.timers[TimerKind.AGENT_BACK] == talk.now + 5 * SECOND

    talk(ParticipantJoined(at=0, sid="PA_new", identity="agent-AJ_1", kind=ParticipantKind.AGENT), after=1)

    assert TimerKind.AGENT_BACK not in talk.session.timers
    assert talk.session.losses == ()


def test_an_agent_that_left_and_said_nothing_is_replaced(talk: Story) -> None:
    talk.agent_leaves()
    talk.wait(5)

    assert talk.state() is State.RECOVERING
    assert talk.ever_asked(CreateDispatch) == [CreateDispatch(epoch=2)]
    assert len(talk.session.losses) == 1


def test_an_attached_agent_that_leaves_and_is_done_has_left(talk: Story) -> None:
    talk.agent_leaves()
    talk(AgentDone(at=0, job="AJ_1"))

    assert talk.reason() is Reason.AGENT_LEFT


def test_a_stock_agent_that_vanishes_is_replaced() -> None:
    story = Story()
    story.live(attached=False)

    story.agent_leaves(raw="CONNECTION_TIMEOUT")

    assert story.state() is State.RECOVERING
    assert story.asked(CreateDispatch) == [CreateDispatch(epoch=2)]
    story.agent("AJ_2", attached=False)
    assert story.state() is State.LIVE


def test_a_lost_agent_that_the_application_dispatches_is_not_replaced() -> None:
    story = Story(dispatcher=Dispatcher.NOBODY)
    story.live(attached=False)

    story.agent_leaves(raw="CONNECTION_TIMEOUT")

    assert story.reason() is Reason.AGENT_FAILED


def test_a_stock_agent_that_leaves_an_empty_room_is_replaced_when_somebody_comes() -> None:
    story = Story()
    story.room()
    story.agent(attached=False)
    story.agent_leaves()
    assert story.state() is State.WAITING

    story.user()

    assert story.state() is State.RECOVERING
    assert story.asked(CreateDispatch) == [CreateDispatch(epoch=2)]
    assert story.session.losses == ()


def test_a_dispatch_without_an_agent_is_repeated_until_the_agent_timeout() -> None:
    story = Story(dispatcher=Dispatcher.ROOMKEEPER)
    story.room()
    story.user()
    assert story.asked(CreateDispatch) == [CreateDispatch(epoch=1)]

    story.wait(24.9)
    assert story.ever_asked(CreateDispatch) == [CreateDispatch(epoch=1)] * 5
    story.wait(0.1)

    assert story.reason() is Reason.AGENT_UNAVAILABLE


def test_the_application_dispatches_its_own_agent_and_roomkeeper_only_waits() -> None:
    story = Story(dispatcher=Dispatcher.NOBODY)
    story.room()
    story.user()

    story.wait(25)

    assert story.ever_asked(CreateDispatch) == []
    assert story.reason() is Reason.AGENT_UNAVAILABLE


def test_a_replacement_that_never_comes_costs_an_attempt_each_time() -> None:
    story = Story({"recover.attempts": 2})
    story.live(attached=False)
    story.agent_leaves(raw="CONNECTION_TIMEOUT")

    story.wait(25)
    assert story.state() is State.RECOVERING
    assert len(story.session.losses) == 2
    story.wait(25)

    assert story.reason() is Reason.AGENT_FAILED


def test_a_replacement_that_attaches_and_never_joins_is_given_up(talk: Story) -> None:
    talk(AgentLost(at=0, job="AJ_1", exit=-9))
    talk(ParticipantRemoved(at=0, identity="agent-AJ_1"))
    talk(AgentAttached(at=0, job="AJ_2", identity="agent-AJ_2", epoch=2))

    talk.wait(25)

    assert [action.job for action in talk.ever_asked(FenceJob)] == ["AJ_2"]
    assert talk.session.epochs[1].standing is Standing.FENCED
    assert talk.session.current == 3


@pytest.mark.parametrize("first", [True, False])
def test_an_agent_that_reports_just_before_it_is_given_up_has_time_to_join(*, first: bool) -> None:
    story = Story({"agent_timeout": 20})
    if first:
        story.room()
        story.user()
    else:
        story.live()
        story.agent_leaves(raw="CONNECTION_TIMEOUT")
    waits = story.state()
    story.wait(21)
    assert story.looks_for() is TimerKind.AGENT
    epoch = story.session.current

    story(AgentAttached(at=0, job="AJ_2", identity="agent-AJ_2", epoch=epoch))
    story.wait(15)
    story.look()

    assert (story.state(), story.session.current, story.session.agent.job) == (waits, epoch, "AJ_2")
    story.agent("AJ_2", epoch=epoch)
    assert story.state() is State.LIVE


def test_nobody_is_dispatched_any_more_while_the_last_word_of_the_lost_agent_is_awaited() -> None:
    story = Story({"recover.attempts": 0})
    story.live()
    story(LeaseExpired(at=0, job="AJ_1"))
    story(ParticipantRemoved(at=0, identity="agent-AJ_1"))

    story.user("guest")
    story.wait(29)

    assert story.ever_asked(CreateDispatch) == []
    assert story.state() is State.RECOVERING
    assert TimerKind.AGENT not in story.session.timers


def test_losses_outside_the_window_are_forgotten() -> None:
    story = Story({"recover.attempts": 1, "recover.window": 60})
    story.live(attached=False)
    for number in (1, 2, 3):
        story.agent_leaves(f"AJ_{number}", "CONNECTION_TIMEOUT")
        story.agent(f"AJ_{number + 1}", attached=False)
        story.wait(61)

    assert story.state() is State.LIVE


def test_an_agent_missing_from_two_listings_is_lost(talk: Story) -> None:
    user_only = (Seen(sid="PA_candidate", identity="candidate"),)

    talk(RoomSeen(at=0, sid="RM_1", people=user_only))
    assert talk.state() is State.LIVE
    talk(RoomSeen(at=0, sid="RM_1", people=user_only), after=4)
    assert talk.state() is State.LIVE
    talk.answers = False
    talk(RoomSeen(at=0, sid="RM_1", people=user_only), after=1)

    assert talk.state() is State.RECOVERING


def test_a_ghost_that_is_still_there_is_removed_again_before_the_dispatch(talk: Story) -> None:
    talk(AgentLost(at=0, job="AJ_1", exit=-9))

    talk.wait(5)

    assert [action.identity for action in talk.ever_asked(RemoveParticipant)] == ["agent-AJ_1", "agent-AJ_1"]
    assert talk.ever_asked(CreateDispatch) == []


def test_an_agent_with_a_fixed_identity_is_not_taken_for_its_own_ghost(talk: Story) -> None:
    talk(AgentLost(at=0, job="AJ_1", exit=-9))
    talk(ParticipantRemoved(at=0, identity="agent-AJ_1"))
    talk(AgentAttached(at=0, job="AJ_2", identity="agent-AJ_1", epoch=2))
    talk(ParticipantJoined(at=0, sid="PA_2", identity="agent-AJ_1", kind=ParticipantKind.AGENT))

    talk(ParticipantRemoved(at=0, identity="agent-AJ_1"))

    assert talk.ignored == "agent-AJ_1 is in charge now"
    assert talk.state() is State.LIVE


def test_check_ins_survive_a_replacement_and_a_word_clears_them(talk: Story) -> None:
    talk(UserAway(at=0, job="AJ_1", check=2))
    talk(AgentLost(at=0, job="AJ_1", exit=-9))
    talk(ParticipantRemoved(at=0, identity="agent-AJ_1"))
    talk.agent("AJ_2", epoch=2)
    assert talk.session.check_ins == 2

    talk(UserBack(at=0, job="AJ_1"))
    assert talk.ignored == "AJ_1 is not in charge"
    talk(UserBack(at=0, job="AJ_2"))
    assert talk.session.check_ins == 0


def test_facts_of_a_job_that_never_attached_are_kept_too(talk: Story) -> None:
    assert [type(action) for action in talk(Noted(at=0, job="AJ_old", seq=1, what="item"))] == [EmitEvent]
    talk(Noted(at=0, job="AJ_old", seq=1, what="item"))

    assert talk.ignored == "line 1 of AJ_old is already known"
    assert [(epoch.number, epoch.standing) for epoch in talk.session.epochs] == [
        (1, Standing.IN_CHARGE),
        (2, Standing.FENCED),
    ]


def test_an_agent_that_only_listens_is_not_the_one_waited_for() -> None:
    story = Story()
    story.room()
    story.user()

    story(ParticipantJoined(at=0, sid="PA_scribe", identity="scribe", kind=ParticipantKind.AGENT, hidden=True))

    assert story.state() is State.WAITING
    assert story.session.agent.identity is None


@pytest.mark.parametrize("raw", ["CONNECTION_TIMEOUT", "CLIENT_INITIATED"])
def test_an_agent_that_came_before_the_last_one_was_known_to_be_gone_is_in_charge_and_no_other_is_sent(
    raw: str,
) -> None:
    story = Story()
    story.live(attached=False)
    story.agent("AJ_2", attached=False)

    story.agent_leaves("AJ_1", raw)

    assert story.state() is State.LIVE
    assert story.session.agent.identity == "agent-AJ_2"
    assert story.ever_asked(CreateDispatch) == []
    story.agent_leaves("AJ_2")
    assert story.reason() is Reason.AGENT_LEFT


def test_the_avatar_of_an_agent_that_attached_does_not_stand_in_for_it(talk: Story) -> None:
    talk(ParticipantJoined(at=0, sid="PA_avatar", identity="avatar", kind=ParticipantKind.AGENT, told_by="job AJ_1"))

    talk(AgentLost(at=0, job="AJ_1", exit=-9))

    assert talk.state() is State.RECOVERING
    assert talk.session.agent.identity is None


def test_where_no_agent_is_replaced_none_is_however_long_ago_it_was_lost() -> None:
    story = Story({"recover.attempts": 0, "recover.window": 60, "hold.web": 600})
    story.live()
    story.leaves()
    story(AgentLost(at=0, job="AJ_1", exit=-9))

    story.wait(100)
    story.user(sid="PA_again")

    assert story.reason() is Reason.AGENT_FAILED


def test_whoever_comes_back_is_asked_anew_whether_they_are_there(talk: Story) -> None:
    talk(UserAway(at=0, job="AJ_1", check=2))
    talk.leaves()

    talk.user(sid="PA_again")

    assert talk.session.check_ins == 0


# At the end.


def test_the_goodbye_of_another_job_does_not_end_it(talk: Story) -> None:
    talk(EndAsked(at=0, job="AJ_1", reason=Reason.COMPLETED, by=By.AGENT))

    talk(GoodbyeOver(at=0, job="AJ_2"))

    assert talk.ignored == "AJ_2 is not in charge"
    assert talk.state() is State.ENDING


def test_an_agent_that_reconnects_during_its_goodbye_may_go_on(talk: Story) -> None:
    talk(EndAsked(at=0, job="AJ_1", reason=Reason.COMPLETED, by=By.AGENT))

    talk.agent_leaves(raw="DUPLICATE_IDENTITY")

    assert talk.state() is State.ENDING


def test_the_loss_of_another_job_does_not_cut_the_goodbye(talk: Story) -> None:
    talk(Noted(at=0, job="AJ_old", seq=1, what="item"))
    talk(EndAsked(at=0, job="AJ_1", reason=Reason.COMPLETED, by=By.AGENT))

    talk(AgentLost(at=0, job="AJ_old", exit=None))

    assert talk.state() is State.ENDING


def test_a_job_that_tells_its_end_twice_is_heard_once(talk: Story) -> None:
    talk(EndAsked(at=0, job="AJ_1", reason=Reason.COMPLETED, by=By.AGENT))
    talk(AgentDone(at=0, job="AJ_1"))
    assert talk.asked(SendReport) == [SendReport(revision=1)]

    talk(AgentDone(at=0, job="AJ_1"))
    assert talk.ignored == "AJ_1 is already over"


def test_an_agent_whose_coming_was_never_told_may_leave_and_is_expected_back() -> None:
    story = Story()
    story.room()
    story.user()
    story(AgentAttached(at=0, job="AJ_1", identity="agent-AJ_1"))
    assert story.state() is State.WAITING

    story.agent_leaves(raw="STATE_MISMATCH")
    assert story.state() is State.LIVE

    story.wait(6)
    assert story.state() is State.RECOVERING
