"""One test for each private touch of livekit-agents; the docstrings of `internals` name the version it was seen in."""

from __future__ import annotations

import asyncio
import inspect
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import livekit.agents
import pytest
from livekit import rtc
from livekit.agents import AgentServer, JobContext, JobExecutorType
from livekit.agents.voice.room_io._output import _ParticipantAudioOutput
from livekit.agents.worker import ServerEnvOption
from livekit.rtc.event_emitter import EventEmitter

from roomkeeper.agent import internals

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


@pytest.fixture
def server() -> AgentServer:
    return AgentServer(ws_url="ws://127.0.0.1:1", api_key="key", api_secret="secret")


async def entrypoint(ctx: JobContext) -> None:
    """What an application registers."""


async def on_session_end(ctx: JobContext) -> None:
    """What an application registers."""


def test_the_installed_version_is_one_that_is_known() -> None:
    assert internals.version() == livekit.agents.__version__
    assert internals.supported()


@pytest.mark.parametrize(
    ("version", "known"),
    [("1.7.9", False), ("1.8.7", False), ("1.8.8", True), ("1.8.12rc1", True), ("1.9.0", False), ("unknown", False)],
)
def test_a_version_outside_the_range_is_not_known(
    version: str, *, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(livekit.agents, "__version__", version)
    assert internals.supported() is known


def test_the_name_of_the_agent_is_found(server: AgentServer) -> None:
    server.rtc_session(entrypoint, agent_name="interviewer")
    assert internals.agent_name(server) == "interviewer"


def test_the_credentials_are_those_of_the_server(server: AgentServer) -> None:
    assert internals.credentials(server) == ("key", "secret")
    server.update_options(api_key="other", api_secret="one")
    assert internals.credentials(server) == ("other", "one")


def test_callbacks_are_surrounded_where_the_server_looks_for_them(server: AgentServer) -> None:
    server.rtc_session(entrypoint, on_session_end=on_session_end)
    around: list[Any] = []

    def surround(function: Any) -> Any:  # noqa: ANN401
        around.append(function)
        return function

    internals.surround(server, surround, surround)
    assert around == [entrypoint, on_session_end]


def test_a_server_without_callbacks_stays_as_it_is(server: AgentServer) -> None:
    internals.surround(server, lambda _: pytest.fail("no"), lambda _: pytest.fail("no"))
    assert server._entrypoint_fnc is None


def test_modules_to_preload_are_added_to_the_applications_own() -> None:
    server = AgentServer(preload_modules=["json"])
    internals.preload(server, "roomkeeper.agent.forkserver")
    assert server._preload_modules == ["json", "roomkeeper.agent.forkserver"]


@pytest.mark.parametrize(
    ("given", "in_development", "in_production"),
    [(3, 3, 3), (0, 0, 0), (ServerEnvOption(dev_default=0, prod_default=4), 0, 4)],
)
def test_the_number_of_idle_processes_is_found(given: Any, in_development: int, in_production: int) -> None:  # noqa: ANN401
    server = AgentServer(num_idle_processes=given)
    assert internals.idle_processes(server, devmode=True) == in_development
    assert internals.idle_processes(server, devmode=False) == in_production


class _Pool(EventEmitter[str]):
    """Two processes whose jobs end in the same moment."""

    def __init__(self) -> None:
        super().__init__()
        self.over = asyncio.get_running_loop().create_future()
        self.processes = [SimpleNamespace(running_job=True, join=self._join) for _ in range(2)]

    async def _join(self) -> None:
        if not self.over.done():
            await self.over

    async def forget(self, process: SimpleNamespace) -> None:
        await process.join()
        self.processes.remove(process)


async def test_a_worker_whose_jobs_end_at_once_drains() -> None:
    server = AgentServer(job_executor_type=JobExecutorType.THREAD, num_idle_processes=0, host="127.0.0.1", port=0)
    server.rtc_session(entrypoint)
    started = asyncio.Event()
    server.on("worker_started", started.set)
    running = asyncio.create_task(server.run(unregistered=True))
    await started.wait()
    original = server._proc_pool
    server._proc_pool = pool = _Pool()  # type: ignore[assignment]
    internals.let_drain(server)
    for process in pool.processes:
        pool.emit("process_job_launched", process)
    draining = asyncio.create_task(server.drain())
    await asyncio.sleep(0.01)
    pool.over.set_result(None)
    forgetting = [asyncio.create_task(pool.forget(process)) for process in list(pool.processes)]
    await draining
    await asyncio.gather(*forgetting)
    server._proc_pool = original
    await server.aclose()
    await running


async def test_a_speech_that_is_broken_off_before_anybody_listens_costs_no_other() -> None:
    async def broken_off(capture: Callable[..., Coroutine[None, None, None]]) -> _ParticipantAudioOutput:
        room = cast("rtc.Room", SimpleNamespace())
        options = rtc.TrackPublishOptions()
        output = _ParticipantAudioOutput(room, sample_rate=24_000, num_channels=1, track_publish_options=options)
        speech = asyncio.create_task(capture(output, rtc.AudioFrame(bytes(480), 24_000, 1, 240)))
        await asyncio.sleep(0)
        speech.cancel()
        with pytest.raises(asyncio.CancelledError):
            await speech
        return output

    alone = await broken_off(inspect.unwrap(_ParticipantAudioOutput.capture_frame))
    assert alone.subscribed.cancelled(), "livekit-agents has mended it: so can we"
    internals.keep_voice()
    internals.keep_voice()
    kept = await broken_off(_ParticipantAudioOutput.capture_frame)
    assert not kept.subscribed.done()
    kept.subscribed.set_result(None)
    await kept.capture_frame(rtc.AudioFrame(bytes(480), 24_000, 1, 240))


async def test_the_end_of_a_process_with_a_job_is_told() -> None:
    server = AgentServer(job_executor_type=JobExecutorType.THREAD, num_idle_processes=0, host="127.0.0.1", port=0)
    server.rtc_session(entrypoint)
    started = asyncio.Event()
    server.on("worker_started", started.set)
    running = asyncio.create_task(server.run(unregistered=True))
    await started.wait()
    closed: list[tuple[str, int | None]] = []
    internals.on_process_closed(server, lambda job, code: closed.append((job, code)))
    job = SimpleNamespace(job=SimpleNamespace(id="AJ_1"))
    for process in (
        SimpleNamespace(running_job=None, exitcode=0),
        SimpleNamespace(running_job=job, exitcode=-9),
        SimpleNamespace(running_job=job),
    ):
        server._proc_pool.emit("process_closed", process)
    await server.aclose()
    await running
    assert closed == [("AJ_1", -9), ("AJ_1", None)]
