"""The recogniser as livekit-agents uses it, on recorded and on synthesized voices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from livekit.agents import stt

from examples.interviewer.intent import words
from examples.interviewer.stt import MoonshineSTT, Recognizer
from tests.unit.interviewer.voices import Voice

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit.agents.stt import RecognizeStream

START = stt.SpeechEventType.START_OF_SPEECH
INTERIM = stt.SpeechEventType.INTERIM_TRANSCRIPT
FINAL = stt.SpeechEventType.FINAL_TRANSCRIPT
END = stt.SpeechEventType.END_OF_SPEECH
USAGE = stt.SpeechEventType.RECOGNITION_USAGE

SENTENCE = "it was the best of times it was the worst of times"
BEGIN, BREATH = 0.5, 4.95  # seconds: before the sentence, and in the pause after it


def push(stream: RecognizeStream, voice: Voice) -> None:
    for frame in voice.frames():
        stream.push_frame(frame)


async def listen(recognizer: Recognizer, voice: Voice) -> list[stt.SpeechEvent]:
    """Everything that a stream tells about a voice, pushed at once and then ended."""
    async with MoonshineSTT(recognizer).stream() as stream:
        push(stream, voice)
        stream.end_input()
        return [event async for event in stream]


async def until_final(stream: RecognizeStream) -> list[stt.SpeechEvent]:
    events = []
    async for event in stream:
        events.append(event)
        if event.type is FINAL:
            break
    return events


def text(event: stt.SpeechEvent) -> str:
    return " ".join(words(event.alternatives[0].text))


async def test_a_recorded_sentence_is_recognised_without_a_stream(recognizer: Recognizer, dickens: Voice) -> None:
    event = await MoonshineSTT(recognizer).recognize(list(dickens.cut(BEGIN, BREATH).frames()))
    assert text(event) == SENTENCE


async def test_a_long_recording_is_recognised_word_for_word(recognizer: Recognizer, dickens: Voice) -> None:
    finals = [text(event) for event in await listen(recognizer, dickens.cut(0, 28.5)) if event.type is FINAL]
    heard = " ".join(finals)
    for phrase in (SENTENCE, "age of wisdom", "age of foolishness", "spring of hope", "we had everything before us"):
        assert phrase in heard
    assert len(finals) >= 2, "an utterance is cut before it gets too long for the model"


async def test_a_turn_is_one_utterance_and_flushing_ends_it(recognizer: Recognizer, dickens: Voice) -> None:
    async with MoonshineSTT(recognizer).stream() as stream:
        push(stream, dickens.cut(BEGIN, BREATH).then_silence(0.5))
        stream.flush()
        events = await until_final(stream)
    assert events[0].type is START
    assert [event.type for event in events[-2:]] == [END, FINAL]
    assert text(events[-1]) == SENTENCE
    assert events[-1].alternatives[0].language == "en"


async def test_the_stream_tells_where_the_speech_was(recognizer: Recognizer, dickens: Voice) -> None:
    (final, *_) = [e for e in await listen(recognizer, dickens.cut(BEGIN, BREATH).then_silence(2)) if e.type is FINAL]
    speech = final.alternatives[0]
    assert 0 <= speech.start_time < 0.6
    assert 4.0 < speech.end_time < 4.6


async def test_usage_counts_the_seconds_of_speech(recognizer: Recognizer, dickens: Voice) -> None:
    events = await listen(recognizer, dickens.cut(BEGIN, BREATH).then_silence(2))
    seconds = [event.recognition_usage.audio_duration for event in events if event.recognition_usage]
    assert seconds == [pytest.approx(4.2, abs=0.5)]


async def test_words_are_shown_while_they_are_spoken(recognizer: Recognizer, dickens: Voice) -> None:
    async with MoonshineSTT(recognizer).stream() as stream:
        push(stream, dickens.cut(BEGIN, 3.1))
        while (event := await anext(stream)).type is not INTERIM:
            assert event.type is START
        assert text(event).startswith("it")
        push(stream, dickens.cut(3.1, BREATH).then_silence(0.5))
        stream.flush()
        assert text((await until_final(stream))[-1]) == SENTENCE


async def test_silence_ends_an_utterance_that_nobody_flushes(recognizer: Recognizer, dickens: Voice) -> None:
    async with MoonshineSTT(recognizer).stream() as stream:
        push(stream, dickens.cut(BEGIN, BREATH).then_silence(2))
        assert text((await until_final(stream))[-1]) == SENTENCE


async def test_a_flush_is_answered_even_when_nothing_was_said(recognizer: Recognizer) -> None:
    async with MoonshineSTT(recognizer).stream() as stream:
        push(stream, Voice(np.zeros(48_000, np.int16), 48_000))
        stream.flush()
        (event,) = await until_final(stream)
    assert text(event) == ""


async def test_a_click_is_no_word(recognizer: Recognizer) -> None:
    click = np.zeros(48_000, np.int16)
    click[24_000:24_100] = 30_000
    events = await listen(recognizer, Voice(click, 48_000))
    assert all(text(event) == "" for event in events if event.type is FINAL)


async def test_two_turns_do_not_mix(recognizer: Recognizer, dickens: Voice) -> None:
    async with MoonshineSTT(recognizer).stream() as stream:
        push(stream, dickens.cut(BEGIN, BREATH).then_silence(0.5))
        stream.flush()
        first = (await until_final(stream))[-1]
        push(stream, dickens.cut(BREATH, 8.6).then_silence(0.5))
        stream.flush()
        second = (await until_final(stream))[-1]
    assert text(first) == SENTENCE
    assert text(second) == "it was the age of wisdom it was the age of foolishness"


async def test_the_demonstration_voice_is_understood_by_the_recogniser(
    recognizer: Recognizer, say: Callable[[str], Voice]
) -> None:
    sentence = "What is a piece of work that you are proud of?"
    (final, *_) = [e for e in await listen(recognizer, say(sentence).then_silence(2)) if e.type is FINAL]
    assert words(text(final)) == words(sentence)
