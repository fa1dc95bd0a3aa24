"""The swim-lanes: what the session went by, also where webhooks were lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from roomkeeper.control.explain import explain
from roomkeeper.control.lanes import Span
from roomkeeper.lifecycle.codec import load_event
from roomkeeper.lifecycle.events import (
    AgentAttached,
    AgentDone,
    AgentLost,
    EgressEnded,
    EgressStarted,
    EndAsked,
    GoodbyeOver,
    LeaseExpired,
    LinkLost,
    Noted,
    ParticipantAborted,
    ParticipantLeft,
    ParticipantRemoved,
    RoomFinished,
    RoomSeen,
    RoomStarted,
    Seen,
)
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import State
from roomkeeper.lifecycle.vocabulary import ParticipantKind
from tests.unit.lifecycle.story import SECOND, START, Story

if TYPE_CHECKING:
    from roomkeeper.lifecycle.events import Event

JOURNALS = sorted((Path(__file__).parent / "journals").glob("*.jsonl"))
SEEN = Seen(sid="PA_candidate", identity="candidate")
SEEN_AGENT = Seen(sid="PA_agent-AJ_1", identity="agent-AJ_1", kind=ParticipantKind.AGENT)


def lane(story: Story, name: str) -> list[tuple[float, float | None, str]]:
    """A lane's spans: seconds from the session's beginning, and the words."""
    return [
        ((span.begin - START) / SECOND, None if span.end is None else (span.end - START) / SECOND, span.words)
        for span in explain(story.journal).lanes
        if span.lane == name
    ]


def after(story: Story, seconds: float, event: Event) -> None:
    """Let something happen later, and no alarm before it."""
    story.now += round(seconds * SECOND)
    story(event)


def away(story: Story, seconds: float, raw: str = "CONNECTION_TIMEOUT") -> None:
    after(story, seconds, ParticipantLeft(at=0, sid="PA_candidate", identity="candidate", raw=raw))


@pytest.fixture
def talk() -> Story:
    story = Story()
    story.live()
    return story


def test_a_person_comes_and_goes_with_the_raw_reason(talk: Story) -> None:
    away(talk, 60)
    talk.now += 10 * SECOND
    talk.user(sid="PA_again")

    assert lane(talk, "candidate") == [
        (0, 60, "standard candidate · CONNECTION_TIMEOUT"),
        (70, None, "standard candidate"),
    ]
    assert [words.partition(":")[0] for _, _, words in lane(talk, "state")] == ["waiting", "live", "holding", "live"]


def test_the_people_of_an_old_room_are_gone_when_the_session_adopts_the_new_one(talk: Story) -> None:
    after(talk, 30, RoomStarted(at=0, sid="RM_2"))

    assert lane(talk, "room") == [(0, 30, "RM_1"), (30, None, "RM_2")]
    assert lane(talk, "candidate") == [(0, 30, "standard candidate")]
    assert lane(talk, "agent-AJ_1") == [(0, 30, "agent agent-AJ_1")]


def test_a_room_that_ended_takes_its_people_along(talk: Story) -> None:
    after(talk, 30, RoomFinished(at=0, sid="RM_1"))

    assert lane(talk, "room") == [(0, 30, "RM_1 · ended")]
    assert lane(talk, "candidate") == [(0, 30, "standard candidate")]


def test_a_room_is_lost_by_two_looks_that_do_not_find_it(talk: Story) -> None:
    after(talk, 30, RoomSeen(at=0, sid=None))
    assert lane(talk, "room") == [(0, None, "RM_1")]

    after(talk, 6, RoomSeen(at=0, sid=None))

    assert lane(talk, "room") == [(0, 36, "RM_1 · not there any more")]
    assert lane(talk, "candidate") == [(0, 36, "standard candidate · not there any more")]
    assert [words.partition(" · ")[2] for _, _, words in lane(talk, "state")] == ["", "", ""]


def test_a_leave_that_was_only_concluded_from_listings_is_a_leave(talk: Story) -> None:
    for seconds in (30, 6):
        after(talk, seconds, RoomSeen(at=0, sid="RM_1", people=(SEEN_AGENT,)))

    assert lane(talk, "candidate") == [(0, 36, "standard candidate · not there any more")]
    assert lane(talk, "agent-AJ_1") == [(0, None, "agent agent-AJ_1")]


def test_a_raw_reason_that_comes_late_replaces_what_was_concluded(talk: Story) -> None:
    for seconds in (30, 6):
        after(talk, seconds, RoomSeen(at=0, sid="RM_1", people=(SEEN_AGENT,)))
    away(talk, 4)

    assert lane(talk, "candidate") == [(0, 36, "standard candidate · CONNECTION_TIMEOUT")]


def test_a_word_that_is_ignored_draws_nothing(talk: Story) -> None:
    away(talk, 30)
    away(talk, 1, raw="CLIENT_INITIATED")
    talk(ParticipantAborted(at=0, sid="PA_other", identity="other", raw="JOIN_FAILURE"))

    assert lane(talk, "candidate") == [(0, 30, "standard candidate · CONNECTION_TIMEOUT")]
    assert lane(talk, "other") == []


def test_a_leave_whose_join_was_lost_is_a_point(talk: Story) -> None:
    after(talk, 5, ParticipantLeft(at=0, sid="PA_p", identity="panelist", raw="CLIENT_INITIATED"))

    assert lane(talk, "panelist") == [(5, 5, "standard panelist · CLIENT_INITIATED")]


def test_a_join_that_only_a_listing_showed_is_a_join() -> None:
    story = Story()
    after(story, 8, RoomSeen(at=0, sid="RM_1", people=(SEEN,)))

    assert lane(story, "candidate") == [(8, None, "standard candidate")]
    assert lane(story, "room") == [(8, None, "RM_1")]


def test_a_room_is_known_by_a_join_alone() -> None:
    story = Story()
    story.user(room_sid="RM_7")

    assert lane(story, "room") == [(0, None, "RM_7")]


def test_an_agent_that_was_removed_says_so() -> None:
    story = Story()
    story.live()
    story(AgentLost(at=0, job="AJ_1", exit=-9))
    after(story, 1, ParticipantRemoved(at=0, identity="agent-AJ_1"))

    assert lane(story, "agent-AJ_1") == [(0, 1, "agent agent-AJ_1 · removed")]


# Epochs.


def kinds(story: Story) -> dict[str, str]:
    """What each epoch's lane is."""
    return {span.lane: span.kind for span in explain(story.journal).lanes if span.lane.startswith("epoch ")}


