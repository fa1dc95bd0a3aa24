"""The scripted interviewer: a function from the conversation to its next line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.interviewer.script import (
    ALL_ASKED,
    ASKED,
    CHECK_INS,
    GO_ON,
    GREETING,
    MAX_LINES,
    PATIENCE,
    QUESTIONS,
    REPEATED,
    SKIPPED,
    STOPPED,
    TAKE_YOUR_TIME,
    TIME_IS_UP,
    Line,
    Reply,
    heard,
    reply,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

LONG = "I have worked as a carpenter in a small town near the sea for many years."
FIRST, SECOND, THIRD, LAST = (question.text for question in QUESTIONS)


def ours(text: str) -> Line:
    return Line("interviewer", text)


def theirs(text: str) -> Line:
    return Line("candidate", text)


def talk(*remarks: str) -> list[Line]:
    """The conversation in which the candidate makes these remarks, the last one not yet answered."""
    conversation: list[Line] = []
    for remark in remarks:
        conversation += [ours(reply(conversation).text), theirs(remark)]
    return conversation


def test_it_begins_with_a_greeting_and_the_first_question() -> None:
    assert reply([]) == Reply(f"{GREETING} {FIRST}")


def test_it_asks_every_question_once_and_then_ends() -> None:
    conversation = talk(LONG, LONG, LONG, LONG)
    said = " ".join(line.text for line in conversation if line.speaker == "interviewer")
    for question in QUESTIONS:
        assert said.count(question.text) == 1
        assert question.follow_up not in said
    ending = reply(conversation)
    assert ending.text.endswith(ALL_ASKED)
    assert ending.end == "all questions asked"


def test_a_long_answer_is_acknowledged_before_the_next_question() -> None:
    answer = reply(talk(LONG)).text
    assert answer.endswith(SECOND)
    assert len(answer) > len(SECOND)


def test_a_short_answer_gets_one_follow_up_question() -> None:
    assert reply(talk("A boat.")).text == QUESTIONS[0].follow_up
    assert reply(talk("A boat.", "Yes.")).text.endswith(SECOND)


def test_two_short_remarks_are_one_answer() -> None:
    conversation = [*talk("I am a gardener."), theirs("And I grow roses.")]
    assert reply(conversation).text.endswith(SECOND)


@pytest.mark.parametrize(
    ("remark", "expected"),
    [
        ("Could you repeat that?", f"{REPEATED} {FIRST}"),
        ("One moment, please.", TAKE_YOUR_TIME),
        ("Um.", GO_ON),
        ("I don't know.", f"{SKIPPED} {SECOND}"),
        ("Skip.", f"{SKIPPED} {SECOND}"),
    ],
)
def test_a_remark_that_is_no_answer_is_reacted_to(remark: str, expected: str) -> None:
    assert reply(talk(remark)) == Reply(expected)


def test_a_question_is_repeated_as_often_as_patience_allows() -> None:
    asked = [reply(talk(*["Pardon?"] * times)).text for times in range(1, PATIENCE + 1)]
    assert asked[:-1] == [f"{REPEATED} {FIRST}"] * (PATIENCE - 1)
    assert asked[-1].endswith(SECOND)


@pytest.mark.parametrize("before", [[], [LONG], [LONG, "Skip."]])
def test_the_candidate_may_stop_at_any_time(before: list[str]) -> None:
    assert reply(talk(*before, "I want to stop.")) == Reply(STOPPED, end="the candidate asked to stop")


def test_silence_is_met_with_three_different_check_ins() -> None:
    conversation = [ours(reply([]).text)]
    for check_in in CHECK_INS:
        assert reply(conversation).text == check_in
        conversation.append(ours(check_in))
    assert reply([*conversation, theirs(LONG)]).text.endswith(SECOND)


def test_check_ins_begin_anew_once_the_candidate_has_spoken() -> None:
    silent = [ours(reply([]).text), ours(CHECK_INS[0]), ours(CHECK_INS[1])]
    back = [*silent, theirs("A boat.")]
    assert reply([*back, ours(reply(back).text)]).text == CHECK_INS[0]


def test_a_question_cut_off_early_is_asked_again() -> None:
    conversation = [*talk(LONG), ours("I see, thank you. What is a"), theirs("And I also cook for my family.")]
    assert reply(conversation).text.endswith(SECOND)


def test_a_question_cut_off_at_its_end_counts_as_asked() -> None:
    conversation = [*talk(LONG), ours("I see, thank you. What is a piece of work that you"), theirs(LONG)]
    assert reply(conversation).text.endswith(THIRD)


def test_who_speaks_first_is_greeted() -> None:
    assert reply([theirs("Hello, my name is Martin.")]).text == f"{GREETING} {FIRST}"
    assert reply([ours("Hello, and"), theirs("Excuse me, I cannot hear you.")]).text == f"{GREETING} {FIRST}"


def test_a_heard_greeting_is_not_repeated() -> None:
    assert reply([ours(GREETING), theirs("Yes, I am ready, please begin.")]).text.endswith(FIRST)
    assert GREETING not in reply([ours(GREETING), theirs("Yes, I am ready, please begin.")]).text


def test_a_conversation_that_broke_off_after_an_answer_goes_on_with_the_next_question() -> None:
    """A fresh agent, given the conversation of a dead one whose acknowledgement was still heard."""
    assert reply([*talk(LONG), ours("I see, thank you.")]) == Reply(SECOND)


def test_nobody_is_interviewed_for_ever() -> None:
    endless = [ours(GREETING), theirs("One moment.")] * (MAX_LINES // 2)
    assert reply(endless) == Reply(TIME_IS_UP, end="the time is up")


def test_the_share_of_a_line_that_was_heard_is_counted_from_its_beginning() -> None:
    assert heard("one two three four", "Well: one, two.") == 0.5
    assert heard("one two three four", "three four") == 0.0
    assert heard("one two three four", "one one two three four!") == 1.0


REMARKS = st.sampled_from(
    [
        LONG,
        "A boat.",
        "Yes.",
        "Pardon?",
        "Skip.",
        "I don't know.",
        "Let me think.",
        "Mhm.",
        "And I also bake bread at night.",
        FIRST,  # an echo of the interviewer
    ]
)
SILENT = None
TURNS = st.lists(st.tuples(st.one_of(REMARKS, st.just(SILENT)), st.floats(0.0, 1.0)), max_size=MAX_LINES)


def interview(turns: Iterable[tuple[str | None, float]]) -> tuple[list[Line], list[Reply], int]:
    """Let the script interview a candidate who makes these remarks, each cutting the line before it to a share.

    Once the remarks are used up every answer is long and nothing is cut. Returns the conversation, what the script said
    and how often it said the end.
    """
    conversation: list[Line] = []
    replies: list[Reply] = []
    remaining = list(turns)
    while len(replies) <= MAX_LINES:
        turn = reply(conversation)
        replies.append(turn)
        if turn.end is not None:
            return conversation, replies, sum(turn.end is not None for turn in replies)
        remark, share = remaining.pop(0) if remaining else (LONG, 1.0)
        spoken = turn.text.split()
        audible = spoken if remark is SILENT else spoken[: round(share * len(spoken))]
        if audible:
            conversation.append(ours(" ".join(audible)))
        if remark is not SILENT:
            conversation.append(theirs(remark))
    return conversation, replies, 0


@given(TURNS)
def test_every_interview_ends_exactly_once(turns: list[tuple[str | None, float]]) -> None:
    _, _, ends = interview(turns)
    assert ends == 1


@given(TURNS)
def test_a_question_is_never_asked_again_once_a_later_one_was(turns: list[tuple[str | None, float]]) -> None:
    conversation, _, _ = interview(turns)
    latest = -1
    for line in conversation:
        if line.speaker == "interviewer":
            for number, question in enumerate(QUESTIONS):
                if heard(question.text, line.text) >= ASKED:
                    assert number >= latest
                    latest = max(latest, number)


@given(TURNS)
def test_the_same_conversation_always_gets_the_same_reply(turns: list[tuple[str | None, float]]) -> None:
    conversation, replies, _ = interview(turns)
    assert reply(conversation) == replies[-1]


@given(st.lists(st.builds(Line, st.sampled_from(["interviewer", "candidate"]), st.text(max_size=80)), max_size=100))
def test_any_conversation_has_a_reply(conversation: list[Line]) -> None:
    assert reply(conversation).text
