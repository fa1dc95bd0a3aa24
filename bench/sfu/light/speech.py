"""Opus frames encoded beforehand, and the clock that sends them."""

from __future__ import annotations

import asyncio
import time
from functools import cache
from typing import TYPE_CHECKING, Protocol

import av
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

RATE = 48_000
SAMPLES = 960
"""Of one frame: 20 ms."""
INTERVAL = SAMPLES / RATE
SLOTS = 20
"""Moments within a frame's 20 ms over which the speakers are spread, as independent people would be."""
BIT_RATE = 32_000


@cache
def frames() -> tuple[bytes, ...]:
    """Encodes a second of a sliding tone with noise: about 80 bytes a frame, like speech in the SDKs' default."""
    at = np.arange(RATE) / RATE
    sound = 0.3 * np.sin(2 * np.pi * (200 + 200 * at) * at) + np.random.default_rng(1).normal(0, 0.02, RATE)
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)  # noqa: S101 - what libopus is
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = RATE, "mono", "s16", BIT_RATE
    encoded: list[bytes] = []
    for start in range(0, RATE, SAMPLES):
        samples = (sound[start : start + SAMPLES] * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, start
        encoded += [bytes(packet) for packet in encoder.encode(frame)]
    return tuple(encoded)


class Speaker(Protocol):
    """Whoever sends frames."""

    def speak(self, frame: bytes) -> None:
        """Sends one frame of 20 ms."""


async def speak(speakers: Sequence[Speaker], late: list[float]) -> None:
    """Lets everybody speak, 50 frames a second each, until cancelled.

    Args:
        speakers: Who speaks; the sequence may grow meanwhile.
        late: Gets the seconds by which each slot was late: what this process and machine add to every latency.
    """
    ready = frames()
    due = time.perf_counter()
    slot = 0
    while True:
        due += INTERVAL / SLOTS
        wait = due - time.perf_counter()
        if wait > 0 or slot % SLOTS == 0:
            await asyncio.sleep(max(0.0, wait))
        late.append(time.perf_counter() - due)
        frame = ready[slot // SLOTS % len(ready)]
        for speaker in speakers[slot % SLOTS :: SLOTS]:
            speaker.speak(frame)
        slot += 1
