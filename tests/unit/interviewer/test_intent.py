"""What a candidate's remark is taken for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.interviewer.intent import Intent, intent, is_backchannel, words


@pytest.mark.parametrize(
    ("remark", "meaning"),
    [
        ("I am a carpenter in a small town.", Intent.ANSWER),
        ("A boat.", Intent.ANSWER),
        ("Yes.", Intent.ANSWER),
        ("Could you repeat that, please?", Intent.REPEAT),
        ("Sorry?", Intent.REPEAT),
        ("What was the question?", Intent.REPEAT),
        ("I didn't catch that.", Intent.REPEAT),
        ("I didn\N{RIGHT SINGLE QUOTATION MARK}t hear you.", Intent.REPEAT),
        ("I don't know.", Intent.SKIP),
        ("No idea, sorry.", Intent.SKIP),
        ("Skip, please.", Intent.SKIP),
        ("Next question!", Intent.SKIP),
        ("I would rather not say.", Intent.SKIP),
        ("I'm not sure.", Intent.SKIP),
        ("One moment, please.", Intent.WAIT),
        ("Hold on.", Intent.WAIT),
        ("Let me think.", Intent.WAIT),
        ("I want to stop now.", Intent.STOP),
        ("Please end the interview.", Intent.STOP),
        ("I'd like to stop here, please.", Intent.STOP),
        ("Sorry, I have to go.", Intent.STOP),
        ("Goodbye!", Intent.STOP),
        ("Stop.", Intent.STOP),
        ("Um.", Intent.NOTHING),
        ("Mm-hmm.", Intent.NOTHING),
        ("Hello?", Intent.NOTHING),
        ("…", Intent.NOTHING),
        ("", Intent.NOTHING),
    ],
)
def test_a_short_remark_is_taken_for_what_it_asks(remark: str, meaning: Intent) -> None:
    assert intent(remark) is meaning


@pytest.mark.parametrize(
    "remark",
    [
        "We had to stop the machine and repeat the whole test before anybody could move on to the next one.",
        "At first I had no idea what to do, then I asked a colleague and we found it in one moment.",
        "Goodbye was the hardest word for me to say when I had to leave that lovely job after ten years.",
    ],
)
def test_a_long_remark_is_an_answer_whatever_it_contains(remark: str) -> None:
    assert intent(remark) is Intent.ANSWER


@pytest.mark.parametrize(
    "remark",
    ["The boat had to stop at an island.", "I repaired the roof.", "It was a stop sign.", "I know how to weld."],
)
def test_a_telling_word_inside_an_answer_is_not_a_wish(remark: str) -> None:
    assert intent(remark) is Intent.ANSWER


@pytest.mark.parametrize("remark", ["Mhm.", "Yeah.", "Okay, I see.", "Uh-huh, right.", "Hello!", "Yes, thank you."])
def test_a_nod_in_words_is_a_backchannel(remark: str) -> None:
    assert is_backchannel(remark)


@pytest.mark.parametrize("remark", ["Yes, but wait.", "No.", "Stop.", "I see a problem.", "Excuse me?"])
def test_whatever_says_more_is_none(remark: str) -> None:
    assert not is_backchannel(remark)


@given(st.text())
def test_any_text_has_words_and_a_meaning(remark: str) -> None:
    assert all(word.isalnum() and word == word.lower() for word in words(remark))
    assert intent(remark) in Intent
