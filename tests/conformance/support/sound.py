"""Tones that clients speak, and ears that recognise them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from livekit import rtc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from numpy.typing import NDArray

RATE = 48_000
FRAME = RATE // 100 * 2
"""Samples in 20 ms."""
WINDOW = RATE // 5
"""Samples looked at at once: 200 ms, so that the FFT tells tones 5 Hz apart."""
TOLERANCE_HZ = 10.0
LOUD = 0.01
"""RMS (of 1.0) above which a window is not silence; a tone here has 0.2 and comfort noise under 0.001."""


@dataclass
class Tone:
    """A sine that is spoken into an audio source for as long as the tone lives.

    Attributes:
        hz: Its frequency; 0 is digital silence.
    """

    hz: float
    source: rtc.AudioSource = field(default_factory=lambda: rtc.AudioSource(RATE, 1, queue_size_ms=100))
    _task: asyncio.Task[None] | None = None

    def start(self) -> rtc.LocalAudioTrack:
        """Begin to speak, and return the track to publish."""
        self._task = asyncio.create_task(self._speak(), name=f"tone {self.hz} Hz")
        return rtc.LocalAudioTrack.create_audio_track("tone", self.source)

    async def close(self) -> None:
        """Fall silent for good."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.source.aclose()

    async def _speak(self) -> None:
        at = 0
        while True:
            phase = 2 * np.pi * self.hz * (np.arange(FRAME) + at) / RATE
            samples = (np.sin(phase) * 0.3 * 32767).astype(np.int16)
            await self.source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE, 1, FRAME))
            at += FRAME


@dataclass
class Microphone:
    """Speaks what it is given, in real time, and is silent in between."""

    _source: rtc.AudioSource = field(default_factory=lambda: rtc.AudioSource(RATE, 1, queue_size_ms=20))
    _sound: asyncio.Queue[NDArray[np.int16]] = field(default_factory=asyncio.Queue)
    _task: asyncio.Task[None] | None = None

    async def open(self, speaker: rtc.LocalParticipant) -> None:
        """Publish it, and begin with silence."""
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await speaker.publish_track(track, options)
        self._task = asyncio.create_task(self._speak())

    def say(self, samples: NDArray[np.int16]) -> None:
        """Speak, at 48 kHz, once everything before it is said."""
        self._sound.put_nowait(samples)

    async def said(self) -> None:
        """Wait until everything is said."""
        await self._sound.join()

    async def close(self) -> None:
        """Fall silent for good; once the speaker has left."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._source.aclose()

    async def _speak(self) -> None:
        silence = np.zeros(RATE // 100, np.int16)
        while True:
            if self._sound.empty():
                await self._capture(silence)
                continue
            sound = await self._sound.get()
            for begin in range(0, len(sound), len(silence)):
                await self._capture(sound[begin : begin + len(silence)])
            self._sound.task_done()

    async def _capture(self, samples: NDArray[np.int16]) -> None:
        await self._source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE, 1, len(samples)))


@dataclass(frozen=True)
class Heard:
    """What one window of audio held.

    Attributes:
        hz: The strongest frequency.
        rms: How loud it was, of 1.0.
        at: When it was heard, `time.monotonic()`.
    """

    hz: float
    rms: float
    at: float

    def is_tone(self, hz: float) -> bool:
        """Whether this is the tone of that frequency."""
        return self.rms > LOUD and abs(self.hz - hz) <= TOLERANCE_HZ

    @property
    def is_silence(self) -> bool:
        """Whether nothing was heard."""
        return self.rms <= LOUD


def analyse(samples: NDArray[np.int16]) -> Heard:
    """Find the strongest frequency of some samples."""
    signal = samples.astype(np.float64) / 32768
    rms = float(np.sqrt(np.mean(signal**2)))
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal))))
    return Heard(float(np.argmax(spectrum)) * RATE / len(signal), rms, time.monotonic())


async def listen(track: rtc.Track) -> AsyncGenerator[Heard, None]:
    """Hear a track, window by window of 200 ms."""
    stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1)
    try:
        samples = np.empty(0, np.int16)
        async for event in stream:
            samples = np.concatenate([samples, np.frombuffer(event.frame.data, np.int16)])
            if len(samples) >= WINDOW:
                yield analyse(samples[:WINDOW])
                samples = samples[WINDOW:]
    finally:
        await stream.aclose()


async def hear_tone(track: rtc.Track, hz: float, *, within: float = 5.0) -> Heard:
    """Wait until a track carries a tone.

    Raises:
        AssertionError: It did not within so many seconds; the message says what was heard instead.
    """
    last: list[str] = []
    try:
        async with asyncio.timeout(within), contextlib.aclosing(listen(track)) as windows:
            async for heard in windows:
                if heard.is_tone(hz):
                    return heard
                last = [*last[-9:], f"{heard.hz:.0f} Hz at {heard.rms:.3f}"]
    except TimeoutError:
        pass
    raise AssertionError(f"wanted a tone of {hz} Hz, heard {', '.join(last) or 'no frame at all'}")


async def hear_again(room: rtc.Room, identity: str, hz: float, *, within: float = 15.0) -> Heard:
    """Wait until any track of a participant carries a tone, though tracks may be replaced meanwhile.

    Raises:
        AssertionError: None did within so many seconds.
    """
    deadline = time.monotonic() + within
    while True:
        participant = room.remote_participants.get(identity)
        publications = participant.track_publications.values() if participant else ()
        tracks = [publication.track for publication in publications if publication.track]
        heard = await asyncio.gather(*(hear_tone(track, hz, within=1) for track in tracks), return_exceptions=True)
        for each in heard:
            if isinstance(each, Heard):
                return each
        if time.monotonic() > deadline:
            raise AssertionError(f"{identity} was not heard at {hz} Hz within {within} s: {heard}")
        if not tracks:
            await asyncio.sleep(0.1)  # there is nothing yet to listen to


async def hear_silence(track: rtc.Track, *, within: float = 5.0) -> None:
    """Wait until a track carries nothing: silent frames, or for a second no frame at all.

    Raises:
        AssertionError: It did not fall silent within so many seconds.
    """
    deadline = time.monotonic() + within
    async with contextlib.aclosing(listen(track)) as windows:
        while time.monotonic() < deadline:
            try:
                heard = await asyncio.wait_for(anext(windows), timeout=1)
            except (TimeoutError, StopAsyncIteration):
                return
            if heard.is_silence:
                return
    raise AssertionError(f"the track is not silent after {within} s")
