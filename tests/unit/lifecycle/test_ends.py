"""How a session ends: who may ask, what waits for the agent's word, what happens afterwards."""

from __future__ import annotations

import pytest

from roomkeeper.lifecycle.actions import (
    DeleteRoom,
    EndAgent,
    RemoveParticipant,
    SendReport,
    StopEgress,
    WriteRoomState,
)
from roomkeeper.lifecycle.bounds import SIDS_KEPT
from roomkeeper.lifecycle.events import (
    AgentAttached,
    AgentDone,
    AgentLost,
    ControlStarted,
    EgressEnded,
    EgressStarted,
    EndAsked,
    GoodbyeOver,
    LeaseExpired,
    LinkLost,
    Noted,
    ParticipantJoined,
    RoomFinished,
    RoomSeen,
    RoomStarted,
    Seen,
    TimerFired,
)
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import State
from roomkeeper.lifecycle.vocabulary import ParticipantKind, TimerKind
from tests.unit.lifecycle.story import SECOND, Story

COMPLETED = EndAsked(at=0, job="AJ_1", reason=Reason.COMPLETED, by=By.AGENT)
OPERATOR = EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR)


@pytest.fixture
def talk() -> Story:
    story = Story()
    story.live()
    return story


@pytest.fixture
def ended(talk: Story) -> Story:
    """Ended by the agent, which is done; the report is out, the room lingers."""
    talk(COMPLETED)
    talk(GoodbyeOver(at=0, job="AJ_1"))
    talk(AgentDone(at=0, job="AJ_1"))
    return talk


# Asking.


def test_a_user_asks_for_no_reason_but_their_own(talk: Story) -> None:
    talk(EndAsked(at=0, reason=Reason.COMPLETED, by=By.USER, identity="candidate"))

    assert talk.ignored == "a user may ask for user_ended only, not for completed"


def test_the_first_user_is_the_host() -> None:
    story = Story()
    story.live()
    story.user("guest")

    story(EndAsked(at=0, reason=Reason.USER_ENDED, by=By.USER, identity="guest"))
    assert story.ignored == "ends_for_all = host: guest may only leave"
    story(EndAsked(at=0, reason=Reason.USER_ENDED, by=By.USER, identity="candidate"))
    assert story.reason() is Reason.USER_ENDED


@pytest.mark.parametrize(("who", "ends"), [("anyone", True), ("nobody", False)])
def test_the_policy_says_who_ends_it_for_all(who: str, ends: bool) -> None:  # noqa: FBT001
    story = Story({"ends_for_all": who})
    story.live()

    story(EndAsked(at=0, reason=Reason.USER_ENDED, by=By.USER, identity="candidate"))

    assert (story.reason() is Reason.USER_ENDED) is ends


def test_the_first_end_wins(talk: Story) -> None:
    talk(COMPLETED)
    talk(OPERATOR)

    assert talk.ignored == "an end is decided already"
    assert talk.reason() is Reason.COMPLETED


def test_an_agent_that_asks_is_not_told(talk: Story) -> None:
    talk(COMPLETED)
    assert talk.asked(EndAgent) == []
    assert talk.session.timers == {TimerKind.GOODBYE: talk.now + 30 * SECOND}


def test_the_goodbye_is_bounded(talk: Story) -> None:
    talk(OPERATOR)
    assert talk.asked(EndAgent) == [
        EndAgent(job="AJ_1", reason=Reason.OPERATOR_ENDED, detail=None, goodbye=True),
    ]

    talk.wait(30)

    assert talk.state() is State.ENDED
    assert talk.asked(EndAgent) == [
        EndAgent(job="AJ_1", reason=Reason.OPERATOR_ENDED, detail=None, goodbye=False),
    ]


def test_nobody_is_left_to_hear_the_goodbye(talk: Story) -> None:
    talk(OPERATOR)
    talk.user("guest")
    talk.leaves()
    assert talk.state() is State.ENDING
    talk.leaves("guest")

    assert talk.state() is State.ENDED
    assert talk.reason() is Reason.OPERATOR_ENDED