def test_an_epoch_is_as_long_as_its_job(talk: Story) -> None:
    after(talk, 40, AgentLost(at=0, job="AJ_1", exit=-9))
    talk.now += 2 * SECOND
    talk.agent("AJ_2", epoch=2)
    after(talk, 20, EndAsked(at=0, job="AJ_2", reason=Reason.COMPLETED, by=By.AGENT))
    after(talk, 5, AgentDone(at=0, job="AJ_2"))

    assert lane(talk, "epoch 1") == [(0, 40, "agent-AJ_1, job AJ_1 · lost, exit -9")]
    assert lane(talk, "epoch 2") == [(42, 67, "agent-AJ_2, job AJ_2 · done")]
    assert kinds(talk) == {"epoch 1": "epoch", "epoch 2": "epoch"}


def test_a_job_that_was_fenced_was_never_in_charge(talk: Story) -> None:
    after(talk, 3, AgentAttached(at=0, job="AJ_9", identity="agent-AJ_9"))
    after(talk, 4, AgentLost(at=0, job="AJ_9"))

    assert lane(talk, "epoch 2") == [(3, 7, "agent-AJ_9, job AJ_9, never in charge · lost")]
    assert kinds(talk) == {"epoch 1": "epoch", "epoch 2": "fenced"}
    assert lane(talk, "epoch 1") == [(0, None, "agent-AJ_1, job AJ_1")]


def test_a_job_whose_lease_expired_before_it_joined_may_come_back_in_vain() -> None:
    story = Story()
    story.room()
    story.user()
    story(AgentAttached(at=0, job="AJ_1", identity="agent-AJ_1"))
    after(story, 5, LeaseExpired(at=0, job="AJ_1"))
    after(story, 5, AgentAttached(at=0, job="AJ_1", identity="agent-AJ_1"))
    after(story, 5, LinkLost(at=0, job="AJ_1"))

    said = "agent-AJ_1, job AJ_1, never in charge"
    assert lane(story, "epoch 1") == [(0, 5, f"{said} · lease expired"), (10, 15, f"{said} · link lost")]
    assert kinds(story) == {"epoch 1": "fenced"}
    assert lane(story, "agent-AJ_1") == []


def test_a_broken_link_is_a_suspicion_only(talk: Story) -> None:
    after(talk, 5, LinkLost(at=0, job="AJ_1"))

    assert lane(talk, "epoch 1") == [(0, None, "agent-AJ_1, job AJ_1")]


