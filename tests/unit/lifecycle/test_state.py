"""What everybody in the room sees, and what is computed rather than stored."""

from __future__ import annotations

from roomkeeper.lifecycle.actions import WriteRoomState
from roomkeeper.lifecycle.events import ControlStarted, EndAsked
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import State, room_state, stamp
from tests.unit.lifecycle.story import SECOND, START, Story


def test_a_time_is_written_in_utc_with_milliseconds() -> None:
    assert stamp(1_800_000_000_123) == "2027-01-15T08:00:00.123Z"


def test_the_object_has_the_fields_of_the_contract_in_every_state() -> None:
    story = Story()
    story.live()

    assert room_state(story.session, START + 1500) == {
        "v": 1,
        "session": "S_1",
        "seq": 2,
        "state": "live",
        "since": "2027-01-15T08:00:00.000Z",
        "now": "2027-01-15T08:00:01.500Z",
        "until": None,
        "reason": None,
        "by": None,
        "message": None,
        "detail": None,
    }


def test_a_hold_says_until_when() -> None:
    story = Story({"hold.web": 60})
    story.live()
    story.leaves(raw="CONNECTION_TIMEOUT")

    assert room_state(story.session, story.now)["until"] == stamp(START + 60 * SECOND)


def test_an_end_is_told_in_the_users_language() -> None:
    story = Story({"message.completed.de": "Fertig."})
    story.live()
    story(EndAsked(at=0, job="AJ_1", reason=Reason.COMPLETED, by=By.AGENT, detail="all asked"))

    told = room_state(story.session, story.now, language="de")

    assert (told["state"], told["reason"], told["by"], told["message"], told["detail"]) == (
        "ending",
        "completed",
        "agent",
        "Fertig.",
        "all asked",
    )


def test_every_state_is_explained() -> None:
    assert all(state.meaning for state in State)


def test_a_talk_says_when_its_time_limit_ends_it() -> None:
    story = Story({"time_limit": 600})
    story.live()

    assert room_state(story.session, story.now)["until"] == stamp(START + 600 * SECOND)


def test_a_time_limit_that_a_start_of_the_control_plane_puts_off_is_told_anew() -> None:
    story = Story({"time_limit": 600})
    story.live()
    story.now += 590 * SECOND
    story(ControlStarted(at=0))

    assert room_state(story.session, story.now)["until"] == stamp(story.now + 30 * SECOND)
    assert story.asked(WriteRoomState) == [WriteRoomState(seq=story.session.seq)]