def test_a_stock_agent_is_taken_out_at_the_end() -> None:
    story = Story()
    story.live(attached=False)

    story(OPERATOR)

    assert story.state() is State.ENDED
    assert [action.identity for action in story.asked(RemoveParticipant)] == ["agent-AJ_1"]


def test_the_detail_and_the_data_of_the_application_are_kept(talk: Story) -> None:
    talk(EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.APP, detail="slot is over", data={"score": 3}))

    assert talk.session.end is not None
    assert (talk.session.end.detail, talk.session.end.data) == ("slot is over", {"score": 3})


# Inferring.


def test_a_deleted_room_waits_for_the_word_of_an_attached_agent(talk: Story) -> None:
    talk.leaves(raw="ROOM_DELETED")
    assert talk.reason() is None

    talk(COMPLETED)

    assert talk.reason() is Reason.COMPLETED


def test_a_deleted_room_is_the_reason_once_the_agent_is_done(talk: Story) -> None:
    talk.leaves(raw="ROOM_DELETED")
    talk.agent_leaves(raw="ROOM_DELETED")
    talk(RoomFinished(at=0, sid="RM_1"))

    talk(AgentDone(at=0, job="AJ_1"))

    assert talk.reason() is Reason.ROOM_DELETED
    assert talk.asked(SendReport) == [SendReport(revision=1)]


def test_a_deleted_room_is_the_reason_if_the_agent_says_nothing(talk: Story) -> None:
    talk.leaves(raw="ROOM_DELETED")
    talk.user(sid="PA_again", room_sid="RM_2")

    talk.wait(5)

    assert talk.reason() is Reason.ROOM_DELETED


def test_an_inferred_end_waits_for_the_spool_behind_a_lost_link(talk: Story) -> None:
    talk(LinkLost(at=0, job="AJ_1"))
    talk.leaves(raw="PARTICIPANT_REMOVED")
    assert talk.state() is State.HOLDING
    assert talk.session.until == talk.now + 30 * SECOND

    talk(Noted(at=0, job="AJ_1", seq=1, what="item"))
    talk(COMPLETED)

    assert talk.reason() is Reason.COMPLETED


def test_an_inferred_end_is_decided_when_the_last_agent_has_said_all(talk: Story) -> None:
    story = talk
    story(LinkLost(at=0, job="AJ_1"))
    story.leaves(raw="PARTICIPANT_REMOVED")

    story(AgentLost(at=0, job="AJ_1", exit=-9))

    assert story.reason() is Reason.REMOVED


def test_failed_recoveries_wait_for_the_spool_of_the_last_agent() -> None:
    story = Story({"recover.attempts": 0})
    story.live()
    story(LeaseExpired(at=0, job="AJ_1"))
    assert story.state() is State.RECOVERING
    assert story.reason() is None

    story(COMPLETED)
    assert story.reason() is Reason.COMPLETED


def test_failed_recoveries_are_decided_after_the_wait() -> None:
    story = Story({"recover.attempts": 0})
    story.live()
    story(LeaseExpired(at=0, job="AJ_1"))
    story(TimerFired(at=0, kind=TimerKind.WORD))
    assert story.ignored == "the word alarm is not due yet"

    story.wait(30)

    assert story.reason() is Reason.AGENT_FAILED


def test_after_a_start_of_the_control_plane_no_end_is_inferred_for_thirty_seconds(talk: Story) -> None:
    talk.leaves(raw="CONNECTION_TIMEOUT")
    talk.wait(290)
    talk(ControlStarted(at=0))
    assert talk.session.until == talk.now + 30 * SECOND

    talk.wait(29)
    assert talk.state() is State.HOLDING
    talk(COMPLETED)

    assert talk.reason() is Reason.COMPLETED


def test_after_a_start_a_hang_up_waits_too() -> None:
    story = Story()
    story.room()
    story.user("+49123", kind=ParticipantKind.SIP)
    story.agent()
    story(ControlStarted(at=0))

    story.leaves("+49123", kind=ParticipantKind.SIP)
    assert story.state() is State.HOLDING
    story.wait(30)

    assert story.reason() is Reason.CALLER_HUNG_UP


