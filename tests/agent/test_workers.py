"""Real workers and their processes, on `roomkeeper sfu`, with a control plane that does as the test says."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest
from livekit import api

from roomkeeper.wire import link
from tests.agent.workers import worker
from tests.conformance.support.server import Options, Server, ServerProcess
from tests.unit.agent.planes import Plane, plane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

SCRIBE = "tests.agent.scribe"
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The room server."""
    process = ServerProcess(Options(), tmp_path_factory.mktemp("server") / "server.log")
    process.start()
    yield process.server
    process.stop()


@pytest.fixture
async def control() -> AsyncIterator[Plane]:
    """The control plane."""
    async with plane() as running:
        yield running


async def dispatch(server: Server, control: Plane, room: str) -> tuple[str, int]:
    """Have a job begin, and return its id and its process."""
    known = set(control.lines)
    async with api.LiveKitAPI(server.http, server.key, server.secret) as rooms:
        await rooms.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(agent_name="scribe", room=room))
    await control.until(lambda: control.lines.keys() - known, within=30)
    (job,) = control.lines.keys() - known
    return job, control.lines[job][0].data["pid"]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until_dead(pid: int, within: float = 20.0) -> None:
    async with asyncio.timeout(within):
        while is_alive(pid):
            await asyncio.sleep(0.05)


async def test_a_worker_tells_of_its_jobs_until_the_last_one_is_handed_over(
    server: Server, control: Plane, tmp_path: Path
) -> None:
    async with worker(SCRIBE, server, url=control.url, spool=tmp_path) as running:
        await running.registered()
        killed, killed_pid = await dispatch(server, control, "tea")
        kept, kept_pid = await dispatch(server, control, "coffee")
        await control.until(lambda: set(control.alive) == {killed, kept})

        # A job that stands still is not named any more, and asks anew when it goes on.
        loop = asyncio.get_running_loop()
        os.kill(kept_pid, signal.SIGSTOP)
        stopped_at = loop.time()
        await control.until(lambda: control.alive == (killed,))
        assert loop.time() - stopped_at < 4
        await asyncio.sleep(link.LEASE + 1 - (loop.time() - stopped_at))
        asked = len(control.of(link.Attach, kept))
        os.kill(kept_pid, signal.SIGCONT)
        await control.until(lambda: len(control.of(link.Attach, kept)) > asked)
        await control.until(lambda: set(control.alive) == {killed, kept})

        # A killed one is lost, after all it wrote, at once.
        os.kill(killed_pid, signal.SIGKILL)
        killed_at = loop.time()
        await control.until(lambda: control.over)
        assert loop.time() - killed_at < 2
        assert control.of(link.Lost) == [link.Lost(job=killed, exit=-signal.SIGKILL)]

        # The signal of a service manager reaches everybody; only the worker minds it.
        running.signal_group(signal.SIGTERM)
        await control.until(lambda: len(control.of(link.Yield, kept)) == 2, within=30)
        assert is_alive(kept_pid)
        assert control.alive == (kept,)
        await control.say(link.Mute(job=kept))
        await control.until(lambda: kept in control.over)
        assert await running.ended() == 0, running.tail
        assert control.of(link.Done) == [link.Done(job=kept)]
        assert len(control.of(link.Lost)) == 1
        assert [line.type for line in control.lines[kept]] == ["started", "close", "done"]
    assert list(tmp_path.iterdir()) == []


async def test_the_next_worker_tells_of_the_jobs_of_a_killed_one(
    server: Server, control: Plane, tmp_path: Path
) -> None:
    async with worker(SCRIBE, server, url=control.url, spool=tmp_path) as first:
        await first.registered()
        job, pid = await dispatch(server, control, "milk")
        await control.stop()  # what is written from here on is only in the file
        first.process.kill()
        await until_dead(pid)
        await control.start()
        async with worker(SCRIBE, server, url=control.url, spool=tmp_path) as second:
            await control.until(lambda: job in control.over, within=60)
            await second.registered()
            second.process.send_signal(signal.SIGTERM)
            assert await second.ended() == 0, second.tail
    assert control.lines[job][0].type == "started"
    assert list(tmp_path.iterdir()) == []


async def test_two_signals_lose_nothing(server: Server, control: Plane, tmp_path: Path) -> None:
    async with worker(SCRIBE, server, url=control.url, spool=tmp_path) as first:
        await first.registered()
        job, pid = await dispatch(server, control, "water")
        for _ in range(2):
            first.signal_group(signal.SIGTERM)
            await asyncio.sleep(0.5)
        assert await first.ended() == 1
        await until_dead(pid)
        assert (tmp_path / f"{job}.jsonl").exists()
