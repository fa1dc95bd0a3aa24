"""The interview goes on: after a crash, and with a candidate who was away for a moment."""

from __future__ import annotations

from examples.interviewer.script import ALL_ASKED, GREETING, QUESTIONS, Line, where


def talk(*remarks: str) -> list[Line]:
    """Remarks by turns, the interviewer first."""
    return [Line("candidate" if number % 2 else "interviewer", remark) for number, remark in enumerate(remarks)]


ANSWER = "I have been a carpenter for many years and I like it very much indeed."


def test_a_question_that_waits_for_its_answer_is_asked_again() -> None:
    assert where(talk(f"{GREETING} {QUESTIONS[0].text}")) == QUESTIONS[0].text


def test_a_question_that_was_answered_is_not() -> None:
    assert where(talk(f"{GREETING} {QUESTIONS[0].text}", ANSWER)) == QUESTIONS[1].text


def test_a_question_that_was_cut_off_is_asked_as_a_whole() -> None:
    cut = " ".join(QUESTIONS[1].text.split()[:3])
    assert where(talk(f"{GREETING} {QUESTIONS[0].text}", ANSWER, f"Thank you. {cut}")) == QUESTIONS[1].text


def test_when_everything_was_answered_there_is_nothing_to_ask() -> None:
    remarks = [each for question in QUESTIONS for each in (question.text, ANSWER)]
    assert where(talk(*remarks)) == ALL_ASKED
