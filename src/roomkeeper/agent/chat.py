"""Text from the room: of everybody who counts, not only of the one who is listened to, and of nobody during a silence.

LiveKit's RoomIO takes `lk.chat` from the linked participant alone, and it takes it while audio is turned off. It is
told not to; the application's own callback is called from here.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from typing import TYPE_CHECKING, Final

from livekit.agents.types import TOPIC_CHAT
from livekit.agents.voice.room_io import TextInputEvent

from roomkeeper.agent.silence import Why

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from livekit import rtc
    from livekit.agents.voice.room_io import TextInputOptions

    from roomkeeper.agent.stage import Stage

log = logging.getLogger("roomkeeper.agent")

READ: Final = 10.0
"""Seconds for a text to arrive in full."""


class Chat:
    """Takes text for one session.

    Args:
        stage: The session.
        options: What the application does with a text.
        heard: Called with each text that was taken.
    """

    def __init__(self, stage: Stage, options: TextInputOptions, heard: Callable[[], None]) -> None:
        self._stage = stage
        self._take = options.text_input_cb
        self._heard = heard
        self._waiting: list[TextInputEvent] = []

    def attach(self) -> None:
        """Begin to take text, before the job is in the room, so that none is missed."""
        try:
            self._stage.room.register_text_stream_handler(TOPIC_CHAT, self._on_text)
        except ValueError:
            log.warning("the application reads lk.chat itself: text in a silence is for it to drop")

    def detach(self) -> None:
        """Take no more."""
        with contextlib.suppress(ValueError):
            self._stage.room.unregister_text_stream_handler(TOPIC_CHAT)

    def _on_text(self, reader: rtc.TextStreamReader, identity: str) -> None:
        self._stage.spawn(self._read(reader, identity), "read_text")

    async def _read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        try:
            text = await asyncio.wait_for(reader.read_all(), READ)
        except TimeoutError:
            return
        participant = self._stage.room.remote_participants.get(identity)
        if participant is None or not self._stage.counts(participant):
            return
        event = TextInputEvent(text, reader.info, participant)
        if Why.MUTED in self._stage.silence:
            self._waiting.append(event)
        elif not self._stage.silence:
            await self._answer(event)

    async def take_waiting(self, known: Container[str]) -> None:
        """Take the texts that came during a hand-over, but for those that the agent before took.

        Args:
            known: The texts of the conversation's users.
        """
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            if event.text not in known:
                await self._answer(event)

    async def _answer(self, event: TextInputEvent) -> None:
        self._heard()
        try:
            answer = self._take(self._stage.session, event)
            if inspect.isawaitable(answer):
                await answer
        except Exception:
            log.exception("a text could not be taken")
