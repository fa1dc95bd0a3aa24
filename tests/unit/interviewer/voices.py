"""Voices as samples, and as the frames that livekit-agents pushes."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from livekit import rtc
from moonshine_voice import get_assets_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from examples.interviewer.espeak import Espeak


@dataclass(frozen=True)
class Voice:
    """Mono sound of 16 bits."""

    samples: NDArray[np.int16]
    rate: int

    def cut(self, begin: float, end: float) -> Voice:
        """The part between two times in seconds."""
        return Voice(self.samples[int(begin * self.rate) : int(end * self.rate)], self.rate)

    def then_silence(self, seconds: float) -> Voice:
        return Voice(np.concatenate([self.samples, np.zeros(int(seconds * self.rate), np.int16)]), self.rate)

    def at(self, rate: int) -> Voice:
        """The same sound at another rate."""
        length = round(len(self.samples) * rate / self.rate)
        positions = np.linspace(0, len(self.samples) - 1, length)
        sound = np.interp(positions, np.arange(len(self.samples)), self.samples)
        return Voice(sound.astype(np.int16), rate)

    def frames(self, seconds: float = 0.05) -> Iterator[rtc.AudioFrame]:
        size = int(self.rate * seconds)
        for begin in range(0, len(self.samples) - size + 1, size):
            yield rtc.AudioFrame(self.samples[begin : begin + size].tobytes(), self.rate, 1, size)

    @property
    def duration(self) -> float:
        return len(self.samples) / self.rate


def recorded(name: str) -> Voice:
    """A recording that the moonshine-voice wheel holds."""
    with wave.open(str(get_assets_path() / name)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return Voice(np.frombuffer(file.readframes(file.getnframes()), np.int16), file.getframerate())


def synthesized(espeak: Espeak, text: str) -> Voice:
    """A text, spoken."""
    chunks: list[bytes] = []

    def listen(chunk: bytes) -> bool:
        chunks.append(chunk)
        return True

    espeak.synthesize(text, listen)
    return Voice(np.frombuffer(b"".join(chunks), np.int16), espeak.sample_rate)
