from __future__ import annotations

import asyncio
import json
import logging
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from livekit.protocol import agent

from roomkeeper.agent import line, local, spool
from roomkeeper.wire import link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

HEADER = spool.Header(job="AJ_1", room="tea", room_sid="RM_1", identity="agent", agent_name="interviewer", worker="W_1")
ATTACH = link.Attach(job="AJ_1", room="tea", room_sid="RM_1", identity="agent", agent_name="interviewer")


class Ear:
    """In the place of a worker's parent: keeps what a job says, and says what the test wants."""

    def __init__(self) -> None:
        self.beats = 0
        self.said: list[dict[str, Any]] = []
        self._writer: asyncio.StreamWriter | None = None
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, address: str) -> None:
        self._server = await asyncio.start_unix_server(self._connected, address)

    async def close(self) -> None:
        self._server.close()
        self.hang_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hang_up(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()

    def write(self, line: bytes) -> None:
        assert self._writer is not None
        self._writer.write(line)

    def say(self, frame: link.FromControl, n: int) -> None:
        assert self._writer is not None
        self._writer.write(json.dumps({**json.loads(link.write(frame)), "n": n}).encode() + b"\n")

    async def until(self, true: Callable[[], Any]) -> None:
        async with asyncio.timeout(10):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    def asked(self) -> list[int]:
        return [each["n"] for each in self.said if each["type"] == "attach"]

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._tasks.append(asyncio.create_task(self._hear(reader)))

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            if line == b"\n":
                self.beats += 1
            else:
                self.said.append(json.loads(line))
            self._changed.set()


@pytest.fixture
async def ear(tmp_path: Path) -> AsyncIterator[Ear]:
    ear = Ear()
    await ear.open(str(tmp_path / "W_1.sock"))
    yield ear
    await ear.close()


@asynccontextmanager
async def sitting(tmp_path: Path) -> AsyncIterator[local.Desk]:
    desk = local.Desk(local.Place.of("W_1", tmp_path), HEADER)
    try:
        yield desk
    finally:
        await asyncio.to_thread(desk.close)


class Clock:
    """A clock that the test may set forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        now = line._clock
        monkeypatch.setattr(line, "_clock", lambda: now() + self.ahead)


def lapsed(desk: local.Desk) -> bool:
    return desk.lapsed  # asked anew each time: other threads change it


def attached(epoch: int = 1) -> link.Attached:
    return link.Attached(job="AJ_1", epoch=epoch, session="S_1", state={}, policy={})


async def test_a_job_beats_though_its_event_loop_is_blocked(ear: Ear, tmp_path: Path) -> None:
    async with sitting(tmp_path):
        await ear.until(lambda: ear.said)
        before = ear.beats
        await asyncio.to_thread(lambda: None)
        block_until = asyncio.get_running_loop().time() + 2.5 * line.BEAT
        while asyncio.get_running_loop().time() < block_until:
            pass
        await ear.until(lambda: ear.beats >= before + 2)
        assert ear.said == [{"type": "job", "job": "AJ_1", "pid": os.getpid()}]


async def test_a_line_rings_at_once(ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "BEAT", 60)
    async with sitting(tmp_path) as desk:
        await ear.until(lambda: ear.said)
        before = ear.beats
        desk.append("item")
        await ear.until(lambda: ear.beats > before)


async def test_writing_never_waits_for_a_parent_that_does_not_read(
    ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sitting(tmp_path) as desk:
        await ear.until(lambda: ear.said)
        loop = asyncio.get_running_loop()
        longest = 0.0
        for _ in range(3000):  # the parent lives in this loop, which does not turn meanwhile
            before = loop.time()
            desk.append("item", {"text": "x" * 100})
            longest = max(longest, loop.time() - before)
        assert longest < line.BEAT / 2
        await ear.until(lambda: ear.beats > 10)


async def test_an_answer_in_time_is_returned_and_a_late_one_goes_to_the_listener(ear: Ear, tmp_path: Path) -> None:
    async with sitting(tmp_path) as desk:
        asking = asyncio.create_task(desk.attach(ATTACH, within=5))
        await ear.until(ear.asked)
        ear.say(attached(), 1)
        assert await asking == attached()
        assert await desk.attach(ATTACH, within=0.05) is None
        heard: asyncio.Queue[link.FromControl] = asyncio.Queue()
        desk.listen(heard.put_nowait)
        ear.say(attached(2), 2)
        async with asyncio.timeout(5):
            assert await heard.get() == attached(2)


async def test_a_parent_that_comes_back_hears_the_question_again(ear: Ear, tmp_path: Path) -> None:
    async with sitting(tmp_path) as desk:
        await desk.attach(ATTACH, within=0.05)
        await ear.until(lambda: ear.asked() == [1])
        ear.hang_up()
        await ear.until(lambda: ear.asked() == [1, 1])


async def test_a_job_that_stood_still_is_silent_until_it_is_attached_anew(
    ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    async with sitting(tmp_path) as desk:
        asking = asyncio.create_task(desk.attach(ATTACH, within=5))
        await ear.until(ear.asked)
        ear.say(attached(), 1)
        await asking
        stood_still = asyncio.Event()
        desk.listen(lambda _: None, stood_still.set)
        assert not lapsed(desk)
        clock.ahead = link.LEASE + 1
        assert lapsed(desk), "before anybody else had a turn"
        async with asyncio.timeout(5):
            await stood_still.wait()
        await ear.until(lambda: ear.asked() == [1, 2])
        assert lapsed(desk), "also after the thread had its turn"
        ear.say(attached(), 1)
        ear.say(link.Warning(job="AJ_1", remaining=1), 0)
        taken = asyncio.Event()
        desk.listen(lambda frame: taken.set() if isinstance(frame, link.Warning) else None)
        async with asyncio.timeout(5):
            await taken.wait()
        assert lapsed(desk), "an answer from before says nothing"
        ear.say(attached(), 2)
        async with asyncio.timeout(5):
            while lapsed(desk):
                await asyncio.sleep(0.01)


async def test_a_job_that_nobody_knows_may_stand_still(
    ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    async with sitting(tmp_path) as desk:
        await desk.attach(ATTACH, within=0.05)
        clock.ahead = link.LEASE + 1
        assert not lapsed(desk)
        await ear.until(lambda: ear.asked() == [1, 2])
        assert not lapsed(desk)


async def test_a_fenced_job_stays_silent(ear: Ear, tmp_path: Path) -> None:
    async with sitting(tmp_path) as desk:
        asking = asyncio.create_task(desk.attach(ATTACH, within=5))
        await ear.until(ear.asked)
        ear.say(link.Fenced(job="AJ_1", why="another one is in charge"), 0)
        assert isinstance(await asking, link.Fenced)
        assert lapsed(desk)
        heard: asyncio.Queue[link.FromControl] = asyncio.Queue()
        desk.listen(heard.put_nowait)
        ear.say(attached(), 1)
        ear.say(link.Mute(job="AJ_1"), 0)
        async with asyncio.timeout(5):
            assert await heard.get() == link.Mute(job="AJ_1")
        assert lapsed(desk), "a fence is final"


async def test_a_listener_that_fails_is_logged_and_hears_the_next(
    ear: Ear, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: asyncio.Queue[link.FromControl] = asyncio.Queue()

    def listener(frame: link.FromControl) -> None:
        if frame == link.Mute(job="AJ_1"):
            raise RuntimeError("no")
        heard.put_nowait(frame)

    async with sitting(tmp_path) as desk:
        await ear.until(lambda: ear.said)
        desk.listen(listener)
        ear.say(link.Mute(job="AJ_1"), 0)
        ear.say(link.Unmute(job="AJ_1"), 0)
        async with asyncio.timeout(5):
            assert await heard.get() == link.Unmute(job="AJ_1")
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == ["a listener failed"]


async def test_a_disk_that_takes_nothing_is_complained_of_once(
    ear: Ear, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "nowhere"
    desk = local.Desk(local.Place("W_1", str(folder), str(tmp_path / "W_1.sock")), HEADER)
    for _ in range(3):
        desk.append("item")
    folder.mkdir()
    desk.append("item")
    await asyncio.to_thread(desk.close)
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
        "the spool takes no more: free the disk or set ROOMKEEPER_SPOOL",
        "the spool takes lines again",
    ]


class Context:
    """What a desk looks at in a JobContext."""

    def __init__(self, attributes: dict[str, str]) -> None:
        self.job = agent.Job(id="AJ_1", agent_name="interviewer", metadata="{}", attributes=attributes)
        self.job.room.name = "tea"
        self.job.room.sid = "RM_1"
        self.local_participant_identity = "agent-AJ_1"


@pytest.mark.parametrize(
    ("attributes", "epoch", "session"),
    [
        ({"roomkeeper.epoch": "3", "roomkeeper.session": "S_1"}, 3, "S_1"),
        ({}, 0, ""),
        ({"roomkeeper.epoch": "three"}, 0, ""),
    ],
)
async def test_a_job_has_one_desk_which_knows_its_dispatch(
    attributes: dict[str, str], epoch: int, session: str, tmp_path: Path
) -> None:
    ctx: Any = Context(attributes)
    local.settle(ctx, local.Place.of("W_1", tmp_path))
    desk = local.Desk.of_job(ctx)
    assert local.Desk.of_job(ctx) is desk
    await asyncio.to_thread(desk.close)
    assert desk.header == spool.Header(
        job="AJ_1",
        room="tea",
        room_sid="RM_1",
        identity="agent-AJ_1",
        agent_name="interviewer",
        epoch=epoch,
        session=session,
        metadata="{}",
        worker="W_1",
    )


def test_a_job_of_a_server_that_is_not_wrapped_is_told_what_to_write() -> None:
    ctx: Any = Context({})
    with pytest.raises(local.NotWrapped, match=r"roomkeeper\.wrap\(AgentServer\(\)\)"):
        local.Desk.of_job(ctx)


def test_a_socket_whose_name_would_be_too_long_lies_elsewhere(tmp_path: Path) -> None:
    assert local.Place.of("W_1", tmp_path).socket == str(tmp_path / "W_1.sock")
    assert len(local.Place.of("W_1", tmp_path / ("x" * 200)).socket) < 104


async def test_a_line_of_the_parent_that_cannot_be_read_is_passed_over(ear: Ear, tmp_path: Path) -> None:
    async with sitting(tmp_path) as desk:
        heard: list[link.FromControl] = []
        desk.listen(heard.append)
        await ear.until(lambda: ear.beats)
        ear.write(b"no JSON\n[]\n" + b'{"type":"attached","job":7}\n' + b'{"type":"parent"}\n')
        ear.say(link.Mute(job="AJ_1"), 0)
        async with asyncio.timeout(10):
            while not heard:
                await asyncio.sleep(0.01)
    assert heard == [link.Mute(job="AJ_1")]


async def test_a_job_that_is_refused_after_it_stood_still_is_not_silenced_for_ever(
    ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    async with sitting(tmp_path) as desk:
        heard: list[link.FromControl] = []
        desk.listen(heard.append)
        asking = asyncio.create_task(desk.attach(ATTACH, 10))
        await ear.until(ear.asked)
        ear.say(attached(), 1)
        assert await asking
        clock.ahead = link.LEASE + 1
        await ear.until(lambda: ear.asked() == [1, 2])
        assert lapsed(desk)
        ear.say(link.Refused(why="these lines", job="AJ_1"), 0)
        ear.say(link.Refused(why="not kept", job="AJ_1"), 2)
        async with asyncio.timeout(10):
            while lapsed(desk):
                await asyncio.sleep(0.01)
    assert heard == [link.Refused(why="not kept", job="AJ_1")]


def test_a_job_in_a_thread_leaves_nothing_open_when_its_loop_is_closed(tmp_path: Path) -> None:
    desks: list[local.Desk] = []

    async def job() -> None:
        desks.append(local.Desk(local.Place("W_1", str(tmp_path), str(tmp_path / "nobody.sock")), HEADER))

    asyncio.run(job())
    desks[0]._line._thread.join(10)
    assert not desks[0]._line._thread.is_alive()
    assert not spool.is_held(tmp_path / "AJ_1.jsonl")