def test_after_a_start_a_user_who_returns_undoes_an_inferred_end(talk: Story) -> None:
    talk(ControlStarted(at=0))
    talk.leaves(raw="PARTICIPANT_REMOVED")
    assert TimerKind.WORD in talk.session.timers

    talk.user(sid="PA_back")

    assert TimerKind.WORD not in talk.session.timers
    assert talk.state() is State.LIVE


def test_after_a_start_the_farewell_of_a_stock_agent_waits_and_stands() -> None:
    story = Story()
    story.live(attached=False)
    story(ControlStarted(at=0))
    story.agent_leaves()
    story.leaves()
    story.user(sid="PA_back")
    assert story.reason() is None

    story.wait(30)

    assert story.reason() is Reason.AGENT_LEFT


# Reporting.


def test_the_report_waits_thirty_seconds_for_an_agent_that_says_nothing(talk: Story) -> None:
    talk(COMPLETED)
    talk(GoodbyeOver(at=0, job="AJ_1"))
    assert talk.asked(SendReport) == []

    talk.wait(30)

    assert talk.ever_asked(SendReport) == [SendReport(revision=1)]
    talk(AgentLost(at=0, job="AJ_1", exit=None), after=60)
    assert talk.ever_asked(SendReport) == [SendReport(revision=1)]


def test_late_facts_make_one_revision_and_not_one_each(ended: Story) -> None:
    for seq in range(1, 50):
        ended(Noted(at=0, job="AJ_1", seq=seq, what="item"))
    ended.wait(30)

    assert ended.ever_asked(SendReport) == [SendReport(revision=1), SendReport(revision=2)]


def test_a_late_spool_that_is_complete_is_reported_at_once(ended: Story) -> None:
    ended(AgentAttached(at=0, job="AJ_2", identity="agent-AJ_2"))
    ended(Noted(at=0, job="AJ_2", seq=1, what="item"))

    ended(AgentDone(at=0, job="AJ_2"))

    assert ended.asked(SendReport) == [SendReport(revision=2)]


def test_leaves_after_the_end_make_no_revision(ended: Story) -> None:
    ended.leaves(raw="ROOM_DELETED")
    ended(RoomFinished(at=0, sid="RM_1"))
    ended.wait(60)

    assert ended.ever_asked(SendReport) == [SendReport(revision=1)]


# The room afterwards.


def test_the_room_lingers_and_goes(ended: Story) -> None:
    ended.wait(2.9)
    assert ended.ever_asked(DeleteRoom) == []
    ended.wait(0.1)
    assert ended.ever_asked(DeleteRoom) == [DeleteRoom(room="interview-1", sid="RM_1")]

    assert not ended.session.settled
    ended(RoomFinished(at=0, sid="RM_1"))
    assert ended.session.settled


def test_a_page_that_reconnects_within_the_linger_reads_why(ended: Story) -> None:
    ended.leaves()
    ended.user(sid="PA_back")

    assert ended.asked(WriteRoomState) == [WriteRoomState(seq=ended.session.seq)]
    ended.user(sid="PA_back")
    assert ended.ignored == "candidate is known"


def test_a_page_whose_leave_came_first_is_old_news(ended: Story) -> None:
    ended.leaves()
    ended.user()

    assert ended.ignored == "candidate is known"


def test_a_leave_after_the_end_of_somebody_unknown_is_nothing(ended: Story) -> None:
    ended.leaves("stranger")

    assert ended.ignored == "stranger was not known to be there"


def test_a_room_that_lives_after_the_end_is_swept_though_no_webhook_told_of_it(ended: Story) -> None:
    ended(RoomFinished(at=0, sid="RM_1"))

    zombie = (
        Seen(sid="PA_z", identity="candidate"),
        Seen(sid="PA_a", identity="agent-AJ_z", kind=ParticipantKind.AGENT),
    )
    ended(RoomSeen(at=0, sid="RM_z", people=zombie), after=60)
    assert [action.identity for action in ended.asked(RemoveParticipant)] == ["agent-AJ_z"]
    ended.wait(1)

    assert ended.asked(DeleteRoom) == [DeleteRoom(room="interview-1", sid="RM_z")]


