"""A user who types, and listens: when does who sound, and what is said?"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
from livekit import api, rtc
from livekit.rtc.data_stream import StreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from roomkeeper.testing.room_server import RoomServer

LOUD: Final = 0.02
"""RMS above which 10 ms are not silence."""
FRAME: Final = 0.01


@dataclass(slots=True)
class Voice:
    """What was heard of one agent.

    Attributes:
        sounds: When it sounded, as begin and end of each sound, seconds of `time.perf_counter`.
    """

    sounds: list[list[float]] = field(default_factory=list)

    def heard(self, at: float) -> None:
        """Note 10 ms of sound; a pause of less than 60 ms is none."""
        if self.sounds and at - self.sounds[-1][1] < 6 * FRAME:
            self.sounds[-1][1] = at
        else:
            self.sounds.append([at, at])


class User:
    """A participant of a room in which an agent is or will be.

    Attributes:
        room: The SDK's.
        voices: By the agent's identity.
        said: What agents said, as their transcripts tell, by segment.
        states: What the room said of its session: when, and in which state.
        gone: When each agent left.
        asked: What was typed.
    """

    def __init__(self, server: RoomServer, room: str) -> None:
        self.room = rtc.Room()
        self.voices: dict[str, Voice] = {}
        self.said: dict[str, str] = {}
        self.states: list[tuple[float, str]] = []
        self.gone: dict[str, float] = {}
        self.asked: list[str] = []
        self._server = server
        self._name = room
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def join(self) -> None:
        """Join, and have the agent dispatched."""
        self.room.on("track_subscribed", self._subscribed)
        self.room.on("participant_disconnected", self._left)
        self.room.on("participant_attributes_changed", lambda *_: self._changed.set())
        self.room.on("room_metadata_changed", self._told)
        self.room.register_text_stream_handler("lk.transcription", self._transcribed)
        config = api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="talker")])
        token = api.AccessToken(self._server.api_key, self._server.api_secret).with_identity("ann")
        token = token.with_grants(api.VideoGrants(room_join=True, room=self._name)).with_room_config(config)
        await self.room.connect(self._server.url, token.with_ttl(timedelta(hours=1)).to_jwt())

    async def leave(self) -> None:
        """Leave."""
        await self.room.disconnect()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def ask(self, text: str) -> float:
        """Type something; returns when."""
        at = time.perf_counter()
        self.asked.append(text)
        await self.room.local_participant.send_text(text, topic="lk.chat")
        return at

    async def until(self, true: Callable[[], object], within: float) -> bool:
        """Wait until something is true of what was seen and heard; returns whether it became so."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not true():
                    self._changed.clear()
                    await self._changed.wait()
        return bool(true())

    def agents(self) -> dict[str, dict[str, str]]:
        """Attributes of the agents that are there and told their process, by identity."""
        return {
            one.identity: dict(one.attributes)
            for one in self.room.remote_participants.values()
            if "pid" in one.attributes
        }

    def sounding_since(self, at: float, identity: str | None = None) -> float | None:
        """When somebody first sounded after a moment, perhaps of one agent only."""
        voices = self.voices.values() if identity is None else [self.voices.get(identity, Voice())]
        times = [max(begin, at) for voice in voices for begin, end in voice.sounds if end > at]
        return min(times, default=None)

    def silent_for(self) -> float:
        """Seconds since anybody sounded."""
        return time.perf_counter() - max((v.sounds[-1][1] for v in self.voices.values() if v.sounds), default=0.0)

    def _told(self, _: str, metadata: str) -> None:
        state = _state_in(metadata)
        if state and (not self.states or self.states[-1][1] != state):
            self.states.append((time.perf_counter(), state))
        self._changed.set()

    def _left(self, participant: rtc.RemoteParticipant) -> None:
        self.gone.setdefault(participant.identity, time.perf_counter())
        self._changed.set()

    def _subscribed(self, track: rtc.Track, _: object, participant: rtc.RemoteParticipant) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._spawn(self._listen(track, participant.identity))

    async def _listen(self, track: rtc.Track, identity: str) -> None:
        voice = self.voices.setdefault(identity, Voice())
        stream = rtc.AudioStream(track, sample_rate=24_000, num_channels=1, frame_size_ms=10)
        async with contextlib.aclosing(stream):
            async for event in stream:
                samples = np.frombuffer(event.frame.data, np.int16).astype(np.float64) / 32768
                if np.sqrt(np.mean(samples**2)) > LOUD:
                    voice.heard(time.perf_counter())
                    self._changed.set()

    def _transcribed(self, reader: rtc.TextStreamReader, identity: str) -> None:
        self._spawn(self._read(reader, identity))

    async def _read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        segment = (reader.info.attributes or {}).get("lk.segment_id", reader.info.stream_id)
        with contextlib.suppress(StreamError):  # whoever speaks may be killed
            async for part in reader:
                self.said[f"{identity} {segment}"] = self.said.get(f"{identity} {segment}", "") + part
                self._changed.set()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _state_in(metadata: str) -> str:
    with contextlib.suppress(ValueError):
        said = json.loads(metadata or "{}")
        if isinstance(said, dict) and isinstance(said.get("roomkeeper"), dict):
            return str(said["roomkeeper"].get("state", ""))
    return ""
