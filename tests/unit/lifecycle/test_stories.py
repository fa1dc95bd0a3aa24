"""The users' stories of what goes wrong in a room, each with the end that it must come to."""

from __future__ import annotations

import pytest

from roomkeeper.lifecycle.actions import (
    AcceptJob,
    CreateDispatch,
    DeleteRoom,
    EndAgent,
    FenceJob,
    RemoveParticipant,
    SendReport,
    StopEgress,
    Warn,
    WriteRoomState,
)
from roomkeeper.lifecycle.events import (
    AgentAttached,
    AgentDone,
    AgentLost,
    EgressStarted,
    EndAsked,
    GoodbyeOver,
    Noted,
    ParticipantJoined,
    ParticipantLeft,
    RoomFinished,
    RoomStarted,
    UserAway,
)
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import State, room_state
from roomkeeper.lifecycle.vocabulary import Dispatcher, Origin, ParticipantKind
from tests.unit.lifecycle.story import SECOND, Story


def test_the_silent_room_a_stock_agent_leaves_and_the_user_learns_it_at_once() -> None:
    story = Story()
    story.live(attached=False)

    story.agent_leaves()

    assert story.state() is State.ENDED
    assert story.reason() is Reason.AGENT_LEFT
    assert story.asked(WriteRoomState) == [WriteRoomState(seq=story.session.seq)]
    assert room_state(story.session, story.now)["reason"] == "agent_left"
    story.wait(3)
    assert story.asked(DeleteRoom) == [DeleteRoom(room="interview-1", sid="RM_1")]


def test_the_lost_transcript_every_item_is_counted_and_a_late_one_makes_a_revision() -> None:
    story = Story()
    story.live()
    story(Noted(at=0, job="AJ_1", seq=1, what="item"))
    story(EndAsked(at=0, job="AJ_1", reason=Reason.COMPLETED, by=By.AGENT))
    story(GoodbyeOver(at=0, job="AJ_1"))

    story(AgentDone(at=0, job="AJ_1"), after=0.5)
    assert story.asked(SendReport) == [SendReport(revision=1)]

    story(Noted(at=0, job="AJ_1", seq=2, what="item"), after=3600)
    story.wait(30)
    assert story.ever_asked(SendReport) == [SendReport(revision=1), SendReport(revision=2)]


def test_the_lost_transcript_a_killed_process_does_not_keep_the_report_from_being_sent() -> None:
    story = Story()
    story.live()
    story(EndAsked(at=0, job="AJ_1", reason=Reason.COMPLETED, by=By.AGENT))

    story(AgentLost(at=0, job="AJ_1", exit=-9), after=2)

    assert story.reason() is Reason.COMPLETED
    assert story.asked(SendReport) == [SendReport(revision=1)]


def test_ended_or_reconnecting_a_lost_network_holds_and_a_return_goes_on() -> None:
    story = Story()
    story.live()

    story.leaves(raw="CONNECTION_TIMEOUT")
    assert story.state() is State.HOLDING
    assert story.session.until == story.now + 300 * SECOND

    story(ParticipantJoined(at=0, sid="PA_again", identity="candidate"), after=299)
    assert story.state() is State.LIVE
    assert story.reason() is None


def test_ended_or_reconnecting_an_intended_end_says_why() -> None:
    story = Story()
    story.live()

    story(EndAsked(at=0, job="AJ_1", reason=Reason.COMPLETED, by=By.AGENT, detail="all questions asked"))
    assert room_state(story.session, story.now)["state"] == "ending"

    story(GoodbyeOver(at=0, job="AJ_1"))
    seen = room_state(story.session, story.now)
    assert (seen["state"], seen["reason"], seen["by"], seen["detail"]) == (
        "ended",
        "completed",
        "agent",
        "all questions asked",
    )


def test_the_long_recording_stops_with_the_session_and_not_with_the_last_lingering_participant() -> None:
    story = Story()
    story.live(attached=False)
    story(EgressStarted(at=0, egress="EG_1"))
    story.user("forgotten tab", hidden=True)

    story.leaves()
    story.wait(311)

    assert story.reason() is Reason.USER_LEFT
    assert story.ever_asked(StopEgress) == [StopEgress(egress="EG_1")]
    assert story.ever_asked(DeleteRoom) == [DeleteRoom(room="interview-1", sid="RM_1")]


def test_the_refresh_finds_the_same_agent_though_the_room_died_meanwhile() -> None:
    story = Story()
    story.live()
    story.leaves()
    story(RoomFinished(at=0, sid="RM_1"), after=20)
    story(AgentDone(at=0, job="AJ_1"))
    assert story.state() is State.HOLDING

    story(RoomStarted(at=0, sid="RM_2"), after=30)
    story.user(sid="PA_back", room_sid="RM_2")
    assert story.state() is State.RECOVERING

    story.wait(5)
    assert story.ever_asked(CreateDispatch) == [CreateDispatch(epoch=2)]
    story.agent("AJ_2", epoch=2)
    assert AcceptJob(job="AJ_2", epoch=2, resumed=True, muted=False) in story.ever
    assert story.state() is State.LIVE
    assert story.session.losses == ()
    assert story.session.sids == ("RM_1", "RM_2")


