"""When an agent neither listens nor speaks, and why."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from roomkeeper.agent import internals

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit import rtc
    from livekit.agents import AgentSession


class Why(StrEnum):
    """A cause of silence; several may hold at once."""

    GONE = "gone"
    """Nobody who counts is there."""
    MUTED = "muted"
    """Another agent may be in charge."""
    ENDING = "ending"
    """The end is decided; only the goodbye is still said."""
    FENCED = "fenced"
    """Another agent is in charge."""


class Silence:
    """The causes that hold now.

    Args:
        session: Whose input is turned off while there is one.
    """

    def __init__(self, session: AgentSession[Any]) -> None:
        self._session = session
        self._causes: set[Why] = set()
        self._listened = True

    def __bool__(self) -> bool:
        return bool(self._causes)

    def __contains__(self, why: Why) -> bool:
        return why in self._causes

    @property
    def dumb(self) -> bool:
        """Whether not a frame may be played."""
        return not self._causes.isdisjoint({Why.MUTED, Why.FENCED})

    def begin(self, why: Why) -> None:
        """Stop listening; whatever a user says meanwhile is not answered."""
        if not self._causes:
            self._listened = self._session.input.audio_enabled
            self._session.input.set_audio_enabled(False)
        self._causes.add(why)

    def end(self, why: Why) -> None:
        """Listen again if no other cause holds, and if the application was listening before."""
        if why not in self._causes:
            return
        self._causes.discard(why)
        if not self._causes and self._listened and self._session.input.audio is not None:
            self._session.input.set_audio_enabled(True)

    def hush(self) -> None:
        """Break off what is being said, also what does not let itself be interrupted."""
        try:
            self._session.interrupt(force=True)
        except RuntimeError:
            return  # the session does not run


def gate(session: AgentSession[Any], may_play: Callable[[], bool]) -> None:
    """Ask before each frame and each word whether it may go out; call it after the start.

    Args:
        session: Whose outputs; the application may have set some of its own, an avatar's for example.
        may_play: Is asked; has to be cheap.
    """
    internals.gate_audio(session, may_play)
    audio, words = session.output.audio, session.output.transcription
    if audio is not None and not internals.publishes_audio(session):
        capture_frame = audio.capture_frame

        async def gated_frame(frame: rtc.AudioFrame) -> None:
            if may_play():
                await capture_frame(frame)

        audio.capture_frame = gated_frame  # type: ignore[method-assign]
    if words is not None:
        capture_text = words.capture_text

        async def gated_text(text: str) -> None:
            if may_play():
                await capture_text(text)

        words.capture_text = gated_text  # type: ignore[method-assign]
