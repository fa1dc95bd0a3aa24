"""What `explain` says of the journals that are kept for ever, and of what outlives a session."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from roomkeeper.control.explain import clock, explain
from roomkeeper.control.words import words
from roomkeeper.lifecycle.codec import load_event
from roomkeeper.lifecycle.events import (
    AgentLost,
    ControlStarted,
    EgressEnded,
    EgressStarted,
    EndAsked,
    EvidenceGiven,
    LookFailed,
    Noted,
    ParticipantAborted,
    ParticipantLeft,
    RoomFinished,
    RoomSeen,
)
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.vocabulary import ParticipantKind
from tests.unit.lifecycle.story import Story

if TYPE_CHECKING:
    from roomkeeper.lifecycle.events import Event

JOURNALS = Path(__file__).parents[1] / "lifecycle" / "journals"

CULPRITS = {
    "silent_room": ("ParticipantLeft", "agent_left", "agent agent-AJ_1 left: left on purpose"),
    "crash": ("TimerFired", "time_limit", "time_limit = 3600 s is over"),
    "hang_up": ("ParticipantLeft", "caller_hung_up", "caller +491234 left"),
    "hold_over_a_new_room": ("EndAsked", "completed", "agent AJ_2 asked to end it as completed: all asked"),
    "zombie_room": ("EndAsked", "user_ended", "room RM_z was made again after the end, with an old token"),
    "hand_over": ("RoomSeen", "user_lost", "user candidate left: the network was lost (CONNECTION_TIMEOUT)"),
}


def kept(name: str) -> Story:
    story = Story()
    story.journal = [load_event(json.loads(line)) for line in (JOURNALS / f"{name}.jsonl").read_text().splitlines()]
    return story


@pytest.mark.parametrize("name", sorted(path.stem for path in JOURNALS.glob("*.jsonl")))
def test_a_kept_journal_names_its_culprit(name: str) -> None:
    event, reason, culprit = CULPRITS[name]
    explanation = explain(kept(name).journal)
    assert explanation.decisive is not None
    assert explanation.decisive.event == event
    assert explanation.session.end is not None
    assert explanation.session.end.reason == reason
    assert f": {reason} (by " in explanation.summary
    assert culprit in explanation.text()
    assert json.loads(json.dumps(explanation.plain()))["reason"] == reason


def test_a_user_who_never_returned_is_the_evidence_and_the_hold_the_setting() -> None:
    story = Story({"hold.web": 60})
    story.live()
    story.leaves(raw="CONNECTION_TIMEOUT")
    story(EvidenceGiven(at=0, identity="candidate", what="offline"), after=2)
    story.wait(90)
    explanation = explain(story.journal)
    said = [line.words for line in explanation.evidence]
    assert said[0] == "user candidate left: the network was lost (CONNECTION_TIMEOUT)"
    assert "the browser of candidate says: offline" in said
    assert "the hold is over: nobody returned" in said
    assert not any("joined" in line for line in said)
    assert explanation.because is not None
    assert "hold.web" in explanation.because


def test_an_end_that_waited_for_the_agents_word_shows_what_it_was_inferred_from() -> None:
    story = Story()
    story.live(attached=False)
    story(ControlStarted(at=0))
    story.agent_leaves()
    story.wait(60)
    explanation = explain(story.journal)
    assert explanation.decisive is not None
    assert explanation.decisive.words == "the agent's own word did not come"
    assert any("agent agent-AJ_1 left" in line.words for line in explanation.evidence)


def test_a_recording_that_outlives_the_session_is_found_with_who_was_still_there() -> None:
    story = Story({"ends_for_all": "anyone"})
    story.live(attached=False)
    story.user("forgotten-tab", hidden=True)
    story(EgressStarted(at=0, egress="EG_1"))
    story(EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR), after=3600)
    story(EgressEnded(at=0, egress="EG_1"), after=2340)
    story(RoomFinished(at=0, sid="RM_1"), after=1)
    recording, room = explain(story.journal).findings
    assert recording.startswith("recording EG_1 (1:39:00.000) ran 0:39:00.000 longer than the session")
    assert "forgotten-tab (standard)" in recording
    assert room.startswith("room RM_1 outlived the session by 0:39:01.000")
    assert "linger = 3 s" in room


def test_what_was_ignored_says_why_and_is_not_in_the_story() -> None:
    story = Story()
    story.live()
    story(EndAsked(at=0, reason=Reason.USER_ENDED, by=By.USER, identity="bystander"))
    story(LookFailed(at=0, error="deadline_exceeded"))
    ignored = explain(story.journal).ignored
    assert [(line.event, line.ignored) for line in ignored] == [
        ("EndAsked", "ends_for_all = host: bystander may only leave"),
        ("LookFailed", "an error of the room API is not absence: deadline_exceeded"),
    ]


def test_a_session_that_goes_on_has_no_decisive_event() -> None:
    story = Story()
    story.live()
    explanation = explain(story.journal)
    assert (explanation.decisive, explanation.evidence, explanation.because) == (None, (), None)
    assert " is live since " in explanation.summary


def test_the_conversation_itself_is_not_shown() -> None:
    story = Story()
    story.live()
    story(Noted(at=0, job="AJ_1", seq=1, what="item", data={"text": "my secret"}))
    story(Noted(at=0, job="AJ_1", seq=2, what="error", data={"message": "the model is overloaded"}))
    assert "my secret" not in json.dumps(explain(story.journal).plain())
    assert words(story.journal[-1]) == "line 2 of job AJ_1: error: the model is overloaded"


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            ParticipantLeft(
                at=0, sid="PA", identity="+49", kind=ParticipantKind.SIP, raw="USER_REJECTED", sip_status=486
            ),
            "caller +49 left: the callee rejected the call (USER_REJECTED); the callee is busy (486)",
        ),
        (
            ParticipantLeft(at=0, sid="PA", identity="+49", kind=ParticipantKind.SIP, referred=True, raw="X"),
            "caller +49 left: handed the call elsewhere (SIP REFER) (X)",
        ),
        (
            ParticipantAborted(at=0, sid="PA", identity="ann"),
            "user ann could not join: never became fully connected (JOIN_FAILURE)",
        ),
        (
            AgentLost(at=0, job="AJ_1", exit=-9),
            "the process of job AJ_1 was killed (SIGKILL): out of memory, or by its supervisor, exit -9",
        ),
        (RoomSeen(at=0, sid="RM_1"), "looked: in room RM_1 is nobody"),
        (RoomSeen(at=0, sid=None), "looked: there is no such room"),
    ],
)
def test_raw_words_stand_beside_their_meaning(event: Event, said: str) -> None:
    assert words(event) == said


def test_a_clock_shows_hours_minutes_seconds() -> None:
    assert clock(3_723_004) == "1:02:03.004"
