"""Speech to text for livekit-agents: Moonshine's English tiny model, offline, with interim results.

The model hears whole utterances, so the stream keeps one utterance for the whole turn, pauses included: better words
than from fragments. It is transcribed again as it grows, which gives the interim results, and at each pause. When
livekit-agents' turn detector finds the turn over it flushes the stream, and the text of the pause is the final one.
"""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from livekit import rtc
from livekit.agents import APIError, stt, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr
from livekit.local_inference import VAD
from moonshine_voice import ModelArch, get_model_path
from moonshine_voice.errors import MoonshineError
from moonshine_voice.transcriber import Transcriber

from .utterance import SAMPLE_RATE, VOICED, WINDOW, WINDOW_SECONDS, Listener, Utterance

if TYPE_CHECKING:
    from livekit.agents.language import LanguageCode
    from livekit.agents.utils import AudioBuffer
    from numpy.typing import NDArray

LANGUAGE = "en"

PAUSE = 0.16
"""Seconds of silence after which the words so far are worth transcribing."""
INTERIM = 0.6
"""Seconds of new speech after which they are, without a pause; more when transcribing is slow."""
BUSY = 0.25
"""Share of the time that interim results may keep the recogniser busy."""
SILENCE = 1.6
"""Seconds of silence that end an utterance nobody flushed; beyond half of the session's longest endpointing delay."""
LONG = 12.0
"""Seconds after which an utterance is cut at its next pause: the model's time grows with the square of the length …"""
LONGEST = 20.0
"""… or without a pause."""


class Recognizer:
    """The model, loaded; it transcribes one utterance after the other in a thread of its own.

    Raises:
        MoonshineError: The model cannot be loaded.
    """

    def __init__(self) -> None:
        # A second thread of the model's runtime spins while it waits: the same text no sooner, for twice the time of
        # the processor, and far later when the other cores are busy.
        os.environ.setdefault("MOONSHINE_ORT_SINGLE_THREAD", "1")
        self._transcriber = Transcriber(
            get_model_path("tiny-en"),
            ModelArch.TINY,
            # The utterance is cut already; its speakers and its sound are of no use here.
            options={"vad_threshold": "0", "identify_speakers": "false", "return_audio_data": "false"},
        )
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="moonshine")

    def transcribe(self, audio: NDArray[np.int16]) -> str:
        """The words of an utterance.

        Args:
            audio: Mono, at `SAMPLE_RATE`.
        """
        samples = (audio.astype(np.float32) / 32768).tolist()
        transcript = self._transcriber.transcribe_without_streaming(samples, SAMPLE_RATE)
        return " ".join(line.text.strip() for line in transcript.lines).strip()

    async def recognize(self, audio: NDArray[np.int16]) -> str:
        """The words of an utterance, without blocking the event loop.

        Raises:
            APIError: The model failed; livekit-agents knows what to do with this one.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self.transcribe, audio)
        except MoonshineError as error:
            raise APIError(str(error)) from error


class MoonshineSTT(stt.STT[str]):
    """Moonshine as a recogniser.

    Args:
        recognizer: The model, loaded.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        super().__init__(
            capabilities=stt.STTCapabilities(streaming=True, interim_results=True, manual_flush=True),
        )
        self._recognizer = recognizer

    @property
    def model(self) -> str:
        """The name that metrics and reports show."""
        return "moonshine-tiny-en"

    @property
    def provider(self) -> str:
        """The name that metrics and reports show."""
        return "moonshine"

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.SpeechEvent:
        frame = utils.merge_frames(buffer)
        frames = [frame]
        if frame.sample_rate != SAMPLE_RATE:
            resampler = rtc.AudioResampler(frame.sample_rate, SAMPLE_RATE)
            frames = [*resampler.push(frame), *resampler.flush()]
        text = await self._recognizer.recognize(np.concatenate([_samples(frame) for frame in frames]))
        return stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[_speech(text)])

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        """Begin to listen."""
        return _MoonshineStream(stt=self, conn_options=conn_options, recognizer=self._recognizer)


@dataclass(slots=True)
class _Attempt:
    """One transcription of an utterance as far as it went; what it cost is known when it is done."""

    utterance: Utterance
    spoken: int
    text: asyncio.Task[str]
    began: float


