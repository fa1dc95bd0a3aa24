"""A worker leaves, another one's agent takes over: the old one finds a pause, the new one waits muted for its turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from roomkeeper.agent.silence import Why

if TYPE_CHECKING:
    from roomkeeper.agent.leaving import Leaving
    from roomkeeper.agent.stage import Stage

BOUND: Final = 8.0
"""Seconds to find a pause; the control plane waits for 10."""
PAUSE: Final = 0.4
"""Seconds of quiet that are a pause: shorter ones are breaths, and words on their way through the recogniser."""


class HandOver:
    """The old agent's side of a hand-over.

    Args:
        stage: The session.
        leaving: The way out.
    """

    def __init__(self, stage: Stage, leaving: Leaving) -> None:
        self._stage = stage
        self._leaving = leaving
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Fall silent at the next pause, and leave."""
        if self._task is None and not self._leaving.left:
            self._task = self._stage.spawn(self._run(), "hand_over")

    def stay(self) -> None:
        """The successor did not come to it: talk on."""
        if self._task is not None and not self._leaving.left:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        session = self._stage.session
        changed = asyncio.Event()

        def poke(*_: object) -> None:
            changed.set()

        events = ("agent_state_changed", "user_state_changed", "user_input_transcribed", "tool_execution_updated")
        for event in events:
            session.on(event, poke)  # type: ignore[arg-type]
        try:
            async with asyncio.timeout(BOUND):
                while True:
                    changed.clear()
                    try:
                        async with asyncio.timeout(PAUSE if self._quiet() else BOUND):
                            await changed.wait()
                    except TimeoutError:
                        if self._quiet():
                            break
        except TimeoutError:
            pass  # nobody pauses for that long: the new one takes over in the middle of a sentence
        finally:
            for event in events:
                session.off(event, poke)  # type: ignore[arg-type]
        if self._leaving.ending.decided is None:  # else the goodbye is being said, and nobody else is to say it
            self._leaving.dismiss(Why.MUTED, "handed over")

    def _quiet(self) -> bool:
        session = self._stage.session
        return session.agent_state == "listening" and session.user_state != "speaking" and not self._stage.journal.tools