def test_the_refresh_by_a_doubled_identity_is_no_absence() -> None:
    story = Story()
    story.live()

    story.user(sid="PA_new")
    story.leaves(raw="DUPLICATE_IDENTITY")

    assert story.state() is State.LIVE
    assert [user.sid for user in story.session.users] == ["PA_new"]


def test_the_hang_up_frees_the_worker_at_once() -> None:
    story = Story(origin=Origin.SIP)
    story.room()
    story.user("+491234", kind=ParticipantKind.SIP)
    story.agent()

    story.leaves("+491234", kind=ParticipantKind.SIP)

    assert story.reason() is Reason.CALLER_HUNG_UP
    assert story.state() is State.ENDED
    assert [action.job for action in story.asked(EndAgent)] == ["AJ_1"]


def test_a_referred_call_is_transferred() -> None:
    story = Story(origin=Origin.SIP)
    story.room()
    story.user("+491234", kind=ParticipantKind.SIP)
    story.agent()

    story.leaves("+491234", kind=ParticipantKind.SIP, referred=True)

    assert story.reason() is Reason.TRANSFERRED


def test_a_busy_callee_is_a_failed_call_with_its_status_as_evidence() -> None:
    story = Story(origin=Origin.SIP, dispatcher=Dispatcher.ROOMKEEPER)
    story.room()
    story.user("+491234", kind=ParticipantKind.SIP)

    story.leaves("+491234", "USER_REJECTED", kind=ParticipantKind.SIP, sip_status=486)

    assert story.reason() is Reason.CALL_FAILED
    assert story.session.end is not None
    assert "the callee is busy (486)" in story.session.end.because


def test_the_stranded_agent_does_not_outlive_the_hold() -> None:
    story = Story({"hold.web": 60})
    story.live()
    story.leaves(raw="CONNECTION_TIMEOUT")

    story.wait(66)

    assert story.reason() is Reason.USER_LOST
    assert [action.job for action in story.ever_asked(EndAgent)] == ["AJ_1"]


def test_the_stranded_agent_lets_a_silent_user_go() -> None:
    story = Story()
    story.live()
    for check in (1, 2, 3):
        story(UserAway(at=0, job="AJ_1", check=check), after=10)
    assert story.session.check_ins == 3

    story(EndAsked(at=0, job="AJ_1", reason=Reason.USER_AWAY, by=By.AGENT))
    story(GoodbyeOver(at=0, job="AJ_1"))

    assert story.reason() is Reason.USER_AWAY


def test_the_stranded_agent_keeps_the_time_limit_after_its_warnings_and_through_a_hold() -> None:
    story = Story({"time_limit": 600})
    story.live()
    story.wait(400)
    story.leaves()
    story.wait(50)
    story.user(sid="PA_back")

    story.wait(150)

    assert [action.remaining for action in story.ever_asked(Warn)] == [120 * SECOND, 30 * SECOND]
    assert story.state() is State.ENDING
    assert [(action.reason, action.goodbye) for action in story.asked(EndAgent)] == [(Reason.TIME_LIMIT, True)]


def test_the_stranded_agent_nobody_joined_and_the_room_was_looked_at_twice() -> None:
    story = Story({"join_timeout": 60})
    story.room()
    story.agent()

    story.wait(64.9)
    assert story.state() is State.WAITING
    story.wait(0.1)

    assert story.reason() is Reason.USER_NEVER_JOINED


def test_the_crash_is_replaced_once_the_ghost_is_out() -> None:
    story = Story()
    story.live()
    story.wait(2400)

    story(AgentLost(at=0, job="AJ_1", exit=-9))
    assert story.state() is State.RECOVERING
    assert [action.identity for action in story.asked(RemoveParticipant)] == ["agent-AJ_1"]
    assert story.asked(CreateDispatch) == []

    story.agent_leaves(raw="PARTICIPANT_REMOVED")
    assert story.asked(CreateDispatch) == [CreateDispatch(epoch=2)]

    story.agent("AJ_2", epoch=2)
    assert story.state() is State.LIVE


def test_the_crash_too_often_ends_the_session() -> None:
    story = Story({"recover.attempts": 2})
    story.live()
    for number in (1, 2):
        story(AgentLost(at=0, job=f"AJ_{number}", exit=-9))
        story.agent_leaves(f"AJ_{number}", "PARTICIPANT_REMOVED")
        story.agent(f"AJ_{number + 1}", epoch=number + 1)

    story(AgentLost(at=0, job="AJ_3", exit=1))

    assert story.reason() is Reason.AGENT_FAILED
    assert story.state() is State.ENDED


