"""Who is there is counted, told where no change of state tells it, and an agent that is kept for nobody is known."""

from __future__ import annotations

from roomkeeper.lifecycle.actions import EmitEvent
from roomkeeper.lifecycle.codec import dump_session, load_session
from roomkeeper.lifecycle.events import (
    AgentAttached,
    AgentDone,
    AgentLost,
    AgentYielded,
    ControlStarted,
    EndAsked,
    RoomFinished,
)
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.replay import moments
from roomkeeper.lifecycle.state import Session, State
from tests.unit.lifecycle.story import SECOND, START, Story

CHANGED = "session.changed"


def told(story: Story) -> list[EmitEvent]:
    """What the last event told the stream of states and of who is there."""
    return [said for said in story.asked(EmitEvent) if said.topic.startswith("session.")]


def changed(attendance: int) -> EmitEvent:
    return EmitEvent(topic=CHANGED, data={"attendance": attendance})


def attach(story: Story, job: str = "AJ_1") -> None:
    story(AgentAttached(at=0, job=job, identity=f"agent-{job}"))


def idle_since(story: Story) -> int | None:
    """Since when an agent is kept for nobody; a call, so that the type checker does not take it for constant."""
    return story.session.idle_since


# What is told.


def test_a_session_begins_with_nobody() -> None:
    story = Story()

    assert (story.session.attendance, story.session.idle_since) == (0, None)


def test_an_agent_that_attaches_before_any_user_is_told_and_idle() -> None:
    story = Story()
    story.room()
    story.now += 5 * SECOND

    attach(story)

    assert told(story) == [changed(1)]
    assert (story.state(), story.session.seq, story.session.idle_since) == (State.WAITING, 1, START + 5 * SECOND)


def test_an_attached_agent_that_joins_the_room_is_the_same_one() -> None:
    story = Story()
    attach(story)
    story.now += 2 * SECOND

    story.agent()

    assert told(story) == []
    assert (story.session.attendance, story.session.idle_since) == (1, START)


def test_a_user_who_comes_to_an_idle_agent_is_told_by_the_state_alone() -> None:
    story = Story()
    story.room()
    story.agent()

    story.user()

    assert told(story) == [EmitEvent(topic="session.live", data={"seq": 2})]
    assert (story.session.attendance, story.session.idle_since) == (2, None)


def test_a_user_who_waits_for_an_agent_is_told() -> None:
    story = Story()
    story.room()

    story.user()

    assert told(story) == [changed(1)]
    assert (story.state(), story.session.idle_since) == (State.WAITING, None)


def test_a_hold_tells_by_itself_that_the_user_left_and_the_agent_is_idle() -> None:
    story = Story()
    story.live()
    story.now += 60 * SECOND

    story.leaves(raw="CONNECTION_TIMEOUT")

    assert told(story) == [EmitEvent(topic="session.holding", data={"seq": 3})]
    assert (story.session.attendance, story.session.idle_since) == (3, START + 60 * SECOND)


def test_whoever_returns_ends_the_idleness() -> None:
    story = Story()
    story.live()
    story.leaves(raw="CONNECTION_TIMEOUT")

    story.user(sid="PA_again")

    assert story.state() is State.LIVE
    assert (story.session.attendance, story.session.idle_since) == (4, None)


def test_a_second_user_of_a_live_session_is_told_coming_and_going() -> None:
    story = Story()
    story.live()

    story.user("panelist")
    came = told(story)
    story.leaves("panelist")

    assert (came, told(story)) == ([changed(3)], [changed(4)])
    assert (story.state(), story.session.seq, story.session.idle_since) == (State.LIVE, 2, None)


def test_a_user_with_two_connections_is_one_user() -> None:
    story = Story()
    story.live()

    story.user(sid="PA_tab")
    second = told(story)
    story.leaves()

    assert (second, told(story), story.session.attendance) == ([], [], 2)


def test_somebody_who_does_not_count_is_nobody() -> None:
    story = Story()
    story.room()
    story.agent()

    story.user("observer", hidden=True)

    assert (told(story), story.session.attendance, idle_since(story)) == ([], 1, START)


def test_a_job_that_is_done_during_a_hold_is_told_and_nobody_is_kept() -> None:
    story = Story()
    story.live()
    story.leaves(raw="CONNECTION_TIMEOUT")
    assert idle_since(story) == START

    story(AgentDone(at=0, job="AJ_1"))

    assert story.state() is State.HOLDING
    assert told(story) == [changed(4)]
    assert (story.session.agent.identity, idle_since(story)) == (None, None)