class _MoonshineStream(stt.RecognizeStream):
    def __init__(self, *, stt: MoonshineSTT, conn_options: APIConnectOptions, recognizer: Recognizer) -> None:
        super().__init__(stt=stt, conn_options=conn_options, sample_rate=SAMPLE_RATE)
        self._recognizer = recognizer
        self._listener = Listener()
        self._attempt: _Attempt | None = None
        self._cost = 0.0

    async def _run(self) -> None:
        activity = VAD()
        rest = np.empty(0, np.int16)
        try:
            async for item in self._input_ch:
                if isinstance(item, self._FlushSentinel):
                    await self._finish()
                    continue
                sound = np.concatenate((rest, _samples(item)))
                whole = len(sound) - len(sound) % WINDOW
                rest = sound[whole:]
                for window in sound[:whole].reshape(-1, WINDOW):
                    await self._hear(window, activity.predict(window))
            await self._finish()
        finally:
            if self._attempt is not None:
                await utils.aio.cancel_and_wait(self._attempt.text)
            activity.close()

    async def _hear(self, window: NDArray[np.int16], probability: float) -> None:
        quiet = self._listener.utterance is None
        self._listener.hear(window, probability)
        utterance = self._listener.utterance
        if utterance is None:
            return
        if quiet:
            self._event_ch.send_nowait(stt.SpeechEvent(stt.SpeechEventType.START_OF_SPEECH))
        long = utterance.duration >= LONG and utterance.silence >= PAUSE
        if utterance.silence >= SILENCE or long or utterance.duration >= LONGEST:
            await self._finish()
        else:
            self._listen_in(utterance)

    def _listen_in(self, utterance: Utterance) -> None:
        """Transcribe the utterance so far, if there is news and the recogniser has the time."""
        attempt = self._attempt
        if attempt is not None and not attempt.text.done():
            return
        known = attempt.spoken if attempt is not None and attempt.utterance is utterance else 0
        news = (utterance.spoken - known) * WINDOW_SECONDS
        if news > 0 and (utterance.silence >= PAUSE or news >= max(INTERIM, self._cost / BUSY)):
            self._attempt = self._transcribe(utterance)
            self._attempt.text.add_done_callback(self._on_attempt)

    def _transcribe(self, utterance: Utterance) -> _Attempt:
        text = asyncio.create_task(self._recognizer.recognize(utterance.audio()), name="moonshine")
        return _Attempt(utterance, utterance.spoken, text, time.perf_counter())

    def _on_attempt(self, task: asyncio.Task[str]) -> None:
        attempt = self._attempt
        if attempt is None or attempt.text is not task or task.cancelled() or task.exception() is not None:
            return
        self._cost = time.perf_counter() - attempt.began
        if attempt.utterance is self._listener.utterance and task.result():
            self._send(stt.SpeechEventType.INTERIM_TRANSCRIPT, task.result(), attempt.utterance)

    async def _finish(self) -> None:
        """End the utterance and send its text; a flush is answered even when nothing was said."""
        utterance = self._listener.take()
        attempt, self._attempt = self._attempt, None
        if utterance is None or utterance.voiced < VOICED:
            if attempt is not None:
                await utils.aio.cancel_and_wait(attempt.text)
            self._send(stt.SpeechEventType.FINAL_TRANSCRIPT, "", utterance)
            return
        if attempt is None or attempt.utterance is not utterance or attempt.spoken != utterance.spoken:
            if attempt is not None:
                await utils.aio.cancel_and_wait(attempt.text)
            attempt = self._attempt = self._transcribe(utterance)
        text = await attempt.text
        self._event_ch.send_nowait(stt.SpeechEvent(stt.SpeechEventType.END_OF_SPEECH))
        self._send(stt.SpeechEventType.FINAL_TRANSCRIPT, text, utterance)
        usage = stt.RecognitionUsage(audio_duration=utterance.duration)
        self._event_ch.send_nowait(
            stt.SpeechEvent(stt.SpeechEventType.RECOGNITION_USAGE, recognition_usage=usage),
        )

    def _send(self, event: stt.SpeechEventType, text: str, utterance: Utterance | None) -> None:
        speech = _speech(text)
        if utterance is not None:
            speech.start_time = self.start_time_offset + utterance.began * WINDOW_SECONDS
            speech.end_time = speech.start_time + utterance.duration
        self._event_ch.send_nowait(stt.SpeechEvent(event, alternatives=[speech]))


def _speech(text: str) -> stt.SpeechData:
    language: LanguageCode | str = LANGUAGE
    return stt.SpeechData(language=language, text=text)  # type: ignore[arg-type]  # it makes a LanguageCode of it


def _samples(frame: rtc.AudioFrame) -> NDArray[np.int16]:
    samples = np.frombuffer(frame.data, np.int16)
    return samples if frame.num_channels == 1 else samples[:: frame.num_channels]
