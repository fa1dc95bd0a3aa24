"""What two participants of the python SDK notice of a server: joins, subscriptions, delays of audio and of calls."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import numpy as np
from livekit import rtc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.sfu.target import Target

Path = Literal["v0", "v1"]
"""`v0` has two peer connections and signals on `/rtc`, `v1` has one and signals on `/rtc/v1`."""

PATIENCE = 15.0
RATE = 48_000
FRAME = RATE // 100
"""Samples in 10 ms, the unit in which libwebrtc takes and gives audio."""
BURST_EVERY = 25
"""Frames from one burst to the next."""
BURST_FRAMES = 5
LOUD = 0.1
"""Of 1.0: above it a sample belongs to a burst; a burst has 0.5, the noise between bursts 0.005."""
SETTLE = 2.5
"""Seconds of audio before delays count: the receiver's jitter buffer starts wide."""

PLAIN = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False, red=False)


async def join(target: Target, room: str, identity: str, path: Path) -> tuple[rtc.Room, float]:
    """Joins, and returns the room and the milliseconds that `connect` took."""
    participant = rtc.Room()
    token = target.token(room, identity)
    start = time.perf_counter()
    async with asyncio.timeout(PATIENCE):
        await participant.connect(target.url, token, rtc.RoomOptions(single_peer_connection=path == "v1"))
    return participant, (time.perf_counter() - start) * 1000


async def join_time(target: Target, room: str, path: Path) -> float:
    """Returns the milliseconds that a join takes."""
    participant, took = await join(target, room, "joiner", path)
    await participant.disconnect()
    return took


@asynccontextmanager
async def pair(target: Target, room: str, path: Path) -> AsyncIterator[tuple[rtc.Room, rtc.Room]]:
    """Joins two participants, `ann` and `bob`, who know of each other."""
    ann, _ = await join(target, room, "ann", path)
    met = asyncio.Event()
    ann.on("participant_connected", lambda _: met.set())
    bob, _ = await join(target, room, "bob", path)
    try:
        async with asyncio.timeout(PATIENCE):
            await met.wait()
        yield ann, bob
    finally:
        await bob.disconnect()
        await ann.disconnect()


async def subscription_times(target: Target, room: str, path: Path, count: int) -> list[float]:
    """Publishes and unpublishes; returns the milliseconds from each publish until the other has the track."""
    took: list[float] = []
    async with pair(target, room, path) as (ann, bob):
        source = rtc.AudioSource(RATE, 1)
        for _ in range(count):
            start = time.perf_counter()
            track = await _published(ann, bob, source)
            took.append((time.perf_counter() - start) * 1000)
            gone = asyncio.Event()
            bob.on("track_unsubscribed", lambda *_, gone=gone: gone.set())
            await ann.local_participant.unpublish_track(track)
            async with asyncio.timeout(PATIENCE):
                await gone.wait()
        await source.aclose()
    return took


async def _published(ann: rtc.Room, bob: rtc.Room, source: rtc.AudioSource) -> str:
    subscribed = asyncio.Event()
    bob.once("track_subscribed", lambda *_: subscribed.set())
    track = rtc.LocalAudioTrack.create_audio_track("voice", source)
    publication = await ann.local_participant.publish_track(track, PLAIN)
    async with asyncio.timeout(PATIENCE):
        await subscribed.wait()
    return publication.sid


async def audio_delays(target: Target, room: str, path: Path, seconds: float) -> list[float]:
    """Returns the milliseconds of each burst from `capture_frame` to the listener's `AudioStream`.

    Both are in this process, so one clock stamps both ends; the clients' own buffers are part of it.
    """
    async with pair(target, room, path) as (ann, bob):
        tracks: asyncio.Queue[rtc.Track] = asyncio.Queue()
        bob.on("track_subscribed", lambda track, *_: tracks.put_nowait(track))
        # Without a queue of its own, a frame goes to the encoder at once, as that of a microphone does.
        source = rtc.AudioSource(RATE, 1, queue_size_ms=0)
        await ann.local_participant.publish_track(rtc.LocalAudioTrack.create_audio_track("voice", source), PLAIN)
        async with asyncio.timeout(PATIENCE):
            track = await tracks.get()
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1)
        heard: list[float] = []
        listening = asyncio.create_task(_listen(stream, heard))
        spoken = await _speak_bursts(source, seconds + SETTLE)
        await asyncio.sleep(0.5)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await stream.aclose()
        await source.aclose()
    settled = [at for at in spoken if at >= spoken[0] + SETTLE]
    period = BURST_EVERY * FRAME / RATE
    after = [[at - begun for at in heard if 0 <= at - begun < period] for begun in settled]
    return [found[0] * 1000 for found in after if found]