def test_the_crash_in_a_hold_is_replaced_when_the_user_returns() -> None:
    story = Story()
    story.live()
    story.leaves()
    story(AgentLost(at=0, job="AJ_1", exit=-9))
    story.agent_leaves(raw="PARTICIPANT_REMOVED")
    story.wait(100)
    assert story.ever_asked(CreateDispatch) == []

    story.user(sid="PA_back")

    assert story.state() is State.RECOVERING
    assert story.asked(CreateDispatch) == [CreateDispatch(epoch=2)]


def test_next_week_is_another_session_and_the_old_token_is_swept() -> None:
    story = Story()
    story.live()
    story(EndAsked(at=0, job="AJ_1", reason=Reason.COMPLETED, by=By.AGENT))
    story(GoodbyeOver(at=0, job="AJ_1"))
    story.wait(3)
    story(RoomFinished(at=0, sid="RM_1"))
    assert story.session.settled

    story(RoomStarted(at=0, sid="RM_zombie"), after=7 * 24 * 3600)
    assert story.asked(WriteRoomState) == [WriteRoomState(seq=story.session.seq)]
    story(AgentAttached(at=0, job="AJ_zombie", identity="agent-AJ_zombie"))
    assert [action.job for action in story.asked(FenceJob)] == ["AJ_zombie"]
    story.wait(1)

    assert story.asked(DeleteRoom) == [DeleteRoom(room="interview-1", sid="RM_zombie")]
    assert story.reason() is Reason.COMPLETED


def test_several_people_one_leaving_does_not_end_it_for_the_others() -> None:
    story = Story({"hold.web": 10})
    story.live()
    story.user("host")

    story.leaves()
    story.wait(3600)
    assert story.state() is State.LIVE

    story.leaves("host")
    story.wait(15)
    assert story.reason() is Reason.USER_LEFT


def test_several_people_the_hold_of_a_page_outlasts_the_hang_up_of_a_phone() -> None:
    story = Story()
    story.live()
    story.user("+491234", kind=ParticipantKind.SIP)

    story.leaves()
    story.leaves("+491234", kind=ParticipantKind.SIP)

    assert story.state() is State.HOLDING
    assert story.session.until == story.now + 300 * SECOND


def test_several_people_only_the_host_ends_it_for_all() -> None:
    story = Story(host="boss")
    story.live()
    story.user("boss")

    story(EndAsked(at=0, reason=Reason.USER_ENDED, by=By.USER, identity="candidate"))
    assert story.ignored == "ends_for_all = host: candidate may only leave"

    story(EndAsked(at=0, reason=Reason.USER_ENDED, by=By.USER, identity="boss"))
    assert story.state() is State.ENDING


def test_several_people_go_on_after_a_transfer_and_the_room_goes_with_the_last_of_them() -> None:
    story = Story()
    story.live()
    story.user("specialist")

    story(EndAsked(at=0, job="AJ_1", reason=Reason.TRANSFERRED, by=By.AGENT))
    story(GoodbyeOver(at=0, job="AJ_1"))
    story.agent_leaves()
    story.wait(600)
    assert story.reason() is Reason.TRANSFERRED
    assert story.ever_asked(DeleteRoom) == []

    story.leaves()
    story.leaves("specialist")
    story.wait(3)
    assert story.asked(DeleteRoom) == [DeleteRoom(room="interview-1", sid="RM_1")]


@pytest.mark.parametrize("attached", [False, True])
def test_several_people_whom_an_agent_leaves_without_a_reason_are_not_thrown_out(*, attached: bool) -> None:
    story = Story()
    story.live(attached=attached)
    story.user("specialist")

    if attached:
        story(AgentDone(at=0, job="AJ_1"))
    story.agent_leaves()
    story.wait(600)

    assert story.reason() is Reason.TRANSFERRED
    assert story.ever_asked(DeleteRoom) == []


def test_one_person_who_is_there_twice_is_not_several_people() -> None:
    story = Story()
    story.live(attached=False)
    story.user(sid="PA_of_the_refreshed_page")

    story.agent_leaves()

    assert story.reason() is Reason.AGENT_LEFT


def test_the_lagging_dashboard_the_decisive_fact_and_its_setting_are_in_the_session() -> None:
    story = Story({"hold.web": 30})
    story.live(attached=False)

    story(ParticipantLeft(at=0, sid="PA_candidate", identity="candidate", raw="CONNECTION_TIMEOUT"))
    story.wait(35)

    assert story.session.end is not None
    assert story.session.end.because == (
        "candidate left with CONNECTION_TIMEOUT (the network was lost); no return within hold.web"
    )
