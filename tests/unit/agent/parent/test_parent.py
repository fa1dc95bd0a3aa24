"""Desks, parent and link together, against a control plane that does as the test says."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from roomkeeper.agent import line, local, spool
from roomkeeper.agent.parent import connection, shipper
from roomkeeper.agent.parent import parent as parents
from roomkeeper.agent.parent.parent import Parent
from roomkeeper.wire import link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.unit.agent.planes import Plane

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of seconds become tenths of seconds."""
    monkeypatch.setattr(connection, "MAX_PAUSE", 0.2)
    monkeypatch.setattr(shipper, "RETRY", 0.3)
    monkeypatch.setattr(parents, "LOOK", 0.1)
    monkeypatch.setattr(parents, "POLL", 0.05)
    monkeypatch.setattr(parents, "YIELD_EVERY", 0.2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@contextlib.asynccontextmanager
async def worker(folder: Path, url: str, name: str = "W_1") -> AsyncIterator[Parent]:
    hello = link.Hello(v=link.VERSION, worker=name, agent_name="interviewer")
    async with Parent(local.Place.of(name, folder), url=url, hello=hello, token=lambda: "token") as parent:
        yield parent


def header(job: str, name: str = "W_1", epoch: int = 0) -> spool.Header:
    return spool.Header(
        job=job,
        room="tea",
        room_sid="RM_1",
        identity=f"agent-{job}",
        agent_name="interviewer",
        epoch=epoch,
        worker=name,
    )


def attach(job: str) -> link.Attach:
    return link.Attach(job=job, room="tea", room_sid="RM_1", identity=f"agent-{job}", agent_name="interviewer")


@contextlib.asynccontextmanager
async def desk(parent: Parent, job: str = "AJ_1") -> AsyncIterator[local.Desk]:
    """A job of the worker, in this process."""
    at = local.Desk(parent.place, header(job, parent.place.worker))
    try:
        yield at
    finally:
        await asyncio.to_thread(at.close)


def die(parent: Parent, at: local.Desk, code: int = -9) -> None:
    """What the parent sees of a job that is killed."""
    at._spool.close()
    parent.process_closed(at.header.job, code)


def types(plane: Plane, job: str = "AJ_1") -> list[str]:
    return [line.type for line in plane.lines.get(job, [])]


async def test_what_a_job_writes_arrives_in_order_under_its_epoch(folder: Path, plane: Plane) -> None:
    async with worker(folder, plane.url) as parent, desk(parent) as at:
        answer = await at.attach(attach("AJ_1"), within=5)
        assert isinstance(answer, link.Attached)
        for _ in range(1200):
            at.append("item", {"item": {}})
        await plane.until(lambda: len(types(plane)) == 1200)
    assert {frame.epoch for frame in plane.of(link.Events)} == {answer.epoch}
    assert plane.headers == ["Bearer token"]
    hello = plane.said[0]
    assert isinstance(hello, link.Hello)
    assert hello.worker == "W_1"


async def test_a_job_that_says_it_is_over_is_done_and_its_spool_goes(folder: Path, plane: Plane) -> None:
    async with worker(folder, plane.url) as parent, desk(parent) as at:
        await at.attach(attach("AJ_1"), within=5)
        at.append("item")
        at.done()
        await plane.until(lambda: plane.over)
        await parent.flush(5)
        assert not parent.place.spool("AJ_1").exists()
        die(parent, at, 0)
        await parent.flush(5)
    assert plane.of(link.Lost) == []
    assert list(folder.iterdir()) == []


async def test_a_killed_job_is_lost_only_after_its_spool_arrived(folder: Path, plane: Plane) -> None:
    async with worker(folder, plane.url) as parent, desk(parent) as at:
        await at.attach(attach("AJ_1"), within=5)
        for _ in range(700):
            at.append("item", {"text": "x" * 900})
        die(parent, at)
        await plane.until(lambda: plane.over)
        await parent.flush(5)
    (lost,) = plane.of(link.Lost)
    assert lost == link.Lost(job="AJ_1", exit=-9)
    assert plane.said[-1] == lost
    assert len(types(plane)) == 700


async def test_a_process_that_never_came_to_its_desk_is_not_spoken_of(folder: Path, plane: Plane) -> None:
    async with worker(folder, plane.url) as parent:
        parent.process_closed("AJ_stock", -9)
        await plane.until(lambda: plane.connections)
        await parent.flush(1)
    assert [type(each) for each in plane.said] == [link.Hello]


async def test_a_job_that_ended_in_order_without_a_session_is_not_spoken_of(folder: Path, plane: Plane) -> None:
    async with worker(folder, plane.url) as parent, desk(parent) as stock, desk(parent, "AJ_2") as dead:
        await plane.until(lambda: len(plane.alive) == 2)
        die(parent, stock, 0)
        die(parent, dead, -9)
        await plane.until(lambda: plane.over)
        await parent.flush(5)
        assert not parent.place.spool("AJ_1").exists()
    assert {getattr(each, "job", "AJ_2") for each in plane.said} == {"AJ_2"}
    assert plane.of(link.Lost) == [link.Lost(job="AJ_2", exit=-9)]


async def test_a_conversation_goes_on_while_the_control_plane_is_away(folder: Path, plane: Plane) -> None:
    await plane.stop()
    async with worker(folder, plane.url) as parent, desk(parent) as at:
        assert await at.attach(attach("AJ_1"), within=0.2) is None
        heard: list[link.FromControl] = []
        at.listen(heard.append)
        for _ in range(600):
            at.append("item")
        await plane.start()
        await plane.until(lambda: len(types(plane)) == 600)
        await until(lambda: at.linked and heard)
        assert isinstance(heard[0], link.Attached)
        assert isinstance(plane.said[1], link.Attach)


async def test_a_control_plane_that_restarts_gets_each_line_once(folder: Path, plane: Plane) -> None:
    async with worker(folder, plane.url) as parent, desk(parent) as at:
        await at.attach(attach("AJ_1"), within=5)
        for round_ in range(3):
            for _ in range(300):
                at.append("item", {"round": round_})
            await plane.stop()
            await plane.start()
        await plane.until(lambda: len(types(plane)) == 900)
    assert len(plane.of(link.Attach)) >= 2


async def test_a_lost_acknowledgement_costs_a_repetition(folder: Path, plane: Plane) -> None:
    plane.deaf = {link.Events}
    async with worker(folder, plane.url) as parent, desk(parent) as at:
        await at.attach(attach("AJ_1"), within=5)
        at.append("item")
        await plane.until(lambda: len(plane.of(link.Events)) == 2)
        plane.deaf = set()
        await plane.until(lambda: types(plane))
    first, second, *_ = plane.of(link.Events)
    assert first == second


async def test_a_control_plane_that_stores_a_part_gets_the_rest(folder: Path, plane: Plane) -> None:
    plane.store_at_once = 7
    async with worker(folder, plane.url) as parent, desk(parent) as at:
        await at.attach(attach("AJ_1"), within=5)
        for _ in range(50):
            at.append("item")
        at.done()
        await plane.until(lambda: plane.over)
    assert types(plane) == ["item"] * 50 + ["done"]


async def test_a_lost_that_is_not_acknowledged_is_said_again(folder: Path, plane: Plane) -> None:
    plane.deaf = {link.Lost}
    async with worker(folder, plane.url) as parent, desk(parent) as at:
        await at.attach(attach("AJ_1"), within=5)
        die(parent, at)
        await plane.until(lambda: len(plane.of(link.Lost)) == 3)
        assert parent.place.spool("AJ_1").exists()
        plane.deaf = set()
        await plane.until(lambda: plane.over)
        await parent.flush(5)
        assert not parent.place.spool("AJ_1").exists()


async def test_a_refused_job_is_tried_again_and_holds_nobody_up(folder: Path, plane: Plane) -> None:
    plane.refuses = {"AJ_1"}
    async with worker(folder, plane.url) as parent, desk(parent) as one, desk(parent, "AJ_2") as two:
        assert await one.attach(attach("AJ_1"), within=5) is None
        await two.attach(attach("AJ_2"), within=5)
        one.append("item")
        await plane.until(lambda: len(plane.of(link.Attach, "AJ_1")) == 2)
        two.append("item")
        await plane.until(lambda: types(plane, "AJ_2"))
        assert types(plane, "AJ_1") == []
        two.done()
        await plane.until(lambda: "AJ_2" in plane.over)
        async with asyncio.timeout(1):
            await parent.flush(5)  # it does not wait for what nobody wants
        plane.refuses = set()
        await plane.until(lambda: types(plane, "AJ_1"))


async def test_a_spool_that_nobody_wanted_for_a_day_is_deleted(folder: Path, plane: Plane) -> None:
    folder.mkdir()
    plane.refuses = {"AJ_old", "AJ_new"}
    for job, age in ("AJ_old", shipper.REFUSED_FOR + 60), ("AJ_new", 60):
        path = folder / f"{job}.jsonl"
        writer = spool.Writer(path, header(job, "W_dead"))
        writer.close()
        written_at = path.stat().st_mtime - age
        os.utime(path, (written_at, written_at))
    async with worker(folder, plane.url):
        await plane.until(lambda: len(plane.of(link.Attach, "AJ_new")) == 2)
        assert not (folder / "AJ_old.jsonl").exists()
        assert (folder / "AJ_new.jsonl").exists()


async def test_a_job_that_died_before_it_attached_is_attached_from_its_spool(folder: Path, plane: Plane) -> None:
    async with worker(folder, plane.url) as parent, desk(parent) as at:
        at.append("item")
        await plane.until(lambda: plane.alive)
        assert plane.of(link.Attach) == []
        die(parent, at)
        await plane.until(lambda: plane.over)
    assert plane.of(link.Attach) == [attach("AJ_1")]
    assert types(plane) == ["item"]


async def test_what_the_control_plane_says_reaches_its_job_alone(folder: Path, plane: Plane) -> None:
    async with worker(folder, plane.url) as parent, desk(parent) as one, desk(parent, "AJ_2") as two:
        await one.attach(attach("AJ_1"), within=5)
        await two.attach(attach("AJ_2"), within=5)
        frames: list[link.FromControl] = [
            link.Warning(job="AJ_1", remaining=30_000),
            link.Mute(job="AJ_1"),
            link.Unmute(job="AJ_1"),
            link.EndNow(job="AJ_1", reason="time_limit", message="The time is over."),
            link.Fenced(job="AJ_1", why="another one is in charge"),
        ]
        await plane.say(frames[0])
        heard: list[link.FromControl] = []
        others: list[link.FromControl] = []
        two.listen(others.append)
        await until(lambda: one._unheard)
        one.listen(heard.append)
        for frame in frames[1:]:
            await plane.say(frame)
        await until(lambda: len(heard) == len(frames))
        assert heard == frames
        assert one.lapsed
        assert not two.lapsed
        assert others == []


async def test_jobs_that_beat_are_named_and_others_are_not(folder: Path, plane: Plane) -> None:
    async with worker(folder, plane.url) as parent, desk(parent) as at:
        await plane.until(lambda: plane.alive == ("AJ_1",))
        await asyncio.to_thread(at._line.stop)
        await plane.until(lambda: plane.alive == ())
        at._line = line.Line(parent.place.socket, "AJ_1", at)
        at._line.start()


async def test_a_job_that_falls_silent_is_told_of_before_the_next_heartbeat(folder: Path, plane: Plane) -> None:
    plane.welcome = link.Welcome(v=link.VERSION, heartbeat=60, lease=120)
    async with worker(folder, plane.url) as parent, desk(parent) as at:
        await until(lambda: parent._desks.alive_at)
        await plane.until(lambda: plane.alive == ("AJ_1",))
        await asyncio.to_thread(at._line.stop)
        await plane.until(lambda: plane.alive == ())
        at._line = line.Line(parent.place.socket, "AJ_1", at)
        at._line.start()


async def test_a_job_learns_where_its_journal_is(folder: Path, plane: Plane) -> None:
    async with worker(folder, plane.url) as parent, desk(parent) as at:
        await until(lambda: at.linked)
        assert at.parent == line.Parent(url=plane.url, token="token", linked=True)
        await plane.stop()
        await until(lambda: not at.linked)
        assert at.parent.token == "token"


async def test_the_next_worker_adopts_what_a_dead_one_left(folder: Path, plane: Plane) -> None:
    await plane.stop()
    async with worker(folder, plane.url, "W_dead") as parent:
        async with desk(parent, "AJ_lost") as at:
            at.append("item")
        async with desk(parent, "AJ_done") as at:
            at.append("item")
            at.done()
        with parent.place.spool("AJ_lost").open("ab") as file:
            file.write(b'{"seq":2,"torn')
    (folder / "W_dead.sock").touch()  # what a killed one leaves
    await plane.start()
    async with worker(folder, plane.url) as parent:
        await plane.until(lambda: plane.over == {"AJ_lost", "AJ_done"})
        await parent.flush(5)
        await until(lambda: not (folder / "W_dead.lock").exists())
    assert plane.of(link.Lost) == [link.Lost(job="AJ_lost", exit=None)]
    assert plane.of(link.Done) == [link.Done(job="AJ_done")]
    assert types(plane, "AJ_lost") == ["item"]
    assert list(folder.iterdir()) == []


async def test_a_living_worker_adopts_too_and_only_one_of_two(folder: Path, plane: Plane) -> None:
    async with worker(folder, plane.url, "W_2"), worker(folder, plane.url, "W_3"):
        await plane.until(lambda: plane.connections == 2)
        for n in range(5):
            writer = spool.Writer(folder / f"AJ_{n}.jsonl", header(f"AJ_{n}", "W_dead", epoch=3))
            writer.append("item", {}, at=1)
            writer.close()
        await plane.until(lambda: len(plane.over) == 5)
        await until(lambda: not list(folder.glob("*.jsonl")))
    assert len(plane.of(link.Lost)) == 5
    assert {frame.epoch for frame in plane.of(link.Attach)} == {3}


async def test_a_job_that_is_reloaded_by_the_next_worker_is_no_orphan(folder: Path, plane: Plane) -> None:
    folder.mkdir()
    plane.refuses = {"AJ_1"}
    spool.Writer(folder / "AJ_1.jsonl", header("AJ_1", "W_dead")).close()
    async with worker(folder, plane.url) as parent:
        await plane.until(lambda: plane.of(link.Attach))
        plane.refuses = set()
        async with desk(parent) as at:
            assert await at.attach(attach("AJ_1"), within=5) is not None
            at.append("item")
            await plane.until(lambda: types(plane))
            assert plane.of(link.Lost) == []


async def test_spools_of_a_living_worker_are_its_own(folder: Path, plane: Plane) -> None:
    async with worker(folder, "", "W_1") as alone, desk(alone) as at, worker(folder, plane.url, "W_2"):
        at.append("item")
        await plane.until(lambda: plane.connections)
        await asyncio.sleep(3 * parents.LOOK)
        assert plane.lines == {}


JOB = """
import sys, signal
from pathlib import Path
from roomkeeper.agent import spool
writer = spool.Writer(Path(sys.argv[1]), spool.Header(job="AJ_1", room="", room_sid="", identity="", agent_name="",
    worker="W_dead"))
writer.append("item", {}, at=1)
print("written", flush=True)
signal.pause()
"""


async def test_an_orphan_is_lost_when_its_own_process_is_dead_too(folder: Path, plane: Plane) -> None:
    folder.mkdir()
    job = subprocess.Popen([sys.executable, "-c", JOB, folder / "AJ_1.jsonl"], stdout=subprocess.PIPE)
    with job:
        assert job.stdout is not None
        job.stdout.readline()
        async with worker(folder, plane.url):
            await plane.until(lambda: types(plane) == ["item"])
            await asyncio.sleep(0.5)
            assert plane.of(link.Lost) == []
            job.send_signal(signal.SIGKILL)
            await plane.until(lambda: plane.of(link.Lost))


KEPT = """
import asyncio, sys
from pathlib import Path
from roomkeeper.agent import local
from roomkeeper.agent.spool import Header
from roomkeeper.wire.link import Attach

who = {"job": "AJ_1", "room": "tea", "room_sid": "RM_1", "identity": "agent", "agent_name": "interviewer"}

async def main():
    desk = local.Desk(local.Place.of("W_1", Path(sys.argv[1])), Header(**who, epoch=0, worker="W_1"))
    await desk.attach(Attach(**who), within=5)
    print("attached", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("stopped", [True, False])
async def test_a_job_that_stands_still_and_was_replaced_is_killed_and_says_nothing_as_it_wakes(
    folder: Path, plane: Plane, *, stopped: bool
) -> None:
    async with worker(folder, plane.url):
        job = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KEPT, str(folder), stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
        )
        try:
            assert job.stdout is not None
            assert await job.stdout.readline() == b"attached\n"
            await plane.until(lambda: plane.alive == ("AJ_1",))
            if stopped:
                job.send_signal(signal.SIGSTOP)
                await plane.until(lambda: plane.alive == ())
            await plane.say(link.Fenced(job="AJ_1", why="its worker did not hear from it"))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(job.wait(), 10 if stopped else 1)
            assert job.returncode == (-signal.SIGKILL if stopped else None)
        finally:
            if job.returncode is None:
                job.kill()
                await job.wait()


async def test_many_spools_are_shipped_a_few_at_a_time(folder: Path, plane: Plane) -> None:
    folder.mkdir()
    for n in range(60):
        writer = spool.Writer(folder / f"AJ_{n}.jsonl", header(f"AJ_{n}", "W_dead"))
        writer.append("item", {}, at=1)
        writer.close()
    plane.deaf = {link.Events}
    async with worker(folder, plane.url):
        await plane.until(lambda: len(plane.of(link.Events)) > 2 * parents.SHIPPED_AT_ONCE)
        assert len({frame.job for frame in plane.of(link.Events)}) == parents.SHIPPED_AT_ONCE
        plane.deaf = set()
        await plane.until(lambda: len(plane.over) == 60)


async def test_a_leaving_worker_asks_again_until_its_sessions_are_taken_over(folder: Path, plane: Plane) -> None:
    async with worker(folder, plane.url) as parent, desk(parent) as one, desk(parent, "AJ_2") as two:
        await one.attach(attach("AJ_1"), within=5)
        await two.attach(attach("AJ_2"), within=5)
        leaving = asyncio.create_task(parent.leave())
        await plane.until(lambda: len(plane.of(link.Yield, "AJ_1")) == 2)
        await plane.say(link.Mute(job="AJ_1"))
        before = len(plane.of(link.Yield, "AJ_2"))
        await plane.until(lambda: len(plane.of(link.Yield, "AJ_2")) >= before + 2)
        assert len(plane.of(link.Yield, "AJ_1")) <= 3
        one.done()
        two.done()
        async with asyncio.timeout(5):
            await leaving
        assert parent.live == []


async def test_a_leaving_worker_hands_over_a_few_sessions_at_once(
    folder: Path, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("YIELDED_AT_ONCE", 2), ("YIELD_EVERY", 2.0), ("LISTEN", 0.05)):
        monkeypatch.setattr(parents, name, value)
    jobs = [f"AJ_{number}" for number in range(1, 5)]
    async with contextlib.AsyncExitStack() as stack:
        parent = await stack.enter_async_context(worker(folder, plane.url))
        desks = [await stack.enter_async_context(desk(parent, job)) for job in jobs]
        for job, one in zip(jobs, desks, strict=True):
            await one.attach(attach(job), within=5)
        leaving = asyncio.create_task(parent.leave())
        await plane.until(lambda: sum(bool(plane.of(link.Yield, job)) for job in jobs) == 2)
        await asyncio.sleep(0.3)  # nobody else is asked for
        first = [job for job in jobs if plane.of(link.Yield, job)]
        assert len(first) == 2
        desks[jobs.index(first[0])].done()
        await plane.until(lambda: sum(bool(plane.of(link.Yield, job)) for job in jobs) == 3)
        # The other one of the first two finds no successor, and keeps the last one waiting no longer than that.
        await plane.until(lambda: all(plane.of(link.Yield, job) for job in jobs))
        for job, one in zip(jobs, desks, strict=True):
            if job != first[0]:
                one.done()
        async with asyncio.timeout(5):
            await leaving


async def test_a_folder_that_cannot_be_used_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="ROOMKEEPER_SPOOL"):
        async with worker(tmp_path / "file" / "spool", ""):
            pass


async def test_the_folder_is_the_users_own(folder: Path) -> None:
    async with worker(folder, "") as parent:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert Path(parent.place.socket).stat().st_mode & 0o777 == 0o600


async def test_a_refused_worker_says_so_once_and_tries_on(
    folder: Path, plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    plane.status = HTTPStatus.UNAUTHORIZED
    async with worker(folder, plane.url):
        await until(lambda: len(plane.headers) >= 3)
        plane.status = None
        await plane.until(lambda: plane.connections)
    errors = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == ["the control plane refuses this worker: both need the same API key and secret"]


async def test_a_silent_control_plane_is_given_up_for_a_new_connection(
    folder: Path, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_WITHIN", 0.3)
    plane.deaf = {link.Hello}
    async with worker(folder, plane.url):
        await plane.until(lambda: plane.connections == 2)


async def test_a_control_plane_that_falls_silent_is_given_up(folder: Path, plane: Plane) -> None:
    plane.welcome = link.Welcome(v=link.VERSION, heartbeat=0.05, lease=0.3)
    async with worker(folder, plane.url):
        await plane.until(lambda: plane.connections)
        plane.deaf = {link.Heartbeat}
        await plane.until(lambda: plane.connections == 2)


async def test_a_parent_that_stood_still_begins_a_new_connection(folder: Path, plane: Plane) -> None:
    plane.welcome = link.Welcome(v=link.VERSION, heartbeat=0.05, lease=0.3)
    async with worker(folder, plane.url) as parent, desk(parent) as at:
        await at.attach(attach("AJ_1"), within=5)
        time.sleep(0.6)
        await plane.until(lambda: plane.connections == 2)
        await plane.until(lambda: len(plane.of(link.Attach)) == 2)


async def test_words_that_are_no_frame_cost_the_connection_only(folder: Path, plane: Plane) -> None:
    async with worker(folder, plane.url) as parent, desk(parent) as at:
        await at.attach(attach("AJ_1"), within=5)
        assert plane._server is not None
        for server_connection in plane._server.connections:
            await server_connection.send("hello?")
        await plane.until(lambda: plane.connections == 2)
        at.append("item")
        await plane.until(lambda: types(plane))


async def test_strangers_at_the_socket_do_no_harm(folder: Path, plane: Plane) -> None:
    async with worker(folder, plane.url) as parent:
        for text in (b"\n", b"[]\n", b"{}\n", b"hello\n", b'{"job":"AJ_9"}\n{"type":"attach"}\n', b"x" * (2 << 20)):
            reader, writer = await asyncio.open_unix_connection(parent.place.socket)
            writer.write(text)
            with contextlib.suppress(ConnectionResetError):
                async with asyncio.timeout(5):
                    await reader.read()
            writer.close()
        async with desk(parent) as at:
            assert await at.attach(attach("AJ_1"), within=5) is not None


async def until(true: Any, within: float = 5.0) -> None:  # noqa: ANN401
    """Poll what another thread did."""
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_worker_without_a_control_plane_keeps_what_its_jobs_write(folder: Path) -> None:
    async with worker(folder, "") as parent, desk(parent) as at:
        at.append("item")
        assert await at.attach(attach("AJ_1"), within=0.1) is None
        assert not at.linked
    assert (folder / "AJ_1.jsonl").exists()
    assert (folder / "W_1.lock").exists()
    assert os.listdir(folder)  # noqa: PTH208 - names alone
