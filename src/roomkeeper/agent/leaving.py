"""How a job leaves, and what LiveKit's own ways to end mean.

An application may go on to end as it always did: `session.shutdown()`, `ctx.shutdown()`, `ctx.delete_room()`,
`ctx.room.disconnect()`, `EndCallTool`, an exception. Each becomes the one end with the reason that it stands for; what
the call does by itself is done by `roomkeeper.agent.ending`, in its order.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from livekit import api, rtc
from livekit.agents import CloseEvent, CloseReason

from roomkeeper.agent import internals
from roomkeeper.agent.ending import Ended, Ending
from roomkeeper.agent.silence import Why
from roomkeeper.lifecycle.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from roomkeeper.agent.stage import Stage

log = logging.getLogger("roomkeeper.agent")

_NO_REASON = {"", "user requested", *(reason.value for reason in CloseReason)}
"""Reasons of a shutdown that LiveKit fills in by itself."""


LAST_WORDS: Final = 0.4
"""Seconds that a session which is over waits for the user's last words to be understood: nothing is heard any more."""
GO: Final = 5.0
"""Seconds to leave the room; the process ends in any case."""


class Leaving:
    """The ways out of one job.

    Attributes:
        left: True once nothing of this job matters any more.
    """

    def __init__(self, stage: Stage) -> None:
        self.left = False
        self._stage = stage
        self._ending = Ending(stage, self)
        self._job_ends = False
        ctx = stage.ctx
        self._shutdown, self._delete_room, self._aclose = ctx.shutdown, ctx.delete_room, stage.session.aclose
        self._disconnect = ctx.room.disconnect

    @property
    def ending(self) -> Ending:
        """The end of the session."""
        return self._ending

    def attach(self) -> None:
        """Take the ways to end over; what is asked twice is done once."""
        ctx, session = self._stage.ctx, self._stage.session
        ctx.shutdown = self.shutdown  # type: ignore[method-assign]
        ctx.delete_room = self._asked_to_delete  # type: ignore[method-assign]
        ctx.room.disconnect = self.disconnect  # type: ignore[method-assign]
        session.aclose = self.aclose  # type: ignore[method-assign]
        session.on("close", self._closed)
        ctx.room.on("disconnected", self._disconnected)
        self._ending.attach()
        internals.guard_shutdown_callbacks(ctx)
        ctx.add_shutdown_callback(self._finish)

    def settle(self) -> None:
        """Write the last line: everything is said."""
        if not self.left:
            self.left = True
            self._stage.journal.close()
            self._stage.desk.done()

    def leave(self, why: str) -> None:
        """End the job."""
        self._shutdown(why)

    def delete_room(self) -> asyncio.Future[api.DeleteRoomResponse]:
        """Delete the room, as the application would have."""
        return self._delete_room()

    def failed(self, error: BaseException) -> None:
        """The entrypoint raised; a room that it could not join is this job's trouble, and another one is to try."""
        if isinstance(error, rtc.ConnectError) and not self._stage.room.isconnected():
            log.error("the room cannot be joined: leaving it to another agent", extra={"error": str(error)})
            self._stage.journal.write("room", {"event": "gave_up", "detail": str(error)})
            self._ending.forget()
            return
        self._ending.ask(
            Ended(reason=Reason.AGENT_FAILED, detail=type(error).__name__), because=f"the entrypoint raised {error!r}"
        )

    def fenced(self, why: str) -> None:
        """Another agent is in charge: not a word more."""
        if self.left:
            return
        log.warning("another agent is in charge: leaving", extra={"why": why})
        self.dismiss(Why.FENCED, why)

    def dismiss(self, silence: Why, why: str) -> None:
        """Fall silent at once and leave: the session goes on without this job."""
        stage = self._stage
        stage.silence.begin(silence)
        stage.silence.hush()
        stage.journal.dump_userdata()
        stage.journal.write("room", {"event": "leaving", "detail": why})
        self.settle()
        self._ending.forget()
        stage.spawn(self._go(why), "leave_room")

    async def _go(self, why: str) -> None:
        try:
            async with asyncio.timeout(GO):
                await self._disconnect()
        finally:
            self._shutdown(why)

    # LiveKit's own ways to end.

    def shutdown(self, reason: str = "user requested") -> None:
        """`ctx.shutdown()`: the agent is done; the job ends when the end is told."""
        if self.left:
            self._shutdown(reason)
        elif self._ending.decided is None:
            detail = None if reason in _NO_REASON else reason
            self._ending.ask(self._done(detail), because="ctx.shutdown()")

    def _asked_to_delete(self, room_name: str | None = None) -> asyncio.Future[api.DeleteRoomResponse]:
        """`ctx.delete_room()`: the agent is done; the control plane deletes the room after its linger."""
        if room_name not in {None, self._stage.room.name}:
            return self._delete_room(room_name)
        self._ending.ask(self._done(), because="ctx.delete_room()")
        answer: asyncio.Future[api.DeleteRoomResponse] = asyncio.get_running_loop().create_future()
        if self._ending.over.done():
            answer.set_result(api.DeleteRoomResponse())
        else:
            self._ending.over.add_done_callback(
                lambda _: None if answer.done() else answer.set_result(api.DeleteRoomResponse())
            )
        return answer

    def disconnect(self, **how: Any) -> Coroutine[Any, Any, None]:  # noqa: ANN401 - passed on as it is
        """`ctx.room.disconnect()`: said before it is done: servers terminate the job of an agent that has left."""
        if not self._job_ends and not internals.is_job_shutdown():
            self._ending.ask(self._leaves(), because="ctx.room.disconnect()")
        return self._disconnect(**how)

    def aclose(self) -> Coroutine[Any, Any, None]:
        """`session.aclose()`, of the application or of the end of the job."""
        over = self._ending.decided is not None
        if internals.is_job_shutdown():
            over = self._job_ends = True
            if self._ending.decided is None:
                self._ending.forget()
        if over:
            internals.close_soon(self._stage.session, LAST_WORDS)
        return self._aclose()

    def _closed(self, event: CloseEvent) -> None:
        """The AgentSession closed: by the application, by an error, or because the job ends."""
        if event.reason is CloseReason.ERROR:
            error = event.error.type if event.error is not None else None
            self._ending.ask(Ended(reason=Reason.MODEL_FAILED, detail=error), because="a model failed for good")
        elif not self._job_ends and event.reason is not CloseReason.JOB_SHUTDOWN:
            self._ending.ask(self._done(), because="the AgentSession was closed")

    def _disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        """The job's room is gone for it; anything but these two is a loss, after which the agent is replaced."""
        if reason == rtc.DisconnectReason.ROOM_DELETED:
            self._ending.ask(Ended(reason=Reason.ROOM_DELETED), because="the room was deleted")
        elif reason == rtc.DisconnectReason.CLIENT_INITIATED and not self._job_ends:
            self._ending.ask(self._leaves(), because="the agent left the room")
        elif not self._ending.decided:
            self._ending.forget()

    def _done(self, detail: str | None = None) -> Ended:
        """What an end without a reason means: people who stay together without the agent were transferred."""
        together = len(self._stage.counting()) > 1
        return Ended(reason=Reason.TRANSFERRED if together else Reason.COMPLETED, detail=detail)

    def _leaves(self) -> Ended:
        """What it means that the agent leaves by itself."""
        together = len(self._stage.company()) > 1
        return Ended(reason=Reason.TRANSFERRED if together else Reason.AGENT_LEFT)

    async def _finish(self) -> None:
        """The process is going: nothing that was decided may be left unsaid."""
        self._ending.settle()
