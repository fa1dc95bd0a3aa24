"""The room and its people, told late, twice, in the wrong order, or only by a listing."""

from __future__ import annotations

import pytest

from roomkeeper.lifecycle.absence import treated_as
from roomkeeper.lifecycle.actions import DeleteRoom, EndAgent, LookAtRoom, WriteRoomState
from roomkeeper.lifecycle.events import (
    AgentDone,
    AgentLost,
    ControlStarted,
    EndAsked,
    LookFailed,
    ParticipantAborted,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantRemoved,
    RoomFinished,
    RoomSeen,
    RoomStarted,
    Seen,
    TimerFired,
)
from roomkeeper.lifecycle.policy import Kind
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import State
from roomkeeper.lifecycle.vocabulary import ParticipantKind, TimerKind
from tests.unit.lifecycle.story import SECOND, Story

CANDIDATE = Seen(sid="PA_candidate", identity="candidate")
AGENT = Seen(sid="PA_agent-AJ_1", identity="agent-AJ_1", kind=ParticipantKind.AGENT)


@pytest.fixture
def talk() -> Story:
    story = Story()
    story.live()
    story.answers = False
    return story


# Any order, any number of times.


def test_the_same_join_twice_is_one_join(talk: Story) -> None:
    talk.user()

    assert talk.ignored == "candidate is known to be there"


def test_a_join_that_comes_after_its_leave_is_old_news(talk: Story) -> None:
    talk.leaves()
    talk.user()

    assert talk.ignored == "candidate has left again"
    assert talk.state() is State.HOLDING


def test_the_same_leave_twice_is_one_leave(talk: Story) -> None:
    talk.leaves()
    talk.leaves()

    assert talk.ignored == "candidate is known to have left"


def test_a_leave_whose_join_was_lost_is_a_leave() -> None:
    story = Story()
    story.room()

    story.leaves()

    assert story.state() is State.HOLDING
    assert TimerKind.JOIN not in story.session.timers


def test_a_leave_of_somebody_who_does_not_count_is_nothing() -> None:
    story = Story()
    story.room()

    story.leaves("supervisor", hidden=True)

    assert story.state() is State.WAITING
    assert TimerKind.JOIN in story.session.timers


def test_a_join_in_a_new_room_is_the_rooms_start_too(talk: Story) -> None:
    talk.user(sid="PA_new", room_sid="RM_2")

    assert talk.session.room_sid == "RM_2"
    assert talk.session.sids == ("RM_1", "RM_2")
    assert WriteRoomState(seq=talk.session.seq) in talk.asked(WriteRoomState)


def test_words_about_an_earlier_room_change_nothing(talk: Story) -> None:
    talk(RoomStarted(at=0, sid="RM_2"))

    talk.user(sid="PA_late", room_sid="RM_1")
    assert talk.ignored == "RM_1 is an earlier room"
    talk.leaves("stranger", room_sid="RM_1")
    assert talk.ignored == "stranger was not known to be there"
    talk(RoomStarted(at=0, sid="RM_1"))
    assert talk.ignored == "RM_1 is known"
    talk(RoomFinished(at=0, sid="RM_1"))
    assert talk.ignored == "RM_1 is not the room this session lives in"


def test_a_hang_up_told_by_the_next_rooms_join_ends_the_session_and_the_new_room_is_swept() -> None:
    story = Story()
    story.room()
    story.user("+49123", kind=ParticipantKind.SIP)

    story.user("+49123", kind=ParticipantKind.SIP, sid="PA_new", room_sid="RM_2")

    assert story.reason() is Reason.USER_LOST
    story.wait(1)
    assert story.asked(DeleteRoom) == [DeleteRoom(room="interview-1", sid="RM_2")]


def test_a_hang_up_told_by_a_listing_of_the_next_room_ends_the_session_and_the_new_room_is_swept() -> None:
    story = Story()
    story.room()
    story.user("+49123", kind=ParticipantKind.SIP)

    story(RoomSeen(at=0, sid="RM_2", people=(CANDIDATE,)))

    assert story.reason() is Reason.USER_LOST
    story.wait(1)
    assert story.asked(DeleteRoom) == [DeleteRoom(room="interview-1", sid="RM_2")]


