"""The example interviewer, an unmodified livekit-agents worker, talks with a participant that has a human voice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from livekit import api, rtc

from examples.interviewer.intent import words
from examples.interviewer.script import GOODBYE, GREETING, QUESTIONS, STOPPED
from examples.interviewer.state import ATTRIBUTE
from tests.conformance.support.clients import Client
from tests.conformance.support.sound import RATE, Microphone, listen
from tests.unit.interviewer.voices import Voice, recorded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from tests.conformance.support.server import Server

pytestmark = pytest.mark.timeout(120)

PROGRAM = Path(__file__).parents[2] / "examples/interviewer/agent.py"
REGISTERED = b'"registered worker"'
WORKER_WITHIN = 60.0
"""Seconds for a worker to start or to stop, on a busy machine."""
REPLY_WITHIN = 20.0
"""Seconds for the interviewer to say one thing after another."""
LINGER = 3.0
GOODBYE_SECONDS = 2.0
"""The goodbye takes a little longer."""
SILENT = 0.9
"""Seconds without a sound that are no pause between two sentences of the interviewer."""


def human_sentence() -> Voice:
    """A woman says "It was the best of times, it was the worst of times"; the recording is in a wheel of [demo]."""
    return recorded("two_cities.wav").cut(0.9, 4.9).at(RATE)


SENTENCE = words("It was the best of times, it was the worst of times.")


@pytest.fixture(scope="module")
def worker(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[psutil.Process]:
    """The worker, run by its path as `roomkeeper dev` does, registered; in the end it must stop on SIGTERM."""
    log = tmp_path_factory.mktemp("interviewer") / "worker.log"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")},
        "LIVEKIT_URL": server.ws,
        "LIVEKIT_API_KEY": server.key,
        "LIVEKIT_API_SECRET": server.secret,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, PROGRAM, "start", "--drain-timeout", "1"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + WORKER_WITHIN
        while REGISTERED not in log.read_bytes():
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.1)
        yield psutil.Process(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WORKER_WITHIN) == 0, log.read_text()[-2000:]
    finally:
        process.kill()
        process.wait()


@dataclass
class Candidate:
    """A participant with a voice, who reads the transcript and hears the interviewer.

    Attributes:
        client: The participant.
        transcript: Every finished line of `lk.transcription`, with whose it is.
    """

    client: Client
    transcript: list[tuple[str, str]] = field(default_factory=list)
    _read: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _microphone: Microphone = field(default_factory=Microphone)

    async def join(self, server: Server, room: str) -> None:
        """Join with a token that asks for the interviewer, and open the microphone."""
        self.client.room.register_text_stream_handler("lk.transcription", self._on_transcription)
        dispatch = api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="interviewer")])
        token = server.unsigned_token(self.client.identity, room=room).with_room_config(dispatch).to_jwt()
        await self.client.connect(server.url, token)
        await self._microphone.open(self.client.me)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.client.close()
        await self._microphone.close()

    def say(self, voice: Voice) -> None:
        """Speak; at once, and in real time."""
        assert voice.rate == RATE
        self._microphone.say(voice.samples)

    async def write(self, text: str) -> None:
        """Type into the chat."""
        await self.client.me.send_text(text, topic="lk.chat")

    async def reads(self, text: str, *, by: str, within: float = REPLY_WITHIN) -> None:
        """Wait until a finished line of the transcript contains these words."""
        wanted = f" {' '.join(words(text))} "
        try:
            async with asyncio.timeout(within):
                while not any(wanted in f" {' '.join(words(line))} " for who, line in self.transcript if who == by):
                    self._read.clear()
                    await self._read.wait()
        except TimeoutError:
            raise AssertionError(f"{by} did not say {text!r}: {self.transcript}") from None

    async def sees(self, state: str, *, within: float = REPLY_WITHIN) -> tuple[dict[str, Any], float]:
        """Wait until the agent's attribute holds this state; return the object, and when that was."""
        seen: dict[str, Any] = {}

        def is_it(changed: dict[str, str], _: object) -> bool:
            seen.update(json.loads(changed.get(ATTRIBUTE, "{}")))
            return seen.get("state") == state

        event = await self.client.wait_for("participant_attributes_changed", is_it, within=within)
        return seen, event.at

    async def is_asked(self) -> None:
        """Wait until the interviewer has finished speaking and listens."""
        for state in ("speaking", "listening"):
            await self.client.wait_for(
                "participant_attributes_changed",
                lambda changed, _, state=state: changed.get("lk.agent.state") == state,
                within=REPLY_WITHIN,
            )

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_transcription(self, reader: rtc.TextStreamReader, identity: str) -> None:
        self._start(self._read_line(reader, identity))

    async def _read_line(self, reader: rtc.TextStreamReader, identity: str) -> None:
        attributes = reader.info.attributes or {}
        try:
            text = await reader.read_all()
        except rtc.StreamError:  # the candidate hung up in the middle of it
            return
        # An agent's line is one stream that grows; a person's is a stream for each of its versions.
        if identity != self.client.identity or attributes.get("lk.transcription_final") == "true":
            who = "candidate" if identity == self.client.identity else "interviewer"
            self.transcript.append((who, text))
            self._read.set()


