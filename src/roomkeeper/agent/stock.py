"""A session that is not kept: with a livekit-agents that Roomkeeper does not know, or beside the one that is kept."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from roomkeeper.agent.ending import GOODBYE, Ended, reason_of
from roomkeeper.lifecycle.reasons import Reason

if TYPE_CHECKING:
    from livekit.agents import AgentSession, JobContext

log = logging.getLogger("roomkeeper.agent")


class StockSession:
    """A session as livekit-agents has it; only its end is a little politer.

    Args:
        ctx: The job; None for a session that shares its job with the kept one.
        session: The session.
    """

    resumed = False
    session_id = ""
    metadata = ""

    def __init__(self, ctx: JobContext | None, session: AgentSession[Any]) -> None:
        self._ctx = ctx
        self._session = session
        self._over: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        session.on("close", self._closed)

    def end(
        self, reason: str = "completed", *, detail: str | None = None, data: object = None, goodbye: str | None = None
    ) -> None:
        """Say goodbye, close the session, delete the room unless people go on, and end the job."""
        ended = Ended(reason=reason_of(reason), detail=detail, data=data)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(ended, goodbye), name="end_session")

    async def ended(self) -> Ended:
        """Wait for the end."""
        return await asyncio.shield(self._over)

    async def _run(self, ended: Ended, goodbye: str | None) -> None:
        if goodbye:
            with contextlib.suppress(RuntimeError, TimeoutError):
                async with asyncio.timeout(GOODBYE):
                    await self._session.say(goodbye, allow_interruptions=False).wait_for_playout()
        self._settle(ended)
        self._session.shutdown(drain=goodbye is None)
        if self._ctx is None:
            return
        if ended.reason is not Reason.TRANSFERRED:
            await self._ctx.delete_room()
        self._ctx.shutdown(ended.detail or ended.reason)

    def _closed(self, _: object) -> None:
        self._settle(Ended(reason=Reason.COMPLETED))

    def _settle(self, ended: Ended) -> None:
        if not self._over.done():
            self._over.set_result(ended)