def test_a_reason_that_comes_after_the_rooms_end_replaces_the_guess(talk: Story) -> None:
    talk(RoomFinished(at=0, sid="RM_1"))
    assert [absent.cause for absent in talk.session.absent] == [Reason.USER_LOST]

    talk.leaves()

    assert [absent.cause for absent in talk.session.absent] == [Reason.USER_LEFT]
    assert talk.state() is State.HOLDING


def test_a_final_reason_that_comes_after_the_rooms_end_ends_the_hold(talk: Story) -> None:
    talk(RoomFinished(at=0, sid="RM_1"))

    talk.leaves(raw="PARTICIPANT_REMOVED")

    assert talk.reason() is Reason.REMOVED


def test_a_reason_that_comes_after_two_listings_without_the_room_replaces_the_guess(talk: Story) -> None:
    talk(RoomSeen(at=0, sid=None))
    talk(RoomSeen(at=0, sid=None), after=5)
    missed_at = talk.now

    talk.now += 10 * SECOND
    talk.leaves(room_sid="RM_1")

    assert [(absent.cause, absent.left_at) for absent in talk.session.absent] == [(Reason.USER_LEFT, missed_at)]


def test_a_reason_that_comes_after_two_listings_without_the_user_does_not_begin_the_hold_anew(talk: Story) -> None:
    talk(RoomSeen(at=0, sid="RM_1", people=(AGENT,)))
    talk(RoomSeen(at=0, sid="RM_1", people=(AGENT,)), after=5)
    until = talk.session.until

    talk.now += 10 * SECOND
    talk.leaves()

    assert talk.session.until == until
    assert [absent.cause for absent in talk.session.absent] == [Reason.USER_LEFT]
    talk(RoomSeen(at=0, sid="RM_1", people=(AGENT, CANDIDATE)))
    assert talk.state() is State.HOLDING


def test_a_listing_of_an_earlier_room_that_comes_late_is_corrected_by_the_next(talk: Story) -> None:
    talk(RoomFinished(at=0, sid="RM_1"))
    talk(RoomStarted(at=0, sid="RM_2"))
    talk.user(sid="PA_again", room_sid="RM_2")
    talk(ParticipantJoined(at=0, sid="PA_2", identity="agent-AJ_1", kind=ParticipantKind.AGENT, room_sid="RM_2"))

    talk(RoomSeen(at=0, sid="RM_1"))
    assert talk.state() is State.HOLDING
    now_there = (
        Seen(sid="PA_again", identity="candidate"),
        Seen(sid="PA_2", identity="agent-AJ_1", kind=ParticipantKind.AGENT),
    )
    talk(RoomSeen(at=0, sid="RM_2", people=now_there))

    assert talk.state() is State.LIVE
    assert talk.session.room_sid == "RM_2"


def test_a_deletion_that_is_told_after_the_rooms_end_ends_the_session(talk: Story) -> None:
    talk(RoomFinished(at=0, sid="RM_1"))
    talk(AgentDone(at=0, job="AJ_1"))

    talk.leaves(raw="ROOM_DELETED")

    assert talk.reason() is Reason.ROOM_DELETED


def test_the_room_ends_around_an_agent_that_follows_into_the_next_one(talk: Story) -> None:
    talk(RoomFinished(at=0, sid="RM_1"))
    talk(RoomStarted(at=0, sid="RM_2"))
    talk(ParticipantJoined(at=0, sid="PA_a2", identity="agent-AJ_1", kind=ParticipantKind.AGENT, room_sid="RM_2"))
    talk.user(sid="PA_u2", room_sid="RM_2")

    assert talk.state() is State.LIVE
    assert talk.session.current == 1


def test_the_room_ends_around_an_agent_that_does_not_follow_and_that_costs_no_attempt(talk: Story) -> None:
    talk(RoomFinished(at=0, sid="RM_1"))
    talk.wait(5)

    assert talk.state() is State.HOLDING
    assert talk.session.current == 2
    assert talk.session.losses == ()


def test_an_agent_that_leaves_as_the_room_closes_costs_no_attempt() -> None:
    story = Story()
    story.live(attached=False)
    story.leaves()

    story.agent_leaves(raw="ROOM_CLOSED")

    assert story.state() is State.HOLDING
    assert story.session.losses == ()
    assert story.session.current == 2