def test_an_agent_that_follows_during_a_hold_is_idle_from_its_coming_on() -> None:
    story = Story()
    story.live()
    story.leaves(raw="CONNECTION_TIMEOUT")
    story(AgentDone(at=0, job="AJ_1"))
    story.now += 7 * SECOND

    attach(story, "AJ_2")

    assert told(story) == [changed(5)]
    assert idle_since(story) == START + 7 * SECOND


def test_a_hand_over_is_told() -> None:
    story = Story()
    story.live()
    story(AgentYielded(at=0, job="AJ_1"))
    story(AgentAttached(at=0, job="AJ_2", identity="agent-AJ_2", epoch=2))
    waiting = told(story)
    story.agent("AJ_2", epoch=2)

    story(AgentDone(at=0, job="AJ_1"))

    assert (waiting, told(story)) == ([], [changed(3)])
    assert (story.state(), story.session.agent.identity) == (State.LIVE, "agent-AJ_2")


def test_an_agent_that_is_lost_is_told_by_the_state() -> None:
    story = Story()
    story.live()

    story(AgentLost(at=0, job="AJ_1", exit=-9))

    assert [said.topic for said in told(story)] == ["session.agent_lost", "session.recovering"]
    assert story.session.attendance == 3


def test_the_end_keeps_no_agent_and_tells_no_comings_and_goings_any_more() -> None:
    story = Story()
    story.live()
    story.user("panelist")
    story.leaves("panelist", raw="CONNECTION_TIMEOUT")
    story.leaves(raw="CONNECTION_TIMEOUT")
    story(EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
    assert (story.state(), idle_since(story)) == (State.ENDED, None)
    before = len(story.ever)

    story.user(sid="PA_late")
    story.leaves(sid="PA_late")
    story.agent_leaves()
    story(RoomFinished(at=0, sid="RM_1"))

    assert [action for action in story.ever[before:] if isinstance(action, EmitEvent)] == []
    assert idle_since(story) is None


def test_those_who_leave_an_ended_session_are_counted_and_not_told() -> None:
    story = Story()
    story.live(attached=False)
    story(EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
    assert (story.state(), story.session.attendance) == (State.ENDED, 2)

    story.leaves()

    assert (told(story), story.session.attendance, story.session.users) == ([], 3, ())


def test_each_change_has_an_attendance_of_its_own() -> None:
    story = Story()
    story.room()
    attach(story)
    story.user()
    story.user("panelist")
    story.agent()
    story.leaves("panelist")
    story(AgentLost(at=0, job="AJ_1", exit=1))

    said = [action.data["attendance"] for action in story.ever_asked(EmitEvent) if action.topic == CHANGED]

    assert (said, story.session.attendance) == ([1, 2, 3, 4], 5)  # the loss is told by the state


def test_a_journal_tells_the_same_attendance() -> None:
    story = Story()
    story.live()
    story.user("panelist")
    story.leaves("panelist")
    story.leaves(raw="CONNECTION_TIMEOUT")

    assert story.replayed == story.session
    assert (story.replayed.attendance, story.replayed.idle_since) == (5, START)


def test_the_walk_through_a_journal_shows_the_same_changes() -> None:
    story = Story()
    story.live()
    story.user("panelist")

    walked = [action for moment in moments(story.journal) for action in moment.actions]

    assert walked == story.ever


# Sessions that an earlier version stored.


def stored_before(session: Session) -> Session:
    """Read a session as an earlier version wrote it."""
    written = dump_session(session)
    del written["attendance"], written["idle_since"]
    return load_session(written)


def test_a_session_that_was_stored_without_attendance_begins_to_count() -> None:
    story = Story()
    story.live()
    story.session = stored_before(story.session)
    assert (story.session.attendance, story.session.idle_since) == (0, None)

    story.user("panelist")

    assert told(story) == [changed(1)]


def test_what_is_ignored_changes_nothing_of_a_session_stored_without_attendance() -> None:
    story = Story()
    story.live()
    story.leaves(raw="CONNECTION_TIMEOUT")
    story.session = before = stored_before(story.session)

    story.leaves(raw="CONNECTION_TIMEOUT")

    assert story.ignored == "candidate is known to have left"
    assert story.session is before


def test_an_agent_that_was_idle_before_is_known_from_the_next_start_on() -> None:
    story = Story()
    story.live()
    story.leaves(raw="CONNECTION_TIMEOUT")
    story.session = stored_before(story.session)
    story.now += 9 * SECOND

    story(ControlStarted(at=0))

    assert (story.session.attendance, story.session.idle_since) == (0, START + 9 * SECOND)
