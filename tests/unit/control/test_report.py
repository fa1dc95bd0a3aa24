"""The report of stories that the core played: whole, in order, and as its schema says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from roomkeeper.control.report import SCHEMA, build
from roomkeeper.lifecycle.codec import load_event
from roomkeeper.lifecycle.events import (
    AgentDone,
    AgentLost,
    EgressEnded,
    EgressStarted,
    EndAsked,
    GoodbyeOver,
    LeaseExpired,
    Noted,
    RoomFinished,
)
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import stamp
from roomkeeper.lifecycle.vocabulary import ParticipantKind
from tests.unit.lifecycle.story import START, Story

if TYPE_CHECKING:
    from collections.abc import Mapping

JOURNALS = Path(__file__).parents[1] / "lifecycle" / "journals"
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def check(report: Mapping[str, Any]) -> None:
    """Validate a report, and see that the schema knows all of it and its times are ISO 8601."""
    VALIDATOR.validate(json.loads(json.dumps(report)))
    known(report, SCHEMA, "report")


def known(value: Any, schema: Mapping[str, Any], where: str) -> None:  # noqa: ANN401 - JSON
    if schema.get("format") == "date-time" and value is not None:
        assert TIME.fullmatch(value), f"{where} = {value!r}"
    if isinstance(value, dict) and "properties" in schema and where != "report.usage[]":
        assert value.keys() <= schema["properties"].keys(), f"{where}: {value.keys() - schema['properties'].keys()}"
        for name, part in value.items():
            known(part, schema["properties"][name], f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        for part in value:
            known(part, schema["items"], f"{where}[]")


def report_of(story: Story, revision: int = 1) -> dict[str, Any]:
    report: dict[str, Any] = build(story.journal, revision)
    check(report)
    return report


def item(job: str, seq: int, text: str) -> Noted:
    return Noted(
        at=0, job=job, seq=seq, what="item", data={"item": {"type": "message", "role": "user", "content": [text]}}
    )


def end_by_agent(story: Story, job: str = "AJ_1") -> None:
    story(
        EndAsked(
            at=0, job=job, reason=Reason.COMPLETED, by=By.AGENT, detail="all questions asked", data={"score": [4, None]}
        )
    )
    story(GoodbyeOver(at=0, job=job))
    story(AgentDone(at=0, job=job))


def test_a_conversation_is_told_whole() -> None:
    story = Story()
    story.live()
    story(EgressStarted(at=0, egress="EG_1"))
    story(item("AJ_1", 1, "hello"), after=1)
    story(Noted(at=0, job="AJ_1", seq=2, what="usage", data={"model": "m", "tokens": 7}))
    story(item("AJ_1", 3, "goodbye"))
    end_by_agent(story)
    story(EgressEnded(at=0, egress="EG_1"), after=1)
    report = report_of(story)
    assert (report["session"], report["room"], report["room_sids"]) == ("S_1", "interview-1", ["RM_1"])
    assert (report["reason"], report["by"], report["outcome"]) == ("completed", "agent", "finished")
    assert (report["detail"], report["data"]) == ("all questions asked", {"score": [4, None]})
    assert report["message"] == "The conversation is complete. Thank you."
    assert [line["text"] for line in report["items"]] == ["hello", "goodbye"]
    assert report["usage"] == [{"epoch": 1, "model": "m", "tokens": 7}]
    assert report["recordings"] == [
        {"egress": "EG_1", "started_at": stamp(START), "ended_at": stamp(START + 2000)},
    ]
    assert [(epoch["job"], epoch["end"]) for epoch in report["epochs"]] == [("AJ_1", "done")]
    assert report["gaps"] == []
    assert report["ended_at"] == stamp(START + 1000)


def test_who_was_there_is_told_with_the_raw_word_of_their_leave() -> None:
    story = Story({"hold.web": 60})
    story.live(attached=False)
    story.leaves(raw="CONNECTION_TIMEOUT")
    story.wait(100)
    people = {person["identity"]: person for person in report_of(story)["participants"]}
    assert people["candidate"]["raw_reason"] == "CONNECTION_TIMEOUT"
    assert people["candidate"]["kind"] == "standard"
    assert people["candidate"]["left_at"] == stamp(START)
    assert people["agent-AJ_1"]["kind"] == "agent"


def test_what_livekit_says_of_a_call_is_told() -> None:
    story = Story()
    story.room()
    call = {"sip.phoneNumber": "+491234", "sip.trunkID": "ST_1"}
    story.user("+491234", kind=ParticipantKind.SIP, attributes=call)
    story.leaves("+491234", "USER_REJECTED", kind=ParticipantKind.SIP, sip_status=486)
    [person] = report_of(story)["participants"]
    assert (person["attributes"], person["sip_status"], person["raw_reason"]) == (call, 486, "USER_REJECTED")


def test_who_went_with_the_room_has_left_too() -> None:
    story = Story({"hold.web": 60})
    story.live(attached=False)
    story(RoomFinished(at=0, sid="RM_1"), after=5)
    story.wait(200)
    left = {person["identity"]: person["left_at"] for person in report_of(story)["participants"]}
    assert left["candidate"] == stamp(START + 5000)


def test_a_line_that_is_shipped_twice_is_told_once() -> None:
    story = Story()
    story.live()
    for seq in (1, 2, 1, 2):
        story(item("AJ_1", seq, f"line {seq}"))
    end_by_agent(story)
    assert [line["text"] for line in report_of(story)["items"]] == ["line 1", "line 2"]


def test_what_two_agents_heard_is_told_in_the_order_it_was_said() -> None:
    story = Story()
    story.live()
    story(item("AJ_1", 1, "before"))
    story(AgentLost(at=0, job="AJ_1", exit=-9))
    story.agent_leaves(raw="CONNECTION_TIMEOUT")
    story.wait(1)
    story.agent("AJ_2", epoch=2)
    story(item("AJ_2", 1, "after"))
    story(item("AJ_1", 2, "before, but late"))
    end_by_agent(story, "AJ_2")
    report = report_of(story)
    assert [line["text"] for line in report["items"]] == ["before", "before, but late", "after"]
    assert [(epoch["number"], epoch["end"], epoch["exit"]) for epoch in report["epochs"]] == [
        (1, "lost", -9),
        (2, "done", None),
    ]


def test_lines_that_never_arrived_are_gaps() -> None:
    story = Story()
    story.live()
    for seq in (1, 4, 5, 9):
        story(item("AJ_1", seq, "x"))
    end_by_agent(story)
    assert report_of(story)["gaps"] == [
        {"job": "AJ_1", "from": 2, "to": 3},
        {"job": "AJ_1", "from": 6, "to": 8},
    ]


def test_the_tail_of_a_machine_that_vanished_is_a_gap_of_unknown_length() -> None:
    story = Story({"recover.attempts": 0})
    story.live()
    story(item("AJ_1", 1, "x"))
    story(LeaseExpired(at=0, job="AJ_1"))
    story.wait(60)
    report = report_of(story)
    assert report["reason"] == "agent_failed"
    assert report["gaps"] == [{"job": "AJ_1", "from": 2, "to": None}]
    assert [epoch["end"] for epoch in report["epochs"]] == ["lost"]


def test_a_late_fact_is_in_the_next_revision() -> None:
    story = Story()
    story.live()
    end_by_agent(story)
    assert report_of(story)["items"] == []
    story(item("AJ_1", 1, "late"), after=3600)
    again = report_of(story, 2)
    assert (again["revision"], [line["text"] for line in again["items"]]) == (2, ["late"])


@pytest.mark.parametrize("reason", [Reason.OPERATOR_ENDED, Reason.REMOVED])
def test_every_story_of_an_operator_fits_the_schema(reason: Reason) -> None:
    story = Story()
    story(EndAsked(at=0, reason=reason, by=By.OPERATOR))
    report = report_of(story)
    assert (report["reason"], report["epochs"], report["live_at"]) == (str(reason), [], None)


@pytest.mark.parametrize(
    "wrong", [{"v": 2}, {"revision": 0}, {"session": "x"}, {"reason": "boredom"}, {"ended_at": None}]
)
def test_the_schema_refuses_what_it_does_not_know(wrong: dict[str, Any]) -> None:
    story = Story()
    story(EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
    with pytest.raises(ValidationError):
        VALIDATOR.validate(build(story.journal, 1) | wrong)


@pytest.mark.parametrize("path", sorted(JOURNALS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_the_report_of_every_kept_journal_is_as_the_schema_says(path: Path) -> None:
    journal = [load_event(json.loads(line)) for line in path.read_text().splitlines()]
    check(build(journal, 1))


def test_the_published_schema_is_this_one_and_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    published = Path(__file__).parents[3] / "docs" / "reference" / "report.schema.json"
    assert json.loads(published.read_text()) == SCHEMA
