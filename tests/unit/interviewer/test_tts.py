"""The voice as livekit-agents uses it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest
from livekit.agents import APIError

from examples.interviewer.espeak import Espeak, EspeakError
from examples.interviewer.script import GOODBYE, GREETING, QUESTIONS
from examples.interviewer.tts import EspeakTTS
from tests.unit.interviewer.voices import Voice

if TYPE_CHECKING:
    from collections.abc import Callable

PEAK = 0.9 * 32767


async def spoken(espeak: Espeak, text: str) -> Voice:
    frame = await EspeakTTS(espeak).synthesize(text).collect()
    assert frame.num_channels == 1
    return Voice(np.frombuffer(frame.data, np.int16), frame.sample_rate)


@pytest.mark.parametrize("line", [GREETING, GOODBYE, *(question.text for question in QUESTIONS)])
async def test_every_line_of_the_script_is_heard_at_a_calm_pace(espeak: Espeak, line: str) -> None:
    voice = await spoken(espeak, line)
    assert 10 < len(line) / voice.duration < 25, "letters a second"
    loudness = np.sqrt(np.mean((voice.samples / 32768.0) ** 2))
    assert loudness > 0.03
    assert np.abs(voice.samples).max() < PEAK, "it does not clip"


async def test_the_rate_is_what_the_library_says(espeak: Espeak) -> None:
    tts = EspeakTTS(espeak)
    assert tts.sample_rate == espeak.sample_rate == 22_050
    assert (await spoken(espeak, "Hello.")).rate == tts.sample_rate


async def test_a_longer_text_takes_longer(espeak: Espeak) -> None:
    assert (await spoken(espeak, "One, two, three, four, five.")).duration > (await spoken(espeak, "One.")).duration


async def test_audio_comes_in_chunks(espeak: Espeak) -> None:
    async with EspeakTTS(espeak).synthesize(GREETING) as stream:
        durations = [event.frame.duration async for event in stream]
    assert len(durations) > 5
    assert max(durations) < 0.5


@pytest.mark.parametrize("text", ["…", "?!", "🎤"])
async def test_a_text_without_sound_is_no_failure(espeak: Espeak, text: str) -> None:
    assert (await spoken(espeak, text)).duration > 0


async def test_letters_of_other_languages_are_no_failure(espeak: Espeak) -> None:
    assert (await spoken(espeak, "Zoë Müller, naïve café, 東京")).duration > 0.5


async def test_two_texts_at_once_do_not_mix(espeak: Espeak) -> None:
    alone = [(await spoken(espeak, text)).samples for text in ("One.", "Two, three, four.")]
    together = await asyncio.gather(spoken(espeak, "One."), spoken(espeak, "Two, three, four."))
    assert [len(voice.samples) for voice in together] == [pytest.approx(len(samples), rel=0.02) for samples in alone]


def test_a_listener_that_has_heard_enough_stops_the_speech(espeak: Espeak, say: Callable[[str], Voice]) -> None:
    chunks: list[bytes] = []

    def listen(chunk: bytes) -> bool:
        chunks.append(chunk)
        return len(chunks) < 3

    espeak.synthesize(GREETING, listen)
    assert len(chunks) == 3
    assert say("Hello.").duration > 0.2, "the next speech is whole again"


def test_an_unknown_voice_is_refused() -> None:
    with pytest.raises(EspeakError, match="no voice 'klingon-opera'"):
        Espeak("klingon-opera")


async def test_a_failing_library_is_an_error_that_livekit_agents_understands(
    espeak: Espeak, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(text: str, listen: Callable[[bytes], bool]) -> None:
        raise EspeakError("synthesis failed with -1")

    monkeypatch.setattr(espeak, "synthesize", fail)
    with pytest.raises(APIError, match="synthesis failed"):
        await spoken(espeak, "Hello.")
