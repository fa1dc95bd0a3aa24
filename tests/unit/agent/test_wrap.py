from __future__ import annotations

import asyncio
import logging
import pickle
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import livekit.agents
import pytest
from livekit.agents import AgentServer, JobContext, JobExecutorType
from livekit.agents.worker import ServerEnvOption

import roomkeeper
from roomkeeper.agent import wrap as wrapping
from roomkeeper.agent.parent.parent import Parent
from roomkeeper.agent.settings import AgentSettings
from roomkeeper.wire import tokens

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from roomkeeper.agent.local import Place
    from roomkeeper.wire import link
    from tests.unit.agent.planes import Plane


async def entrypoint(ctx: JobContext) -> None:
    """What an application registers."""


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of this test alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROOMKEEPER_SPOOL", str(tmp_path / "spool"))
    monkeypatch.delenv("ROOMKEEPER_URL", raising=False)


def make(**options: Any) -> AgentServer:  # noqa: ANN401
    """A server that never starts a process."""
    defaults = {"job_executor_type": JobExecutorType.THREAD, "num_idle_processes": 1, "host": "127.0.0.1", "port": 0}
    return AgentServer(**{**defaults, **options})


async def run(server: AgentServer, **arguments: bool) -> None:
    """Run a server until it has started, and close it."""

    async def close() -> None:
        await server.aclose()

    tasks = []
    server.on("worker_started", lambda: tasks.append(asyncio.get_running_loop().create_task(close())))
    await server.run(unregistered=True, **arguments)
    await tasks[0]


def sent_to_a_process(thing: object) -> object:
    """What arrives of it in the process of a job."""
    arrived: object = pickle.loads(pickle.dumps(thing))  # noqa: S301 - our own
    return arrived


def test_wrapping_returns_the_same_server_and_touches_nothing_else(tmp_path: Path) -> None:
    server = make()
    assert roomkeeper.wrap(server) is server
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("late", [False, True])
async def test_what_was_registered_is_surrounded_when_the_server_runs(*, late: bool) -> None:
    server = make()
    if late:
        roomkeeper.wrap(server)
    returned = server.rtc_session(entrypoint, agent_name="interviewer")
    if not late:
        roomkeeper.wrap(server)
    assert returned is entrypoint
    await run(server)
    surrounded = sent_to_a_process(server._entrypoint_fnc)
    assert isinstance(surrounded, wrapping._Entrypoint)
    assert surrounded.function is entrypoint
    assert isinstance(sent_to_a_process(server._session_end_fnc), wrapping._SessionEnd)


async def test_the_forkserver_is_told_to_ignore_the_groups_signal() -> None:
    server = roomkeeper.wrap(make(preload_modules=["json"]))
    server.rtc_session(entrypoint)
    await run(server)
    assert server._preload_modules == ["json", "roomkeeper.agent.forkserver"]


def test_the_module_of_the_forkserver_ignores_sigterm_and_what_it_forks_too() -> None:
    program = (
        "import os, signal, roomkeeper.agent.forkserver\n"
        "pid = os.fork()\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "if pid: os.waitpid(pid, 0)\n"
        "print('alive', flush=True)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout == "alive\nalive\n"


@pytest.mark.parametrize(
    ("given", "kept"),
    [(ServerEnvOption(dev_default=0, prod_default=4), 1), (0, 1), (3, 3)],
)
async def test_a_process_is_kept_warm_where_there_would_be_none(given: Any, kept: int) -> None:  # noqa: ANN401
    server = roomkeeper.wrap(make(num_idle_processes=given))
    server.rtc_session(entrypoint)
    await run(server, devmode=True)
    assert server._num_idle_processes == kept


async def test_a_version_that_is_not_known_leaves_the_server_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(livekit.agents, "__version__", "2.0.0")
    server = make()
    method = server.run
    assert roomkeeper.wrap(server) is server
    assert server.run == method
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert vars(record)["installed"] == "2.0.0"


async def test_a_worker_introduces_itself_with_the_grant_of_an_agent_and_nothing_else(plane: Plane) -> None:
    server = roomkeeper.wrap(make(ws_url="ws://127.0.0.1:1", api_key="key", api_secret="secret"), url=plane.url)
    server.rtc_session(entrypoint, agent_name="interviewer")
    running = asyncio.create_task(server.run())
    await plane.until(lambda: plane.said)
    await server.aclose()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    hello: Any = plane.said[0]
    assert hello.agent_name == "interviewer"
    assert hello.versions["livekit-agents"] == livekit.agents.__version__
    claims = tokens.verify(plane.headers[0].removeprefix("Bearer "), {"key": "secret"}, now=time.time())
    assert claims.video == tokens.VideoGrants(agent=True)


async def test_a_worker_without_a_room_server_leaves_the_control_plane_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    parents = Parent.__init__

    def note(self: Parent, place: Place, *, url: str, hello: link.Hello, token: Callable[[], str]) -> None:
        made.append(url)
        parents(self, place, url=url, hello=hello, token=token)

    monkeypatch.setattr(Parent, "__init__", note)
    server = roomkeeper.wrap(make(api_key="key", api_secret="secret"), url="http://127.0.0.1:1")
    server.rtc_session(entrypoint)
    await run(server)  # what `console` does: its room is nowhere
    assert made == [""]


async def test_without_a_control_plane_the_worker_runs_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    server = roomkeeper.wrap(make(ws_url="ws://127.0.0.1:1", api_key="key", api_secret="secret", max_retry=0))
    server.rtc_session(entrypoint)
    with pytest.raises(RuntimeError, match="failed to connect"):
        await server.run()
    warnings = [record.message for record in caplog.records if record.name == "roomkeeper.agent"]
    assert warnings[0] == "set ROOMKEEPER_URL: without a control plane nobody replaces an agent that dies"
    await server.aclose()


async def test_a_folder_that_cannot_be_used_is_one_error_and_the_worker_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ROOMKEEPER_SPOOL", str(tmp_path / "file" / "spool"))
    server = roomkeeper.wrap(make())
    server.rtc_session(entrypoint)
    await run(server)
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "ROOMKEEPER_SPOOL" in vars(record)["error"]


async def test_nothing_is_left_in_the_folder_of_a_worker_that_had_no_jobs(tmp_path: Path) -> None:
    server = roomkeeper.wrap(make())
    server.rtc_session(entrypoint)
    await run(server)
    assert list((tmp_path / "spool").iterdir()) == []


def test_the_spools_lie_where_programs_keep_their_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert AgentSettings().folder == tmp_path / "roomkeeper" / "spool"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert AgentSettings().folder == tmp_path / ".local" / "state" / "roomkeeper" / "spool"
    monkeypatch.setenv("HOME", "/nowhere")
    assert AgentSettings().folder.name == "spool"
    assert "/nowhere" not in str(AgentSettings().folder)
    assert AgentSettings(spool="here").folder == tmp_path / "here"
