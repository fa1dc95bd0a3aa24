"""A user who types and listens: when does who sound, and what is said?"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from livekit import rtc
from livekit.rtc.data_stream import StreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

LOUD: Final = 0.02
"""RMS above which 10 ms are not silence."""
FRAME: Final = 0.01
RATE: Final = 24_000
VOICE: Final = 440.0
LAST: Final = 880.0
"""Hertz of an agent's words, and of the last `TAIL` of each speech."""
TAIL: Final = 0.3
"""Seconds at the end of everything that an agent says, at another pitch."""
HEARD: Final = "bench.heard"
"""Topic on which an agent says that it hears."""
AGAIN: Final = 0.5
"""Seconds until a page that lost its room tries again."""


@dataclass(slots=True)
class Voice:
    """What was heard of one agent.

    Attributes:
        sounds: When it sounded, as begin and end of each sound, seconds of `time.perf_counter`.
        tails: When 10 ms were at the pitch of the end of a speech.
    """

    sounds: list[list[float]] = field(default_factory=list)
    tails: list[float] = field(default_factory=list)

    def heard(self, at: float) -> None:
        """Note 10 ms of sound; a pause of less than 60 ms is none."""
        if self.sounds and at - self.sounds[-1][1] < 6 * FRAME:
            self.sounds[-1][1] = at
        else:
            self.sounds.append([at, at])


class User:
    """A participant of a room in which an agent is or will be.

    Args:
        url: Of the room server.
        token: To join.
        stays: Whether it joins again, as a page does, whenever the SDK has given the connection up.

    Attributes:
        room: The SDK's.
        voices: By the agent's identity.
        said: What agents said, as their transcripts tell, by segment.
        said_at: When each of them began.
        states: What the room said of its session: when, and in which state.
        last: The last of these.
        gone: When each agent left.
        asked: What was typed.
        heard_at: When an agent said that it heard this user.
        cut_off: When the room was lost, and why.
    """

    def __init__(self, url: str, token: str, *, stays: bool = False) -> None:
        self.room = rtc.Room()
        self.voices: dict[str, Voice] = {}
        self.said: dict[str, str] = {}
        self.said_at: dict[str, float] = {}
        self.states: list[tuple[float, str]] = []
        self.last: dict[str, Any] = {}
        self.gone: dict[str, float] = {}
        self.asked: list[str] = []
        self.heard_at: list[float] = []
        self.cut_off: list[tuple[float, str]] = []
        self._url = url
        self._token = token
        self._stays = stays
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ears: dict[str, asyncio.Task[None]] = {}

    async def join(self) -> float:
        """Join, and have the agent dispatched if the token says so; returns when."""
        room = self.room
        room.on("track_subscribed", self._subscribed)
        room.on("participant_disconnected", self._left)
        room.on("participant_attributes_changed", self._attributes)
        room.on("room_metadata_changed", lambda _, metadata: self._told(metadata))
        room.on("data_received", self._data)
        room.on("disconnected", lambda reason: self._cut_off(room, reason))
        room.register_text_stream_handler("lk.transcription", self._transcribed)
        await room.connect(self._url, self._token)
        self._told(room.metadata)
        return time.perf_counter()

    async def leave(self) -> None:
        """Leave, with LiveKit's own Leave frame."""
        self._stays = False
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
        if not self.room.isconnected():
            return {}
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

    def tail_since(self, at: float) -> float:
        """Seconds that were heard of the ends of speeches after a moment."""
        return sum(each > at for voice in self.voices.values() for each in voice.tails) * FRAME

    def heard_after(self, at: float) -> float | None:
        """When an agent first said after a moment that it hears."""
        return next((heard for heard in self.heard_at if heard > at), None)

    @property
    def is_over(self) -> bool:
        """Whether this user knows that the session is over."""
        return self.last.get("state") == "ended"

    def _told(self, metadata: str) -> None:
        self._note(_object(metadata).get("roomkeeper"))

    def _attributes(self, changed: dict[str, str], _: object) -> None:
        if "roomkeeper" in changed:  # with the control plane away the agent tells the state
            self._note(_object(changed["roomkeeper"]))
        self._changed.set()

    def _note(self, said: object) -> None:
        if isinstance(said, dict) and said.get("state"):
            if said["state"] != self.last.get("state"):
                self.states.append((time.perf_counter(), said["state"]))
            self.last = said
        self._changed.set()

    def _left(self, participant: rtc.RemoteParticipant) -> None:
        self.gone.setdefault(participant.identity, time.perf_counter())
        if ear := self._ears.pop(participant.identity, None):
            ear.cancel()  # its native track may be used again, for somebody else's voice
        self._changed.set()

    def _data(self, packet: rtc.DataPacket) -> None:
        if packet.topic == HEARD:
            self.heard_at.append(time.perf_counter())
            self._changed.set()

    def _cut_off(self, room: rtc.Room, reason: rtc.DisconnectReason.ValueType) -> None:
        if room is not self.room:
            return
        self.cut_off.append((time.perf_counter(), rtc.DisconnectReason.Name(reason)))
        if self._stays and not self.is_over:
            self._spawn(self._rejoin())
        self._changed.set()

    async def _rejoin(self) -> None:
        while self._stays:
            self.room = rtc.Room()
            try:
                await self.join()
            except rtc.ConnectError:
                await asyncio.sleep(AGAIN)
            else:
                return

    def _subscribed(self, track: rtc.Track, _: object, participant: rtc.RemoteParticipant) -> None:
        is_agent = participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        if is_agent and track.kind == rtc.TrackKind.KIND_AUDIO:
            self._ears[participant.identity] = self._spawn(self._listen(track, participant.identity))

    async def _listen(self, track: rtc.Track, identity: str) -> None:
        voice = self.voices.setdefault(identity, Voice())
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=10)
        async with contextlib.aclosing(stream):
            async for event in stream:
                samples = np.frombuffer(event.frame.data, np.int16).astype(np.float64) / 32768
                if np.sqrt(np.mean(samples**2)) > LOUD:
                    at = time.perf_counter()
                    voice.heard(at)
                    if _power(samples, LAST) > _power(samples, VOICE):
                        voice.tails.append(at)
                    self._changed.set()

    def _transcribed(self, reader: rtc.TextStreamReader, identity: str) -> None:
        self._spawn(self._read(reader, identity))

    async def _read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        segment = f"{identity} {(reader.info.attributes or {}).get('lk.segment_id', reader.info.stream_id)}"
        self.said_at.setdefault(segment, time.perf_counter())
        with contextlib.suppress(StreamError):  # whoever speaks may be killed
            async for part in reader:
                self.said[segment] = self.said.get(segment, "") + part
                self._changed.set()

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _power(samples: np.ndarray[Any, np.dtype[np.float64]], pitch: float) -> float:
    """How much of a sound has some pitch."""
    at = np.arange(len(samples)) / RATE
    return float(np.abs(np.dot(samples, np.exp(-2j * np.pi * pitch * at))))


def _object(text: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        said = json.loads(text or "{}")
        if isinstance(said, dict):
            return said
    return {}
