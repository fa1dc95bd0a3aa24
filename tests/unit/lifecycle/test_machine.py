"""The table, and what happens should the rules leave it."""

from __future__ import annotations

import pytest

from roomkeeper.errors import IllegalCall
from roomkeeper.lifecycle import machine
from roomkeeper.lifecycle.actions import CancelTimer, EmitEvent, Ignored, SetTimer
from roomkeeper.lifecycle.events import EndAsked, Noted, SessionOpened, TimerFired
from roomkeeper.lifecycle.machine import COLUMNS, TABLE, Never, begin, legal, transition
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import State
from roomkeeper.lifecycle.step import Step
from roomkeeper.lifecycle.vocabulary import TimerKind
from tests.unit.lifecycle.story import START, Story


def test_a_session_begins_in_waiting_with_the_alarm_for_the_first_user() -> None:
    session, actions = begin(SessionOpened(at=START, session="S_1", room="r"))

    assert session.state is State.WAITING
    assert actions == (EmitEvent(topic="session.opened"), SetTimer(kind=TimerKind.JOIN, at=START + 300_000))


def test_nothing_leaves_ended_and_only_an_end_follows_ending() -> None:
    for key in TABLE:
        for state, reachable in ((State.ENDED, {State.ENDED}), (State.ENDING, {State.ENDING, State.ENDED})):
            cell = legal(state, key)
            assert isinstance(cell, Never) or cell <= reachable


def test_every_row_has_every_state_and_every_refusal_its_words() -> None:
    for key in TABLE:
        for state in COLUMNS:
            cell = legal(state, key)
            assert cell.why if isinstance(cell, Never) else cell


def test_a_move_that_the_table_does_not_have_is_a_bug_and_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story()
    story.live()
    row = ("W", "L", "H", "R", "E", "X")
    monkeypatch.setattr(machine, "TABLE", {**TABLE, EndAsked: row})

    with pytest.raises(IllegalCall, match=r"EndAsked.* led from live to ending, which the table does not have"):
        transition(story.session, EndAsked(at=START, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))


def test_an_alarm_that_is_early_because_it_was_moved_or_a_clock_was_set_back_is_asked_for_again() -> None:
    story = Story()

    assert transition(story.session, TimerFired(at=START + 299_999, kind=TimerKind.JOIN)) == (
        story.session,
        (Ignored(why="the join alarm is not due yet"), SetTimer(kind=TimerKind.JOIN, at=START + 300_000)),
    )


def test_an_alarm_that_was_cancelled_is_ignored() -> None:
    story = Story()

    assert transition(story.session, TimerFired(at=START, kind=TimerKind.AGENT)) == (
        story.session,
        (Ignored(why="the agent alarm was cancelled"),),
    )


def test_of_an_alarm_set_cancelled_and_set_again_in_one_step_the_last_word_counts() -> None:
    step = Step(Story().session, START)
    step.cancel(TimerKind.JOIN)
    step.set_timer(TimerKind.JOIN, START)
    step.cancel(TimerKind.JOIN)

    assert step.session.timers == {}
    assert step.actions[-1] == CancelTimer(kind=TimerKind.JOIN)


def test_usage_is_a_fact_and_no_item() -> None:
    story = Story()
    story.live()

    assert story(Noted(at=0, job="AJ_1", seq=1, what="usage")) == ()
    assert story.session.agent.seq == 1


def test_a_line_that_two_workers_ship_is_a_fact_once() -> None:
    story = Story()
    story.live()
    story(Noted(at=0, job="AJ_1", seq=7, what="item"))
    story(Noted(at=0, job="AJ_1", seq=7, what="item"))

    assert story.ignored == "line 7 of AJ_1 is already known"
