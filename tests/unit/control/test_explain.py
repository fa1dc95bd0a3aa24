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

STORIES = Path(__file__).parent / "journals"

TOLD: dict[str, tuple[str, list[str], list[str]]] = {
    # story: the end's reason, what has to be said, what must not be
    "silent_room": (
        "agent_left",
        [
            "agent-AJ_1 left the room with CLIENT_INITIATED, gave no reason",
            "room RM_1 outlived the session by 0:15:13.000",
            "still there: candidate (standard), until 0:45:01.000",
            "delete_room_on_close = False",
            "departure_timeout (20 s unless set)",
        ],
        ["Roomkeeper ended"],
    ),
    "silent_room_kept": ("agent_left", ["deletes room RM_1"], ["outlived"]),
    "lost_transcript": (
        "completed",
        [
            "job AJ_1 was killed (SIGKILL)",
            "its own end callbacks (on_session_end, close handlers, shutdown callbacks) cannot have run",
            "4 lines of its spool are in the report, none missing",
            "TypeError",
            "sends the report, revision 1",
        ],
        ["agent_failed"],
    ),
    "reconnecting": (
        "completed",
        [
            "candidate left with CONNECTION_TIMEOUT",
            "was back after 0:00:38.000, within hold.web = 300 s: that was no end",
        ],
        ["user_lost"],
    ),
    "never_reconnected": (
        "user_lost",
        ["no return within hold.web", "the browser of candidate says: offline", "(CONNECTION_TIMEOUT)"],
        ["that was no end"],
    ),
    "long_recording": (
        "agent_left",
        [
            "recording EG_1 (1:39:00.500) ran 0:39:10.500 longer than the session",
            "still there: observer (standard, does not count), until 1:38:40.000",
            "hidden ones count there",
            "departure_timeout",
        ],
        ["still there: candidate"],
    ),
    "refresh": (
        "user_ended",
        ["was back after 0:00:02.000, within hold.web = 300 s", "the browser of candidate says: pagehide"],
        ["user_left"],
    ),
    "hang_up": ("caller_hung_up", ["+491234 left with CLIENT_INITIATED", "no return expected"], ["that was no end"]),
    "stranded_agent_silent_user": ("user_away", ["the user stayed silent through check-in 3"], []),
    "stranded_agent_nobody_came": (
        "user_never_joined",
        ["nobody who counts joined within join_timeout = 300 s", "looked: in room RM_1 are agent agent-AJ_1"],
        [],
    ),
    "crash": (
        "completed",
        ["at 0:40:00.000 job AJ_1 was killed (SIGKILL)", "epoch 2 went on in its place after 0:00:00.630"],
        ["nobody replaced it"],
    ),
    "crash_again": (
        "agent_failed",
        ["the agent was lost 2 times within recover.window = 600 s, recover.attempts = 1", "nobody replaced it"],
        [],
    ),
    "next_week": ("completed", ["goals for next week agreed"], ["Findings"]),
    "next_week_old_link": ("completed", ["room RM_2 was made again after the end, with an old token"], ["outlived"]),
    "several_people": (
        "user_left",
        ["candidate left with CLIENT_INITIATED", "no return within hold.web"],
        ["colleague left with"],
    ),
    "nobody_took_the_dispatch": (
        "agent_unavailable",
        [
            "no agent took the dispatch within agent_timeout = 20 s",
            "LiveKit took 4 dispatches for agent interviewer and no worker came",
        ],
        [],
    ),
}


def kept(name: str, folder: Path = JOURNALS) -> Story:
    story = Story()
    story.journal = [load_event(json.loads(line)) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
    return story


@pytest.mark.parametrize("name", sorted(path.stem for path in STORIES.glob("*.jsonl")))
def test_every_users_story_is_told_with_its_culprit(name: str) -> None:
    reason, said, unsaid = TOLD[name]
    explanation = explain(kept(name, STORIES).journal)
    assert explanation.session.end is not None
    assert explanation.session.end.reason == reason
    assert explanation.decisive is not None
    text = explanation.text()
    assert [words for words in said if words not in text] == []
    findings = (
        "\n".join(explanation.findings) + (explanation.because or "") + ("Findings" if explanation.findings else "")
    )
    assert [words for words in unsaid if words in findings] == []
    assert json.loads(json.dumps(explanation.plain()))["findings"] == list(explanation.findings)


def test_every_users_story_has_a_journal() -> None:
    assert {path.stem for path in STORIES.glob("*.jsonl")} == TOLD.keys()


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
    assert "forgotten-tab (standard, does not count)" in recording
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
        (
            EvidenceGiven(at=0, identity="ann", what="woke", data={"milliseconds": 31_000, "how": "frozen"}),
            "the browser of ann says: woke (milliseconds: 31000, how: frozen)",
        ),
        (
            EvidenceGiven(at=0, identity="ann", what="x", data={"a": "\x1b[2J\n", "b": {"c": None}}),
            r'the browser of ann says: x (a: "\u001b[2J\n", b: {"c": null})',
        ),
        (
            EvidenceGiven(at=0, identity="ann", what="x", data={"a": "o" * 5_000}),
            f"the browser of ann says: x (a: {'o' * 297}…)",
        ),
    ],
)
def test_raw_words_stand_beside_their_meaning(event: Event, said: str) -> None:
    assert words(event) == said


def test_a_clock_shows_hours_minutes_seconds() -> None:
    assert clock(3_723_004) == "1:02:03.004"
