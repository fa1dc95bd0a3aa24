"""What runs in a job around the application's own callbacks, where `roomkeeper.wrap` put it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING

from roomkeeper.agent.kept import KeptSession, kept_of
from roomkeeper.agent.local import desk_of
from roomkeeper.errors import RoomkeeperError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from livekit.agents import JobContext

log = logging.getLogger("roomkeeper.agent")


class NothingStarted(RoomkeeperError):
    """The entrypoint returned before `await roomkeeper.start(…)`, and nobody talks with the user: start a session."""


async def entrypoint(ctx: JobContext, function: Callable[[JobContext], Awaitable[None]]) -> None:
    """Run the application's entrypoint; an exception that it raises ends the session with a reason.

    Args:
        ctx: Of the job; its desk is known by now.
        function: What was registered with `rtc_session`.

    Raises:
        NothingStarted: It returned, and that was all.
    """
    try:
        await function(ctx)
        _check_started(ctx)
    except Exception as error:
        kept = kept_of.get(ctx)
        if isinstance(kept, KeptSession):
            kept.leaving.failed(error)
        elif kept is None:
            _note(ctx, error)
        raise


def _check_started(ctx: JobContext) -> None:
    """Refuse a job that is over and cannot be reached by anybody; livekit-agents would keep its process for ever."""
    if ctx not in kept_of and _is_ours(ctx) and not ctx.room.isconnected():
        raise NothingStarted


def _note(ctx: JobContext, error: Exception) -> None:
    """Leave a line of a job that fails before it starts its session: without one its end would look like none of ours.

    Only of a dispatch of ours: what else an application does in its jobs is not for Roomkeeper to repair.
    """
    desk = desk_of(ctx)
    if desk is not None and _is_ours(ctx):
        desk.append("error", {"source": "entrypoint", "error": repr(error), "recoverable": False})


def _is_ours(ctx: JobContext) -> bool:
    desk = desk_of(ctx)
    return desk is not None and bool(desk.header.epoch)


async def session_end(ctx: JobContext, function: Callable[[JobContext], Awaitable[None]] | None) -> None:
    """Run the application's `on_session_end`, also one that is no coroutine.

    Args:
        ctx: Of the job.
        function: What was registered; None if there is none.
    """
    if function is None:
        return
    answer: object = function(ctx)
    if not inspect.isawaitable(answer):
        return
    try:
        await answer
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        # It waited for an end that this job does not see; what comes after it in the job's shutdown is still to run.
        log.info("on_session_end was given up: the session goes on without this job")
