"""What the browser's microphone hears: a recorded human voice between silences, as a WAV file."""

from __future__ import annotations

import wave
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

VOICE = "beckett.wav"
"""A man reads three lines by Beckett, 10 s, in the wheel of moonshine-voice."""

WORDS = frozenset({"ever", "tried", "failed", "no", "matter", "try", "again", "fail", "better"})
"""What he says."""


def write_voice(path: Path, *, before: float, after: float, times: int = 1) -> None:
    """Write the voice between silences.

    Args:
        path: The file to write.
        before: Seconds of silence before each reading.
        after: Seconds of silence after the last one.
        times: How often it is read.
    """
    with (
        files("moonshine_voice").joinpath("assets", VOICE).open("rb") as source,
        wave.open(source, "rb") as voice,
        wave.open(str(path), "wb") as out,
    ):
        out.setparams(voice.getparams())
        frame = voice.getnchannels() * voice.getsampwidth()
        rate = voice.getframerate()
        speech = voice.readframes(voice.getnframes())
        for _ in range(times):
            out.writeframes(bytes(round(before * rate) * frame))
            out.writeframes(speech)
        out.writeframes(bytes(round(after * rate) * frame))
