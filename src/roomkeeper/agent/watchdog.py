"""An agent that is there and yet not: it publishes nothing, or hears nothing, while it should.

What is wrong for `PATIENCE` is repaired by connecting to the room anew; if that does not help either, the process ends
without a word, so that another one takes over with the whole conversation.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any, Final

from livekit import rtc

from roomkeeper.agent import internals

if TYPE_CHECKING:
    from collections.abc import Callable

    from roomkeeper.agent.stage import Stage

log = logging.getLogger("roomkeeper.agent")

EVERY: Final = 1.0
"""Seconds between two looks."""
PATIENCE: Final = 8.0
"""Seconds that something may be wrong: longer than a full reconnect takes, of either side."""
GAVE_UP: Final = 75
"""Exit code of a job that could not be repaired (EX_TEMPFAIL of sysexits.h): its worker calls it lost."""


class Watchdog:
    """Looks after one agent.

    Args:
        stage: The session.
        give_up: Ends the process.
    """

    def __init__(self, stage: Stage, give_up: Callable[[], Any] = lambda: os._exit(GAVE_UP)) -> None:
        self._stage = stage
        self._give_up = give_up
        self._subscribes = False

    def attach(self) -> None:
        """Begin to look."""
        self._stage.room.on("track_subscribed", self._subscribed)
        self._stage.spawn(self._run(), "watchdog")

    def _subscribed(self, *_: object) -> None:
        self._subscribes = True

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        since: float | None = None
        repaired = False
        while True:
            await asyncio.sleep(EVERY)
            wrong = self.wrong()
            if wrong is None:
                since, repaired = None, False
                continue
            since = since if since is not None else loop.time()
            if loop.time() - since < PATIENCE:
                continue
            fields = {"what": wrong}
            if repaired:
                log.error("the agent cannot be repaired: leaving it to another one", extra=fields)
                self._stage.journal.write("room", {"event": "gave_up", "detail": wrong})
                self._give_up()
                return
            log.warning("something is wrong with the agent: connecting anew", extra=fields)
            self._stage.journal.write("room", {"event": "repair", "detail": wrong})
            repaired, since = True, None
            with contextlib.suppress(Exception):  # what fails here shows at the next look
                await self._stage.room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)

    def wrong(self) -> str | None:
        """Say what is wrong now; None if nothing is."""
        stage = self._stage
        if stage.silence or not stage.room.isconnected() or stage.session.output.audio is None:
            return None
        linked = next((each for each in stage.counting() if each.identity == stage.linked), None)
        if linked is None:
            return None
        if internals.publishes_audio(stage.session) and not stage.room.local_participant.track_publications:
            return "publishes nothing"
        voices = [
            publication
            for publication in linked.track_publications.values()
            if publication.source == rtc.TrackSource.SOURCE_MICROPHONE and not publication.muted
        ]
        # An application may subscribe to nothing on purpose; then nothing ever was.
        deaf = self._subscribes and bool(voices) and all(each.track is None for each in voices)
        return "hears nothing" if deaf and stage.session.input.audio is not None else None