def test_an_ended_sessions_room_that_is_made_again_for_ever_takes_no_more_place_for_that(ended: Story) -> None:
    first = ended.session.sids[0]
    for number in range(3 * SIDS_KEPT):
        ended(RoomStarted(at=0, sid=f"RM_again_{number}"))
    assert len(ended.session.sids) == SIDS_KEPT
    assert len(set(ended.session.sids)) == SIDS_KEPT
    assert (ended.session.sids[0], ended.session.sids[-1]) == (first, f"RM_again_{3 * SIDS_KEPT - 1}")
    assert ended.session.room_sid == ended.session.sids[-1]


def test_an_agent_that_comes_with_a_zombie_room_is_turned_out(ended: Story) -> None:
    ended(RoomFinished(at=0, sid="RM_1"))
    ended(RoomStarted(at=0, sid="RM_z"), after=60)

    ended(ParticipantJoined(at=0, sid="PA_a", identity="agent-AJ_z", kind=ParticipantKind.AGENT, room_sid="RM_z"))

    assert [action.identity for action in ended.asked(RemoveParticipant)] == ["agent-AJ_z"]


def test_a_session_without_a_room_has_none_to_delete() -> None:
    story = Story()

    story(OPERATOR)

    assert story.session.timers == {}
    assert story.session.settled


def test_recordings_are_stopped_with_the_end_and_one_that_starts_later_at_once(talk: Story) -> None:
    talk(EgressStarted(at=0, egress="EG_1"))
    talk(EgressStarted(at=0, egress="EG_1"))
    assert talk.ignored == "EG_1 is known"
    talk(EgressStarted(at=0, egress="EG_2"))
    talk(EgressEnded(at=0, egress="EG_1"))
    talk.leaves(raw="PARTICIPANT_REMOVED")
    assert talk.asked(StopEgress) == [StopEgress(egress="EG_2")]

    talk(EgressStarted(at=0, egress="EG_3"))
    assert talk.asked(StopEgress) == [StopEgress(egress="EG_3")]


# A transfer.


@pytest.fixture
def transferred(talk: Story) -> Story:
    talk.user("specialist")
    talk(EndAsked(at=0, job="AJ_1", reason=Reason.TRANSFERRED, by=By.AGENT))
    talk(GoodbyeOver(at=0, job="AJ_1"))
    return talk


def test_an_agent_that_stays_after_a_transfer_is_taken_out(transferred: Story) -> None:
    transferred.wait(3)

    assert [action.identity for action in transferred.ever_asked(RemoveParticipant)] == ["agent-AJ_1"]
    assert transferred.ever_asked(DeleteRoom) == []


def test_people_may_still_come_after_a_transfer(transferred: Story) -> None:
    transferred.user("colleague")
    transferred.agent_leaves()
    transferred.wait(60)

    assert transferred.ever_asked(DeleteRoom) == []
    assert transferred.ever_asked(RemoveParticipant) == []


@pytest.mark.parametrize("told_by", ["webhook", "join", "listing"])
def test_a_later_room_of_the_name_is_not_the_one_kept_after_a_transfer(transferred: Story, told_by: str) -> None:
    if told_by == "webhook":
        transferred(RoomStarted(at=0, sid="RM_2"))
    elif told_by == "join":
        transferred.user("old", sid="PA_old", room_sid="RM_2")
    else:
        transferred(RoomSeen(at=0, sid="RM_2", people=(Seen(sid="PA_old", identity="old"),)))

    transferred.answers = False
    transferred.wait(3)

    assert transferred.ever_asked(DeleteRoom) == [DeleteRoom(room="interview-1", sid="RM_2")]


def test_the_room_of_a_transfer_goes_when_a_listing_shows_nobody(transferred: Story) -> None:
    transferred(RoomSeen(at=0, sid="RM_1", people=(Seen(sid="PA_candidate", identity="candidate"),)))
    assert transferred.session.keeps_room
    transferred(RoomSeen(at=0, sid="RM_1"))
    transferred.wait(3)

    assert transferred.asked(DeleteRoom) == [DeleteRoom(room="interview-1", sid="RM_1")]
