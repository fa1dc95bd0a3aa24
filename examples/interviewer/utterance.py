"""Speech cut out of a stream of sound: pure, fed with 32 ms windows and the probability that each is speech."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE_RATE = 16_000
WINDOW = 512
"""Samples of a window: what the voice activity model takes."""
WINDOW_SECONDS = WINDOW / SAMPLE_RATE

SPEECH = 0.5
"""Probability from which silence becomes speech …"""
SILENCE = 0.35
"""… and below which speech becomes silence, as livekit-agents' own voice activity detector has them."""
LEAD = round(0.4 / WINDOW_SECONDS)
"""Windows kept before the first that is speech: words begin softly."""
VOICED = 4
"""Windows of speech in the shortest word; a click or a cough has fewer."""
TAIL = round(0.25 / WINDOW_SECONDS)
"""Windows kept after the last that is speech; more silence only slows the recogniser down."""


@dataclass(slots=True)
class Utterance:
    """One stretch of speech, growing.

    Attributes:
        began: Where its sound begins in the stream, in windows.
        windows: Its sound from `LEAD` before the first word on.
        spoken: How many windows there are up to the last that is speech.
        voiced: How many windows are speech.
    """

    began: int
    windows: list[NDArray[np.int16]]
    spoken: int
    voiced: int = 1

    @property
    def silence(self) -> float:
        """Seconds since the last speech."""
        return (len(self.windows) - self.spoken) * WINDOW_SECONDS

    @property
    def duration(self) -> float:
        """Seconds from its beginning to the last speech."""
        return self.spoken * WINDOW_SECONDS

    def audio(self) -> NDArray[np.int16]:
        """Its sound up to a moment after the last speech."""
        return np.concatenate(self.windows[: self.spoken + TAIL])


@dataclass(slots=True)
class Listener:
    """Tells speech from silence; `utterance` is there from its first speech until it is taken."""

    utterance: Utterance | None = None
    _lead: deque[NDArray[np.int16]] = field(default_factory=lambda: deque(maxlen=LEAD))
    _heard: int = 0

    def hear(self, window: NDArray[np.int16], probability: float) -> None:
        """Take the next window of the stream.

        Args:
            window: `WINDOW` samples at `SAMPLE_RATE`.
            probability: That it is speech, 0 to 1.
        """
        self._heard += 1
        if self.utterance is None:
            self._lead.append(window)
            if probability >= SPEECH:
                lead = list(self._lead)
                self.utterance = Utterance(began=self._heard - len(lead), windows=lead, spoken=len(lead))
                self._lead.clear()
            return
        speaking = self.utterance.spoken == len(self.utterance.windows)
        self.utterance.windows.append(window)
        if probability >= (SILENCE if speaking else SPEECH):
            self.utterance.spoken = len(self.utterance.windows)
            self.utterance.voiced += 1

    def take(self) -> Utterance | None:
        """The utterance so far; the next one begins anew, its lead in the silence that followed this one."""
        taken, self.utterance = self.utterance, None
        if taken is not None:
            self._lead.extend(taken.windows[taken.spoken :])
        return taken