async def _speak_bursts(source: rtc.AudioSource, seconds: float) -> list[float]:
    noise = (np.random.default_rng(1).normal(0, 0.005, FRAME) * 32767).astype(np.int16).tobytes()
    tone = (np.sin(2 * np.pi * 1000 * np.arange(FRAME) / RATE) * 0.5 * 32767).astype(np.int16).tobytes()
    spoken: list[float] = []
    due = time.perf_counter()
    for index in range(int(seconds * RATE / FRAME)):
        due += FRAME / RATE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        place = index % BURST_EVERY
        if place == 0:
            spoken.append(time.perf_counter())
        await source.capture_frame(rtc.AudioFrame(tone if place < BURST_FRAMES else noise, RATE, 1, FRAME))
    return spoken


async def _listen(stream: rtc.AudioStream, heard: list[float]) -> None:
    quiet = BURST_FRAMES
    async for event in stream:
        at = time.perf_counter()
        samples = np.frombuffer(event.frame.data, np.int16)
        if np.abs(samples).max() < LOUD * 32767:
            quiet += 1
            continue
        if quiet >= BURST_FRAMES:
            heard.append(at)
        quiet = 0


async def rpc_times(target: Target, room: str, path: Path, count: int) -> list[float]:
    """Returns the milliseconds of each call of a method that answers at once."""
    async with pair(target, room, path) as (ann, bob):

        async def echo(call: rtc.RpcInvocationData) -> str:
            return call.payload

        bob.local_participant.register_rpc_method("echo", echo)
        took: list[float] = []
        for _ in range(count + 1):
            start = time.perf_counter()
            await ann.local_participant.perform_rpc(
                destination_identity="bob", method="echo", payload="hello", response_timeout=PATIENCE
            )
            took.append((time.perf_counter() - start) * 1000)
        # The first call also waits for the data channels.
        return took[1:]


class Talk:
    """A 1:1 session: two participants who both publish a voice and receive the other's."""

    def __init__(self, rooms: tuple[rtc.Room, rtc.Room]) -> None:
        self._rooms = rooms
        self._tracks: list[rtc.Track] = []
        self._subscribed = asyncio.Event()
        self._sources: list[rtc.AudioSource] = []
        self._speaking: list[asyncio.Task[None]] = []
        self._over = asyncio.Event()

    @classmethod
    async def begin(cls, target: Target, room: str, path: Path) -> Talk:
        """Joins both and returns when both hear each other's track."""
        ann, _ = await join(target, room, "ann", path)
        bob, _ = await join(target, room, "bob", path)
        talk = cls((ann, bob))
        for participant in (ann, bob):
            participant.on("track_subscribed", talk._take)
        for participant in (ann, bob):
            source = rtc.AudioSource(RATE, 1)
            talk._sources.append(source)
            track = rtc.LocalAudioTrack.create_audio_track("voice", source)
            await participant.local_participant.publish_track(track, PLAIN)
            talk._speaking.append(asyncio.create_task(talk._babble(source)))
        async with asyncio.timeout(PATIENCE):
            await talk._subscribed.wait()
        return talk

    def _take(self, track: rtc.Track, *_: object) -> None:
        self._tracks.append(track)
        if len(self._tracks) == len(self._rooms):
            self._subscribed.set()

    async def packets(self) -> tuple[int, int]:
        """Returns how many packets both have received and lost so far, by WebRTC's own statistics."""
        received = lost = 0
        for track in self._tracks:
            for stats in await track.get_stats():
                if stats.WhichOneof("stats") == "inbound_rtp":
                    received += stats.inbound_rtp.received.packets_received
                    lost += stats.inbound_rtp.received.packets_lost
        return received, lost

    async def end(self) -> None:
        """Lets both leave."""
        # Not cancelled: the SDK complains about frames that nobody waits for any more.
        self._over.set()
        await asyncio.gather(*self._speaking)
        for room in self._rooms:
            await room.disconnect()
        for source in self._sources:
            await source.aclose()

    async def _babble(self, source: rtc.AudioSource) -> None:
        samples = RATE // 10
        noise = np.random.default_rng(1).normal(0, 0.1, RATE)
        loud = noise * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * np.arange(RATE) / RATE))
        second = (np.clip(loud, -1, 1) * 32767).astype(np.int16)
        frames = [second[start : start + samples].tobytes() for start in range(0, RATE, samples)]
        for frame in itertools.cycle(frames):
            if self._over.is_set():
                return
            await source.capture_frame(rtc.AudioFrame(frame, RATE, 1, samples))
