"""Carrying out what sessions ask for.

What is due is claimed, done and settled (`crew`). What comes of it is told to the session as an event, so that the core
never trusts that something worked. Every deed may be done twice: each is idempotent or names the one it is meant for.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, assert_never

from roomkeeper.control.crew import Crew
from roomkeeper.control.dispatching import Wanted
from roomkeeper.control.facts import seen
from roomkeeper.control.metrics import Metrics
from roomkeeper.control.room_api import NotDone, RoomApiFailed
from roomkeeper.lifecycle.actions import (
    AcceptJob,
    CancelTimer,
    CreateDispatch,
    DeleteRoom,
    EmitEvent,
    EndAgent,
    FenceJob,
    Ignored,
    LookAtRoom,
    MuteAgent,
    RemoveParticipant,
    SendReport,
    SetTimer,
    StopEgress,
    Warn,
    WriteRoomState,
)
from roomkeeper.lifecycle.events import (
    ControlStarted,
    DispatchAnswered,
    DispatchFailed,
    LookFailed,
    ParticipantRemoved,
    RoomFinished,
    TimerFired,
)
from roomkeeper.lifecycle.policy import Reuse
from roomkeeper.lifecycle.state import Standing, State, room_state
from roomkeeper.lifecycle.vocabulary import ParticipantKind

if TYPE_CHECKING:
    from collections.abc import Collection

    from roomkeeper.control.room_api import RoomApi
    from roomkeeper.control.store.outbox import Outbox, Task
    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.events import RoomSeen
    from roomkeeper.lifecycle.state import Session

logger = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds for one deed; each call of the room API in it is given 5."""
ABSENCE = 10_000
"""Milliseconds without a look at the outbox, and of a deed that nobody did, that mean that no control plane ran."""
AT_ONCE = 32
"""Deeds under way at the same time."""


class Agents(Protocol):
    """Where jobs are reached; see the agent link."""

    async def tell(self, session: Session, action: AcceptJob | FenceJob | MuteAgent | EndAgent | Warn) -> None:
        """Tell the job that the action is about, if its link is up somewhere."""


class Audience(Protocol):
    """Who hears of what happens: the stream, and the receivers of reports."""

    async def emit(self, session: Session, action: EmitEvent) -> None:
        """Tell the stream and its subscribers."""

    async def report(self, session: Session, revision: int) -> None:
        """Hand a revision of the report to every receiver."""