def test_the_rooms_end_during_the_goodbye_is_the_end(talk: Story) -> None:
    talk(EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))

    talk(RoomFinished(at=0, sid="RM_1"))

    assert talk.state() is State.ENDED
    assert [action.goodbye for action in talk.asked(EndAgent)] == [False]


def test_an_agent_confirmed_to_be_out_that_never_was_in_is_nothing(talk: Story) -> None:
    talk(ParticipantRemoved(at=0, identity="agent-AJ_9"))

    assert talk.ignored == "agent-AJ_9 is no agent in the room"


# Joining and failing to.


def test_somebody_who_never_became_active_was_never_there(talk: Story) -> None:
    talk(ParticipantAborted(at=0, sid="PA_x", identity="third"))

    assert talk.ignored == "third never was in the room"


def test_somebody_a_listing_had_seen_and_who_never_became_active_has_left(talk: Story) -> None:
    talk.user("third")

    talk(ParticipantAborted(at=0, sid="PA_third", identity="third"))

    assert [user.identity for user in talk.session.users] == ["candidate"]


@pytest.mark.parametrize(("raw", "status"), [("USER_REJECTED", 0), ("JOIN_FAILURE", 503)])
def test_a_call_that_never_came_about_has_failed(raw: str, status: int) -> None:
    story = Story()
    story.room()

    story(ParticipantAborted(at=0, sid="PA_1", identity="+49123", kind=ParticipantKind.SIP, raw=raw, sip_status=status))

    assert story.reason() is Reason.CALL_FAILED


def test_who_counts_is_the_policys_to_say() -> None:
    story = Story({"counts": ["identity:host-*"], "hold.web": 0})
    story.room()
    story.agent()
    story.user("guest")
    assert story.state() is State.WAITING
    story.user("host-1", hidden=True)
    assert story.state() is State.LIVE

    story.leaves("guest")
    assert story.state() is State.LIVE
    story.leaves("host-1")

    assert story.reason() is Reason.USER_LEFT


@pytest.mark.parametrize(
    ("kind", "treated"),
    [
        (ParticipantKind.STANDARD, Kind.WEB),
        (ParticipantKind.SIP, Kind.SIP),
        (ParticipantKind.CONNECTOR, Kind.OTHER),
        (ParticipantKind.INGRESS, Kind.OTHER),
    ],
)
def test_kinds_are_treated_as_the_policy_groups_them(kind: ParticipantKind, treated: Kind) -> None:
    assert treated_as(kind) is treated


# Looking.


def test_a_hold_that_is_over_looks_at_the_room_twice_before_it_ends() -> None:
    story = Story({"hold.web": 10})
    story.live()
    story.answers = False
    story.leaves()

    story.wait(10)
    assert story.asked(LookAtRoom) == [LookAtRoom(why="hold timer")]
    story(RoomSeen(at=0, sid="RM_1", people=(AGENT,)))
    assert story.state() is State.HOLDING
    story(RoomSeen(at=0, sid="RM_1", people=(AGENT,)), after=4)
    assert story.state() is State.HOLDING
    story(RoomSeen(at=0, sid="RM_1", people=(AGENT,)), after=1)

    assert story.reason() is Reason.USER_LEFT


def test_a_user_whose_return_no_webhook_told_is_found_by_the_look() -> None:
    story = Story({"hold.web": 10})
    story.live()
    story.answers = False
    story.leaves()
    story.wait(10)

    back = Seen(sid="PA_back", identity="candidate")
    story(RoomSeen(at=0, sid="RM_1", people=(AGENT, back)))

    assert story.state() is State.LIVE
    assert story.looks_for() is None


def test_an_error_of_the_room_api_is_not_absence() -> None:
    story = Story({"join_timeout": 10})
    story.room()
    story.answers = False
    story.wait(10)

    story(LookFailed(at=0, error="503"))
    assert story.ignored == "an error of the room API is not absence: 503"
    story.wait(5)
    assert story.asked(LookAtRoom) == [LookAtRoom(why="absence is two listings")]
    assert story.state() is State.WAITING