@pytest.fixture
async def candidate(server: Server, room: str, worker: psutil.Process) -> AsyncIterator[Candidate]:
    """Somebody who has just joined."""
    candidate = Candidate(Client("candidate"))
    await candidate.join(server, room)
    yield candidate
    await candidate.close()


@dataclass
class Ear:
    """Hears the interviewer, and knows when the last sound was.

    Attributes:
        loud_at: When that was, on the loop's clock; None before the first sound.
    """

    loud_at: float | None = None
    _heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self, track: rtc.Track) -> None:
        """Hear a track until cancelled."""
        async with aclosing(listen(track)) as windows:
            async for window in windows:
                if not window.is_silence:
                    self.loud_at = window.at
                self._heard.set()

    async def hears_speech(self, *, within: float = REPLY_WITHIN) -> None:
        """Wait for a sound from now on."""
        now = asyncio.get_running_loop().time()
        await self._until(lambda _: self.loud_at is not None and self.loud_at > now, within)

    async def hears_silence(self, *, within: float = REPLY_WITHIN) -> None:
        """Wait until there was no sound for longer than between two sentences."""
        await self._until(lambda now: self.loud_at is not None and now - self.loud_at > SILENT, within)

    async def _until(self, condition: Callable[[float], bool], within: float) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(within):
            while not condition(loop.time()):
                self._heard.clear()
                await self._heard.wait()


@pytest.fixture
async def ear(candidate: Candidate) -> AsyncIterator[Ear]:
    """Hear the interviewer's voice."""
    event = await candidate.client.wait_for("track_subscribed", within=REPLY_WITHIN)
    ear = Ear()
    task = asyncio.create_task(ear.listen(event.args[0]))
    yield ear
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def far_ends(worker: psutil.Process) -> set[str]:
    """The addresses that the worker and its jobs are connected to."""
    processes = [worker, *worker.children(recursive=True)]
    links = (link for process in processes for link in process.net_connections("inet"))
    return {link.raddr.ip for link in links if hasattr(link.raddr, "ip")}  # an empty tuple: no far end


def own_addresses() -> set[str]:
    """The addresses of this machine."""
    return {address.address for addresses in psutil.net_if_addrs().values() for address in addresses}


async def test_an_interview_is_heard_answered_and_ended_with_its_reason(
    candidate: Candidate, ear: Ear, worker: psutil.Process
) -> None:
    await ear.hears_speech()
    await candidate.reads(f"{GREETING} {QUESTIONS[0].text}", by="interviewer")
    await candidate.is_asked()

    candidate.say(human_sentence())
    await candidate.reads(" ".join(SENTENCE), by="candidate")
    await candidate.reads(QUESTIONS[1].text, by="interviewer")
    assert far_ends(worker) <= own_addresses(), "nothing leaves the machine"
    await candidate.is_asked()

    await candidate.write("Please end the interview.")
    await candidate.sees("ending")
    await candidate.reads(STOPPED, by="interviewer")
    goodbye_began = asyncio.get_running_loop().time()
    await candidate.reads(GOODBYE, by="interviewer")
    ended, told = await candidate.sees("ended")
    assert (ended["reason"], ended["by"], ended["detail"]) == ("completed", "agent", "the candidate asked to stop")
    assert ended["provisional"] is True
    left = await candidate.client.wait_for("disconnected", within=REPLY_WITHIN)
    assert left.args[0] == rtc.DisconnectReason.ROOM_DELETED
    assert LINGER - 0.5 < left.at - told < LINGER + 5
    assert ear.loud_at is not None
    assert goodbye_began + GOODBYE_SECONDS < ear.loud_at < told, "the goodbye was heard to its end"


async def test_the_interviewer_falls_silent_when_interrupted_and_hears_the_first_word(
    candidate: Candidate, ear: Ear
) -> None:
    await ear.hears_speech()
    sentence = human_sentence()
    candidate.say(sentence)
    await ear.hears_silence(within=sentence.duration)
    await candidate.reads(" ".join(SENTENCE), by="candidate")
    said = next(line for who, line in candidate.transcript if who == "interviewer")
    assert QUESTIONS[0].text not in said, "the greeting was cut"
    await candidate.reads(QUESTIONS[0].text, by="interviewer")


async def test_a_candidate_who_hangs_up_during_the_goodbye_leaves_no_room_behind(
    candidate: Candidate, ear: Ear, room: str, lkapi: api.LiveKitAPI
) -> None:
    await ear.hears_speech()
    await candidate.write("Please end the interview.")
    await candidate.sees("ending")
    await ear.hears_speech()
    await candidate.client.room.disconnect()
    async with asyncio.timeout(REPLY_WITHIN):
        while (await lkapi.room.list_rooms(api.ListRoomsRequest(names=[room]))).rooms:
            await asyncio.sleep(0.2)
