"""A bundle explains a session and gives away neither what was said nor who was there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from roomkeeper.control.explain import explain
from roomkeeper.control.redaction import Redaction
from roomkeeper.lifecycle.codec import load_event
from roomkeeper.lifecycle.events import EndAsked, EvidenceGiven, Noted, SessionOpened
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.replay import replay
from tests.unit.lifecycle.story import Story

SID = re.compile(r"PA_[\w.-]+")
"""The stories make them of identities; LiveKit does not."""
STORIES = sorted((Path(__file__).parent / "journals").glob("*.jsonl"))


def private() -> Story:
    story = Story({"message": {"completed": "Bye, Ann Smith"}, "counts": ["web", "identity:ann.smith"]})
    opened = story.journal[0]
    assert isinstance(opened, SessionOpened)
    story.room()
    story.user("ann.smith")
    story.agent()
    words = {"item": {"id": "i1", "type": "message", "role": "user", "content": ["my salary is secret"]}}
    story(Noted(at=0, job="AJ_1", seq=1, what="item", data=words))
    story(Noted(at=0, job="AJ_1", seq=2, what="transcript", data={"text": "my salary", "identity": "ann.smith"}))
    story(EvidenceGiven(at=0, identity="ann.smith", what="offline", data={"url": "https://ann.example.com"}))
    detail, data = "Ann Smith was great", {"grade": "A"}
    story(EndAsked(at=0, job="AJ_1", reason=Reason.COMPLETED, by=By.AGENT, detail=detail, data=data))
    return story


def test_no_words_and_no_names_are_left() -> None:
    redaction = Redaction(private().journal)
    text = SID.sub("", json.dumps([redaction.lines(), explain(redaction.events()).plain()]))
    found = [word for word in ("ann.", "Ann", "salary", "grade", "interview-1") if word in text]
    assert found == []
    for kept in ("person-1", "room-1", "agent-AJ_1", "<19 characters>", '"role": "user"', "RM_1", "offline"):
        assert kept in text


def test_lines_of_a_log_lose_names_and_secrets() -> None:
    redaction = Redaction(private().journal)
    line = '{"room": "interview-1", "who": "ann.smith", "token": "eyJhbGciOi.eyJzdWIi.c2ln", "s": "whsec_c2VjcmV0"}'
    assert redaction.text(line) == '{"room": "room-1", "who": "person-1", "token": "…", "s": "…"}'


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_a_redacted_journal_is_decided_alike(path: Path) -> None:
    journal = [load_event(json.loads(line)) for line in path.read_text().splitlines()]
    redacted = Redaction(journal).events()
    one, other = replay(journal), replay(redacted)
    assert one.end is not None
    assert other.end is not None
    assert (one.end.reason, one.ended_at, one.sids) == (other.end.reason, other.ended_at, other.sids)
    assert len(explain(redacted).timeline) == len(explain(journal).timeline)
    assert "candidate" not in SID.sub("", json.dumps(Redaction(journal).lines()))
