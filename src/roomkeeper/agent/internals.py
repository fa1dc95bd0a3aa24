"""What Roomkeeper uses of livekit-agents below its public interface: all of it is here, and nowhere else.

Each touch names the version it was seen in; `tests/unit/agent/test_internals.py` has a test for each, which fails with
the first version that has it no more. `supported` says whether the installed version is one of those.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import livekit.agents
from livekit.agents.worker import ServerEnvOption

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from livekit.agents import AgentServer, JobContext


WANTED: Final = ">=1.8,<1.10"
LOWEST: Final = (1, 8)
BELOW: Final = (1, 10)


def version() -> str:
    """The installed version of livekit-agents."""
    return livekit.agents.__version__


def supported() -> bool:
    """Whether the installed version is in the range that Roomkeeper is tested with."""
    numbers = re.match(r"(\d+)\.(\d+)", version())
    return numbers is not None and LOWEST <= (int(numbers[1]), int(numbers[2])) < BELOW


# The server, in the worker's parent.


def agent_name(server: AgentServer) -> str:
    """Which agent the server's jobs are. 1.8.9: `AgentServer._agent_name`, set by `rtc_session`."""
    return server._agent_name  # noqa: SLF001


def credentials(server: AgentServer) -> tuple[str, str]:
    """API key and secret that the server goes by. 1.8.9: `_api_key`, `_api_secret`, changed by `update_options`."""
    return server._api_key, server._api_secret  # noqa: SLF001


def surround(
    server: AgentServer,
    entrypoint: Callable[[Callable[[JobContext], Awaitable[None]]], Callable[[JobContext], Awaitable[None]]],
    session_end: Callable[[Callable[[JobContext], Any] | None], Callable[[JobContext], Awaitable[None]]],
) -> None:
    """Put something around the callbacks that `rtc_session` registered; does nothing if there are none.

    1.8.9: `_entrypoint_fnc`, `_session_end_fnc`, read by `run` and pickled into the job's process.

    Args:
        server: Before its `run`.
        entrypoint: Takes the entrypoint and returns what replaces it.
        session_end: Likewise; gets None if there is none.
    """
    if server._entrypoint_fnc is not None:  # noqa: SLF001
        server._entrypoint_fnc = entrypoint(server._entrypoint_fnc)  # noqa: SLF001
        server._session_end_fnc = session_end(server._session_end_fnc)  # noqa: SLF001


def preload(server: AgentServer, module: str) -> None:
    """Have the forkserver import a module. 1.8.9: `_preload_modules`; nothing under spawn."""
    server._preload_modules = [*server._preload_modules, module]  # noqa: SLF001


def idle_processes(server: AgentServer, *, devmode: bool) -> int:
    """How many processes the server keeps warm. 1.8.9: `_num_idle_processes`, a number or a `ServerEnvOption`."""
    return ServerEnvOption.getvalue(server._num_idle_processes, devmode)  # noqa: SLF001


def on_process_closed(server: AgentServer, callback: Callable[[str, int | None], None]) -> None:
    """Be told of every process that ended while it had a job: the job's id and the exit code, negative for a signal.

    1.8.9: `_proc_pool` emits `process_closed`; there is one from `worker_started` on. A thread has no exit code.
    """

    def closed(process: Any) -> None:  # noqa: ANN401 - a JobExecutor, which is not public
        if process.running_job is not None:
            callback(process.running_job.job.id, getattr(process, "exitcode", None))

    server._proc_pool.on("process_closed", closed)  # noqa: SLF001
