"""Speech cut out of a stream of windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.interviewer.utterance import LEAD, TAIL, VOICED, WINDOW, WINDOW_SECONDS, Listener, Utterance

if TYPE_CHECKING:
    from numpy.typing import NDArray


def window(number: int = 0) -> NDArray[np.int16]:
    return np.full(WINDOW, number, np.int16)


def hear(listener: Listener, *probabilities: float) -> None:
    for probability in probabilities:
        listener.hear(window(), probability)


def speaking(listener: Listener) -> Utterance:
    assert listener.utterance is not None
    return listener.utterance


def test_silence_is_no_utterance() -> None:
    listener = Listener()
    hear(listener, *[0.1] * 50)
    assert listener.take() is None


def test_an_utterance_begins_before_its_first_word() -> None:
    listener = Listener()
    for number in range(50):
        listener.hear(window(number), 0.1)
    listener.hear(window(50), 0.9)
    utterance = speaking(listener)
    assert utterance.began == 51 - LEAD
    assert [int(w[0]) for w in utterance.windows] == list(range(51 - LEAD, 51))


def test_a_doubtful_window_continues_speech_but_does_not_begin_it() -> None:
    listener = Listener()
    hear(listener, 0.4)
    assert listener.utterance is None
    hear(listener, 0.6, 0.4)
    assert speaking(listener).silence == 0
    hear(listener, 0.1, 0.4)
    assert speaking(listener).silence == pytest.approx(2 * WINDOW_SECONDS)


def test_the_audio_ends_a_moment_after_the_last_word() -> None:
    listener = Listener()
    hear(listener, 0.9, *[0.0] * 100)
    assert len(speaking(listener).audio()) == (1 + TAIL) * WINDOW
    assert speaking(listener).silence == pytest.approx(100 * WINDOW_SECONDS)


def test_a_click_has_fewer_voiced_windows_than_a_word() -> None:
    listener = Listener()
    hear(listener, 0.9, 0.0, 0.0)
    assert speaking(listener).voiced < VOICED
    hear(listener, *[0.9] * VOICED)
    assert speaking(listener).voiced > VOICED


def test_the_next_utterance_has_its_lead_from_the_silence_between() -> None:
    listener = Listener()
    hear(listener, 0.9)
    for number in range(1, 4):
        listener.hear(window(number), 0.0)
    listener.take()
    listener.hear(window(4), 0.9)
    assert [int(w[0]) for w in speaking(listener).windows] == [1, 2, 3, 4]


@given(st.lists(st.floats(0, 1)))
def test_no_window_is_lost_inside_an_utterance(probabilities: list[float]) -> None:
    listener = Listener()
    for number, probability in enumerate(probabilities):
        listener.hear(window(number % 1000), probability)
    utterance = listener.take()
    if utterance is not None:
        numbers = [int(w[0]) for w in utterance.windows]
        assert numbers == [number % 1000 for number in range(utterance.began, len(probabilities))]
        assert utterance.voiced <= utterance.spoken <= len(utterance.windows)