def test_an_agent_that_is_seen_before_it_attaches_has_one_span() -> None:
    story = Story()
    story.room()
    story.agent(attached=False)
    assert lane(story, "epoch 1") == [(0, None, "agent-AJ_1")]

    after(story, 1, AgentAttached(at=0, job="AJ_1", identity="agent-AJ_1"))

    assert lane(story, "epoch 1") == [(0, None, "agent-AJ_1, job AJ_1")]


def test_a_stock_agent_is_in_charge_until_it_leaves_or_the_session_ends() -> None:
    story = Story()
    story.live(attached=False)
    story(EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR), after=50)

    assert lane(story, "epoch 1") == [(0, 50, "agent-AJ_1")]
    assert lane(story, "agent-AJ_1") == [(0, None, "agent agent-AJ_1")]


def test_a_worker_that_falls_silent_after_the_end_leaves_no_open_epoch(talk: Story) -> None:
    away(talk, 10, raw="ROOM_DELETED")
    talk(EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
    assert lane(talk, "epoch 1")[0][1] is None

    after(talk, 5, LeaseExpired(at=0, job="AJ_1"))
    assert lane(talk, "epoch 1") == [(0, 15, "agent-AJ_1, job AJ_1 · lease expired")]

    after(talk, 5, Noted(at=0, job="AJ_1", seq=1, what="usage"))
    after(talk, 1, AgentDone(at=0, job="AJ_1"))
    assert lane(talk, "epoch 1")[1:] == [(20, 21, "agent-AJ_1, job AJ_1 · done")]


# The rest.


def test_recordings_have_a_lane(talk: Story) -> None:
    talk(EgressStarted(at=0, egress="EG_1"))
    after(talk, 3, EgressStarted(at=0, egress="EG_2"))
    after(talk, 4, EgressEnded(at=0, egress="EG_1"))

    assert lane(talk, "recording") == [(0, 7, "EG_1 · ended"), (3, None, "EG_2")]


def test_an_ended_session_has_no_open_state(talk: Story) -> None:
    talk(EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR), after=50)
    after(talk, 5, GoodbyeOver(at=0, job="AJ_1"))
    after(talk, 3, RoomFinished(at=0, sid="RM_1"))

    assert [(begin, end, words.partition(":")[0]) for begin, end, words in lane(talk, "state")] == [
        (0, 0, "waiting"),
        (0, 50, "live"),
        (50, 55, "ending"),
        (55, 55, "ended"),
    ]


def test_lanes_begin_in_the_order_in_which_things_came_the_states_first(talk: Story) -> None:
    talk(EgressStarted(at=0, egress="EG_1"), after=1)
    talk.user("panelist")

    spans = explain(talk.journal).lanes

    assert list(dict.fromkeys(span.lane for span in spans)) == [
        "state",
        "room",
        "candidate",
        "epoch 1",
        "agent-AJ_1",
        "recording",
        "panelist",
    ]
    assert [span.begin for span in spans] == sorted(span.begin for span in spans)


def test_somebody_who_is_named_like_a_lane_is_told_from_it(talk: Story) -> None:
    talk.user("state", sid="live")

    assert [(span.kind, span.end) for span in explain(talk.journal).lanes if span.lane == "state"] == [
        ("waiting", START),
        ("live", None),
        ("person", None),
    ]


def test_a_span_is_plain_json() -> None:
    span = Span("candidate", "person", START, START + 1500, "standard candidate")

    assert span.plain() == {
        "lane": "candidate",
        "kind": "person",
        "from": "2027-01-15T08:00:00.000Z",
        "to": "2027-01-15T08:00:01.500Z",
        "words": "standard candidate",
    }


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
def test_the_lanes_of_kept_journals_hold_together(path: Path) -> None:
    journal = [load_event(json.loads(line)) for line in path.read_text().splitlines()]
    explanation = explain(journal)

    states = [span for span in explanation.lanes if span.kind in tuple(State)]
    assert [span.end for span in states[:-1]] == [span.begin for span in states[1:]]
    assert states[-1].end is not None
    assert all(span.end is None or span.begin <= span.end for span in explanation.lanes)
    present = {person.identity for person in explanation.session.participants}
    assert {span.lane for span in explanation.lanes if span.kind in {"person", "agent"} and span.end is None} == present
    assert json.loads(json.dumps(explanation.plain()))["lanes"] == [span.plain() for span in explanation.lanes]