class Carrier:
    """Does what the outbox says.

    Args:
        store: The sessions.
        outbox: What they ask for.
        rooms: The LiveKit server.
        agents: Where jobs are reached.
        audience: Who hears of it.
        metrics: Count what was saved.
    """

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        rooms: RoomApi,
        agents: Agents,
        audience: Audience,
        metrics: Metrics | None = None,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._rooms = rooms
        self._agents = agents
        self._audience = audience
        self._metrics = metrics or Metrics()
        self._crew = Crew(self, self._carry_out, AT_ONCE)
        self._looked_at: int | None = None

    def wake(self) -> None:
        """Look at the outbox now: somebody has just told a session something."""
        self._crew.wake()

    async def run(self) -> None:
        """Carry out until cancelled; what is under way then is left to whoever claims it next."""
        await self._crew.run()

    async def carry_out_due(self) -> int:
        """Carry out what is due; returns how many deeds that were."""
        return await self._crew.once()

    async def claim(self, most: int) -> list[Task]:
        """Claim what is due; see `crew.Claimant`."""
        await self._notice_absence()
        return await self._outbox.claim(most)

    async def renew(self, deeds: Collection[Task]) -> None:
        """Hold on to what is under way."""
        await self._outbox.renew(deeds)

    async def due_in(self) -> float | None:
        """Return the seconds until something will be due."""
        return await self._outbox.due_in()

    async def _notice_absence(self) -> None:
        """Treat a process that was stopped, and that no other stood in for, like one that starts.

        A machine that was suspended wakes up with alarms that are due and with spools and webhooks that had no time to
        arrive.
        """
        now, looked_at = await self._store.now(), self._looked_at
        self._looked_at = now
        if looked_at is None or now - looked_at < ABSENCE:
            return
        due = await self._outbox.next_due()
        if due is None or now - due < ABSENCE:
            return
        logger.warning("the control plane was stopped", extra={"seconds": (now - looked_at) / 1000})
        for session in await self._store.unsettled():
            await self._store.tell(session.id, ControlStarted(at=0))

    async def _carry_out(self, task: Task) -> bool:
        try:
            async with asyncio.timeout(PATIENCE):
                with suppress(NotDone):  # a dry run: its session is told nothing, since nothing has changed
                    await self._do(task)
        except Exception as error:
            # One deed's fault must not stop the others; it is put back, and parked if it never succeeds.
            parked = await self._outbox.failed(task, str(error) or type(error).__name__)
            what = {"session": task.session, "deed": type(task.action).__name__, "error": str(error), "parked": parked}
            logger.warning("deed failed", extra=what, exc_info=not isinstance(error, RoomApiFailed))
            return False
        return not await self._outbox.settle(task)

    async def _do(self, task: Task) -> None:
        if isinstance(task.action, SetTimer):
            await self._tell(task.session, TimerFired(at=0, kind=task.action.kind))
            return
        session = await self._store.get(task.session)
        match task.action:
            case WriteRoomState():
                await self._write_state(session)
            case DeleteRoom(room=room, sid=sid):
                await self._delete(session, room, sid)
            case RemoveParticipant(identity=identity):
                await self._rooms.remove(session.room, identity)
                await self._tell(session.id, ParticipantRemoved(at=0, identity=identity))
            case CreateDispatch(epoch=epoch):
                await self._dispatch(session, epoch)
            case LookAtRoom():
                await self._look(session)
            case StopEgress(egress=egress):
                await self._rooms.stop_egress(egress)
            case AcceptJob() | FenceJob() | MuteAgent() | EndAgent() | Warn() as action:
                await self._agents.tell(session, action)
            case EmitEvent() as action:
                await self._audience.emit(session, action)
            case SendReport(revision=revision):
                await self._audience.report(session, revision)
            case CancelTimer() | Ignored():
                pass  # never in the outbox: the store carries them out itself
            case _:
                assert_never(task.action)

    async def _tell(
        self,
        session: str,
        event: TimerFired | RoomFinished | ParticipantRemoved | DispatchAnswered | DispatchFailed,
    ) -> None:
        await self._store.tell(session, event)
        self.wake()

    async def _write_state(self, session: Session) -> None:
        """Write what is current now, not what was when it was asked for.

        Whoever wrote looks again: a replica that was stopped between reading and writing, and lost its claim
        meanwhile, would otherwise leave an old state in the room.
        """
        while session.room_sid is not None:
            state = room_state(session, await self._store.now())
            await self._rooms.write_state(session.room, session.room_sid, state)
            written, session = session.seq, await self._store.get(session.id)
            if session.seq == written:
                return

    async def _delete(self, session: Session, room: str, sid: str | None) -> None:
        """Delete the session's room; whether it was still there or not, it is gone afterwards."""
        if session.state is State.ENDED:
            await self._write_state(session)
        deleted = await self._rooms.delete(room, sid=sid, session=session.id)
        if deleted is not None:
            agents = sum(person.kind is ParticipantKind.AGENT for person in session.participants)
            self._metrics.deleted(deleted, agents)
        if sid is not None:
            await self._tell(session.id, RoomFinished(at=0, sid=sid, told_by="deletion"))

    async def _dispatch(self, session: Session, epoch: int) -> None:
        if epoch not in {session.current, session.successor}:
            return  # a later epoch has been sent for meanwhile
        try:
            wanted = _wanted(session, epoch)
            dispatch = await self._rooms.dispatch(session.room, wanted, metadata=session.metadata)
        except RoomApiFailed as error:
            # The core repeats a dispatch that brought nobody, and gives up after the policy's time.
            await self._tell(session.id, DispatchFailed(at=0, epoch=epoch, error=error.detail))
            return
        await self._tell(session.id, DispatchAnswered(at=0, epoch=epoch, dispatch=dispatch))

    async def _look(self, session: Session) -> None:
        try:
            found = await self._rooms.look(session.room)
        except RoomApiFailed as error:
            await self._store.tell(session.id, LookFailed(at=0, error=error.detail))
        else:
            await self._store.tell_by(session.id, lambda now: (_of_its_own(now, found),))
        self.wake()


def _of_its_own(session: Session, found: RoomSeen) -> RoomSeen:
    """Return what a look means to a session: after its end, a room that others may make by its name is not its own."""
    others = session.state is State.ENDED and session.reuse is Reuse.AFTER_END and found.sid not in session.sids
    return seen(None, ()) if others else found


def _wanted(session: Session, epoch: int) -> Wanted:
    over = [each for each in session.epochs if each.standing in {Standing.OVER, Standing.FENCED}]
    names = {name for each in over for name in (each.job, each.identity) if name is not None}
    return Wanted(agent_name=session.agent_name, session=session.id, epoch=epoch, over=names)
