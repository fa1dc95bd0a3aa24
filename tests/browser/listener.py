"""Somebody else in the room, who listens to the person in front of the page."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from livekit import rtc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conformance.support.server import Server

LOUD = 500
"""Mean amplitude (of 32767) of a 10 ms frame that holds speech rather than silence."""
PATIENCE = 20.0


class Listener:
    """A participant of the python SDK.

    Attributes:
        room: The SDK's room.
        muted: Whether the speaker is muted, as the room knows.
    """

    def __init__(self, speaker: str) -> None:
        self.room = rtc.Room()
        self.muted = asyncio.Event()
        self._speaker = speaker
        self._loud = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.room.on("track_subscribed", self._on_track)
        self.room.on("track_muted", lambda *_: self.muted.set())
        self.room.on("track_unmuted", lambda *_: self.muted.clear())

    async def hears_speech(self) -> None:
        """Wait until the speaker is heard, from now on."""
        self._loud.clear()
        await asyncio.wait_for(self._loud.wait(), PATIENCE)

    async def hears_silence(self, seconds: float) -> None:
        """Wait until the speaker has not been heard for that long; what was said before is still under way at first."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self._loud.clear()
                try:
                    await asyncio.wait_for(self._loud.wait(), seconds)
                except TimeoutError:
                    return

    async def aclose(self) -> None:
        """Leave."""
        await self.room.disconnect()
        await asyncio.gather(*self._tasks)

    def _on_track(self, track: rtc.Track, _: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant) -> None:
        if participant.identity == self._speaker and track.kind == rtc.TrackKind.KIND_AUDIO:
            self._tasks.append(asyncio.create_task(self._listen(track)))

    async def _listen(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track, sample_rate=48000, num_channels=1)
        async for event in stream:
            samples = event.frame.data
            if sum(map(abs, samples)) / len(samples) > LOUD:
                self._loud.set()
        await stream.aclose()


@asynccontextmanager
async def listening(server: Server, room: str, speaker: str) -> AsyncIterator[Listener]:
    """Be in the room, and listen to that identity."""
    token = server.token("listener", room=room, can_publish=False)
    listener = Listener(speaker)
    await listener.room.connect(server.ws, token)
    try:
        yield listener
    finally:
        await listener.aclose()
