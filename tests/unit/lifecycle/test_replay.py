"""A journal always tells the same session, also one that was written long ago."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from roomkeeper.errors import IllegalCall
from roomkeeper.lifecycle.actions import Ignored
from roomkeeper.lifecycle.codec import (
    dump_body,
    dump_event,
    dump_session,
    load_action,
    load_body,
    load_event,
    load_session,
)
from roomkeeper.lifecycle.events import ParticipantJoined, SessionOpened
from roomkeeper.lifecycle.replay import moments, replay
from tests.unit.lifecycle.story import START, Story

JOURNALS = sorted((Path(__file__).parent / "journals").glob("*.jsonl"))

OPENED = SessionOpened(at=START, session="S_1", room="r")


def test_a_journal_tells_the_session_that_was_stored() -> None:
    story = Story()
    story.live()
    story.leaves()
    story.wait(310)

    assert story.replayed == story.session


def test_a_walk_shows_what_every_line_did() -> None:
    story = Story()
    story.room()
    story.room()

    walk = list(moments(story.journal))

    assert [moment.before for moment in walk] == [None, walk[0].session, walk[1].session]
    assert walk[2].actions == (Ignored(why="RM_1 is known"),)


def test_a_journal_begins_with_the_opening() -> None:
    with pytest.raises(IllegalCall, match="begins with ParticipantJoined, not with SessionOpened"):
        replay([ParticipantJoined(at=START, sid="PA_1", identity="a")])


def test_a_journal_has_one_opening() -> None:
    with pytest.raises(IllegalCall, match="the journal of S_1 has a second SessionOpened"):
        replay([OPENED, OPENED])


def test_an_empty_journal_has_no_session() -> None:
    with pytest.raises(IllegalCall, match="an empty journal has no session"):
        replay([])


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
def test_journals_of_earlier_versions_are_replayed_for_ever(path: Path) -> None:
    lines = path.read_text().splitlines()

    session = replay(load_event(json.loads(line)) for line in lines)

    assert session == load_session(json.loads(path.with_suffix(".json").read_text()))


def test_there_are_journals_to_replay() -> None:
    assert [path.stem for path in JOURNALS] == [
        "crash",
        "hand_over",
        "hang_up",
        "hold_over_a_new_room",
        "silent_room",
        "zombie_room",
    ]


def test_everything_is_plain_json() -> None:
    story = Story({"message.completed": "Done."})
    story.live()

    assert load_session(json.loads(json.dumps(dump_session(story.session)))) == story.session
    assert load_event(json.loads(json.dumps(dump_event(story.journal[0])))) == story.journal[0]


def test_a_session_is_stored_apart_from_its_policy() -> None:
    story = Story({"hold.web": 7})
    story.live()

    body = json.loads(json.dumps(dump_body(story.session)))

    assert "policy" not in body
    assert load_body(body, story.session.policy) == story.session
    assert load_body(dump_session(story.session), story.session.policy) == story.session


def test_a_field_that_an_older_version_did_not_write_has_its_default() -> None:
    written = dump_event(ParticipantJoined(at=START, sid="PA_1", identity="a"))
    del written["hidden"]

    assert load_event(written) == ParticipantJoined(at=START, sid="PA_1", identity="a")


def test_a_field_that_a_newer_version_wrote_is_passed_over() -> None:
    written: dict[str, Any] = {**dump_event(OPENED), "mood": "good"}

    assert load_event(written) == OPENED


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ({"v": 2, "type": "RoomStarted"}, "version 2 of 'RoomStarted' was written by another Roomkeeper"),
        ({"v": 1, "type": "RoomPainted"}, "'RoomPainted' is none of SessionOpened, RoomStarted"),
    ],
)
def test_what_cannot_be_read_is_said(written: dict[str, Any], complaint: str) -> None:
    with pytest.raises(IllegalCall, match=complaint):
        load_event(written)


def test_an_event_is_no_action() -> None:
    with pytest.raises(IllegalCall, match="'SessionOpened' is none of WriteRoomState"):
        load_action(dump_event(OPENED))
