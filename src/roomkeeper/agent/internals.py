"""What Roomkeeper uses of livekit-agents below its public interface: all of it is here, and nowhere else.

Each touch names the version it was seen in; `tests/unit/agent/test_internals.py` has a test for each, which fails with
the first version that has it no more. `supported` says whether the installed version is one of those.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import sys
from typing import TYPE_CHECKING, Any, Final

import livekit.agents
from livekit import rtc
from livekit.agents.worker import ServerEnvOption

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable
    from typing import SupportsIndex

    from livekit.agents import Agent, AgentServer, AgentSession, JobContext, ModelSettings
    from livekit.agents.llm import ChatItem

log = logging.getLogger("roomkeeper.agent")

WANTED: Final = ">=1.8.8,<1.9"
LOWEST: Final = (1, 8, 8)
BELOW: Final = (1, 9)


def version() -> str:
    """The installed version of livekit-agents."""
    return livekit.agents.__version__


def supported() -> bool:
    """Whether the installed version is in the range that Roomkeeper is tested with."""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version())
    return numbers is not None and LOWEST <= tuple(map(int, numbers.groups())) < BELOW


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


def let_drain(server: AgentServer) -> None:
    """Have a worker that drains go on when several of its jobs end at once.

    1.8.9: `AgentServer.drain` joins whoever still has a job, again and again. To join a process that has just ended is
    not to wait, so the loop never comes to the pool's task that takes such a process from the list: the worker hangs.
    `_proc_pool` emits `process_job_launched`; there is one from `worker_started` on.
    """

    def launched(process: Any) -> None:  # noqa: ANN401 - a JobExecutor, which is not public
        join = process.join

        async def joined() -> None:
            await join()
            await asyncio.sleep(0)

        process.join = joined

    server._proc_pool.on("process_job_launched", launched)  # noqa: SLF001


# The session, in a job.


def watch_history(session: AgentSession[Any], told: Callable[[ChatItem], None]) -> None:
    """Be told of every item that enters the history, also of those that no event tells of.

    1.8.9: `ChatContext.items` is the list that `insert`, `append` and the upsert of tool items change in place.
    """
    session.history.items = _Watched(session.history.items, told)


class _Watched(list["ChatItem"]):
    def __init__(self, items: Iterable[ChatItem], told: Callable[[ChatItem], None]) -> None:
        super().__init__(items)
        self._told = told

    def append(self, item: ChatItem) -> None:
        super().append(item)
        self._told(item)

    def insert(self, index: SupportsIndex, item: ChatItem) -> None:
        super().insert(index, item)
        self._told(item)

    def extend(self, items: Iterable[ChatItem]) -> None:
        for item in items:
            self.append(item)

    def __setitem__(self, index: Any, item: Any) -> None:  # noqa: ANN401 - an item, or a slice of them
        super().__setitem__(index, item)
        if not isinstance(index, slice):
            self._told(item)

    def __reduce__(self) -> tuple[type[list[ChatItem]], tuple[list[ChatItem]]]:
        return list, (list(self),)  # a copy is a plain list


def watch_emit(session: AgentSession[Any], told: Callable[[object], None]) -> None:
    """Be told of every event before the application is, and keep its handlers from stopping one another.

    1.8.9: `AgentSession.emit` notes the event in `_recorded_events` for the report; `EventEmitter.emit` raises the
    TypeError of a handler, so that those after it, and the job's shutdown, never come.
    """

    def emit(event: str, argument: Any) -> None:  # noqa: ANN401 - one of livekit-agents' many events
        session._recorded_events.append(argument)  # noqa: SLF001
        told(argument)
        for handler in list(session._events.get(event, ())):  # type: ignore[call-overload]  # noqa: SLF001
            alone: rtc.EventEmitter[str] = rtc.EventEmitter()
            alone.on(event, handler)
            try:
                alone.emit(event, argument)
            except TypeError:
                log.exception("a handler of the application failed", extra={"event": event})

    session.emit = emit  # type: ignore[method-assign, assignment]


def watch_text(agent: Agent, through: Callable[[AsyncIterable[str]], AsyncIterable[str]]) -> None:
    """Lead what an agent generates through a function, before it is played.

    1.8.9: `AgentActivity` looks `transcription_node` up on the instance for each piece of speech.
    """
    node = agent.transcription_node

    def watched(text: AsyncIterable[str], model_settings: ModelSettings) -> Any:  # noqa: ANN401 - as the node has it
        return node(through(text), model_settings)

    agent.transcription_node = watched  # type: ignore[method-assign]


def publishes_audio(session: AgentSession[Any]) -> bool:
    """Whether the job itself publishes the agent's voice; where an avatar speaks for it, it does not.

    1.8.9: `_room_io._audio_output`; there is none if the application set `output.audio` before the start.
    """
    return session._room_io is not None and session._room_io._audio_output is not None  # noqa: SLF001


def gate_audio(session: AgentSession[Any], may_play: Callable[[], bool]) -> None:
    """Ask before each frame whether it may be played; call it after the start.

    1.8.9: `_room_io._audio_output._audio_source`, an `rtc.AudioSource` that is given 50 ms at a time, 200 ms ahead.
    """
    output = session._room_io._audio_output if session._room_io else None  # noqa: SLF001
    if output is None:
        return
    source = output._audio_source  # noqa: SLF001
    capture = source.capture_frame

    async def gated(frame: rtc.AudioFrame) -> None:
        if may_play():
            await capture(frame)

    source.capture_frame = gated  # type: ignore[method-assign]


def keep_voice() -> None:
    """Let a speech that is broken off before anybody listens cost that speech alone; call it before the start.

    1.8.9: `_ParticipantAudioOutput.capture_frame` awaits the future of the first subscriber, and a task that is
    cancelled cancels the future that it awaits. From then on nobody would hear another word of the agent, for example
    after a reload of the page in the moment before the greeting.
    """
    # Here, since a version that is not known may have no such module.
    from livekit.agents.voice.room_io._output import _ParticipantAudioOutput  # noqa: PLC0415

    capture = _ParticipantAudioOutput.capture_frame
    if hasattr(capture, "__wrapped__"):
        return

    @functools.wraps(capture)
    async def capture_frame(output: _ParticipantAudioOutput, frame: rtc.AudioFrame) -> None:
        await asyncio.shield(output.subscribed)
        await capture(output, frame)

    _ParticipantAudioOutput.capture_frame = capture_frame  # type: ignore[assignment, method-assign]


def close_soon(session: AgentSession[Any], seconds: float) -> None:
    """Wait no longer than this for the user's last words to be understood, when the session closes.

    1.8.9: `AgentSession.options` holds `session_close_transcript_timeout`, 2 s by default, which it waits in full
    unless something was understood in the half second before.
    """
    options = session.options
    options.session_close_transcript_timeout = min(options.session_close_transcript_timeout, seconds)


def guard_shutdown_callbacks(ctx: JobContext) -> None:
    """Keep the shutdown callbacks from cutting one another off, those that are there and those that come.

    1.8.9: `_shutdown_callbacks`, run through `asyncio.gather`, which gives up at the first that raises.
    """
    ctx._shutdown_callbacks = _Guarded(map(_guarded, ctx._shutdown_callbacks))  # noqa: SLF001


class _Guarded(list["Callable[[str], Coroutine[None, None, None]]"]):
    def append(self, callback: Callable[[str], Coroutine[None, None, None]]) -> None:
        super().append(_guarded(callback))


def _guarded(callback: Callable[[str], Coroutine[None, None, None]]) -> Callable[[str], Coroutine[None, None, None]]:
    @functools.wraps(callback)
    async def guarded(reason: str) -> None:
        try:
            await callback(reason)
        except Exception:
            log.exception("a shutdown callback failed", extra={"callback": getattr(callback, "__qualname__", "")})

    return guarded


def is_job_shutdown(depth: int = 2) -> bool:
    """Whether the caller's caller is the end of the job, not the application.

    1.8.9: `_JobProc._shutdown_job` closes the session by the same `aclose` that an application calls.
    """
    return sys._getframe(depth).f_code.co_name == "_shutdown_job"  # noqa: SLF001