def test_an_early_second_listing_asks_for_a_third() -> None:
    story = Story({"join_timeout": 10})
    story.room()
    story.answers = False
    story.wait(10)
    story(RoomSeen(at=0, sid="RM_1"))
    first = story.now
    story(TimerFired(at=0, kind=TimerKind.LOOK))

    story(RoomSeen(at=0, sid="RM_1"), after=2)

    assert story.state() is State.WAITING
    assert story.session.timers[TimerKind.LOOK] == first + 5 * SECOND


def test_a_user_missing_from_two_listings_has_left(talk: Story) -> None:
    talk(RoomSeen(at=0, sid="RM_1", people=(AGENT,)))
    assert talk.session.timers[TimerKind.LOOK] == talk.now + 5 * SECOND
    talk.wait(5)
    assert talk.asked(LookAtRoom) == [LookAtRoom(why="absence is two listings")]
    talk(RoomSeen(at=0, sid="RM_1", people=(AGENT,)))

    assert talk.state() is State.HOLDING
    assert talk.session.absent[0].cause is Reason.USER_LOST


def test_a_user_missing_from_one_listing_is_still_there(talk: Story) -> None:
    talk(RoomSeen(at=0, sid="RM_1", people=(AGENT,)))
    talk(RoomSeen(at=0, sid="RM_1", people=(AGENT, CANDIDATE)), after=5)

    assert talk.state() is State.LIVE
    assert talk.session.users[0].missed_at is None


def test_listings_that_were_wrong_are_corrected_by_one_that_is_right(talk: Story) -> None:
    for _ in range(2):
        talk(RoomSeen(at=0, sid=None), after=5)
    assert talk.state() is State.HOLDING
    assert talk.session.absent[0].cause is Reason.ROOM_LOST

    talk(RoomSeen(at=0, sid="RM_1", people=(AGENT, CANDIDATE)), after=1)

    assert talk.state() is State.LIVE
    assert talk.session.sids == ("RM_1",)


def test_a_room_that_the_server_lost_ends_the_session_after_the_hold() -> None:
    story = Story({"hold.web": 20})
    story.live()
    story.answers = False
    story(RoomSeen(at=0, sid=None))
    story(RoomSeen(at=0, sid=None), after=2)
    assert story.state() is State.LIVE
    story(RoomSeen(at=0, sid=None), after=3)
    assert story.state() is State.HOLDING
    story.answers = True

    story.wait(25)

    assert story.reason() is Reason.ROOM_LOST


def test_the_listing_of_a_name_without_a_room_says_nothing_before_there_was_one() -> None:
    story = Story()

    story(RoomSeen(at=0, sid=None))

    assert story.session.room_missed_at is None


def test_a_listing_taken_before_a_leave_does_not_bring_anybody_back(talk: Story) -> None:
    talk.leaves()

    talk(RoomSeen(at=0, sid="RM_1", people=(AGENT, CANDIDATE)))

    assert talk.state() is State.HOLDING


def test_a_start_of_the_control_plane_looks_at_the_room_and_puts_decisions_off(talk: Story) -> None:
    talk.leaves()
    talk.wait(299)

    talk(ControlStarted(at=0))

    assert talk.asked(LookAtRoom) == [LookAtRoom(why="the control plane was away")]
    assert talk.session.timers[TimerKind.HOLD] == talk.now + 30 * SECOND


def test_a_hold_with_its_look_pending_survives_a_start(talk: Story) -> None:
    talk.leaves()
    talk.wait(300)
    until = talk.session.until

    talk(ControlStarted(at=0))

    assert talk.session.until == until
    assert talk.state() is State.HOLDING


def test_the_user_who_comes_while_nobody_was_expected_any_more_is_not_turned_away() -> None:
    story = Story({"join_timeout": 10})
    story.room()
    story.answers = False
    story.wait(10)
    assert story.looks_for() is TimerKind.JOIN

    story.user()

    assert story.looks_for() is None
    story(AgentLost(at=0, job="AJ_none"))
    assert story.ignored == "AJ_none never attached"


def test_a_leave_told_for_a_dead_network_is_told_by_its_room(talk: Story) -> None:
    talk(ParticipantLeft(at=0, sid="PA_candidate", identity="candidate", raw="CONNECTION_TIMEOUT", room_sid="RM_1"))

    assert talk.state() is State.HOLDING
