"""What runs in a job around the application's own callbacks, where `roomkeeper.wrap` put it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from livekit.agents import JobContext


async def entrypoint(ctx: JobContext, function: Callable[[JobContext], Awaitable[None]]) -> None:
    """Run the application's entrypoint.

    Args:
        ctx: Of the job; its desk is known by now.
        function: What was registered with `rtc_session`.
    """
    await function(ctx)


async def session_end(ctx: JobContext, function: Callable[[JobContext], Awaitable[None]] | None) -> None:
    """Run the application's `on_session_end`.

    Args:
        ctx: Of the job.
        function: What was registered; None if there is none.
    """
    if function is not None:
        await function(ctx)
