"""Agent dispatch: which agents a room asked for, and what became of their jobs.

Each dispatch of a room launches a job for the room (JT_ROOM), for each participant (JT_PARTICIPANT) and for each one
who publishes (JT_PUBLISHER); whoever registered for that kind gets it. A room that asks for nobody has one dispatch
without a name: any unnamed worker.

Better than the original, unless strict:
- a job that nobody takes waits, and is offered again when a worker registers or has room again (the original drops it),
  but a job that nobody asked for by name only while somebody is in the room;
- the records tell what became of a job: the worker's word, its lost connection, the agent's leaving (the original says
  RUNNING for ever);
- an agent that must reconnect in full keeps its job (the original terminates it);
- a worker that comes back keeps its jobs (the original forgets them).
A failed job is not launched again: that is for whoever asked for it.

Source: livekit-server `pkg/rtc/room.go` (agent dispatches), `pkg/agent/client.go`, `pkg/agent/worker.go`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from livekit.protocol import agent, agent_dispatch, models

from roomkeeper.errors import RoomkeeperError
from roomkeeper.sfu.jobs import ENDED, Dispatch, DispatchedRoom, Job, is_dependent
from roomkeeper.sfu.launching import Audience, Launcher, report_failure
from roomkeeper.sfu.limits import LimitExceeded, Limits
from roomkeeper.sfu.worker import deployment_problem
from roomkeeper.wire.ids import new_id

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from roomkeeper.sfu.worker import Worker
    from roomkeeper.sfu.workers import Workers

logger = logging.getLogger(__name__)

LEAVE_WINDOW: Final = 3.0
"""Seconds a terminated agent has to leave before it is removed."""

RETURN_WINDOW: Final = 10.0
"""Seconds an agent has to come back when it must reconnect in full."""

RETRY_AFTER: Final = 5.0
"""Seconds until a job is offered again to workers that did not answer in time."""

_COMES_BACK: Final = (models.DisconnectReason.DUPLICATE_IDENTITY, models.DisconnectReason.STATE_MISMATCH)


class UnknownRoom(RoomkeeperError):
    """No such room is live; create it, or wait until somebody joins."""


class UnknownDispatch(RoomkeeperError):
    """The room has no such dispatch; list the dispatches to see which it has."""


class InvalidDispatch(RoomkeeperError):
    """The dispatch cannot be made like this."""


class DispatchHost(Audience, Protocol):
    """The rooms, as dispatching sees them."""

    def remove(self, room: str, identity: str) -> None:
        """Remove a participant who is in a room."""


class Dispatches:
    """The dispatches of all rooms; the `WorkerObserver` of the workers."""

    def __init__(
        self,
        workers: Workers,
        host: DispatchHost,
        *,
        limits: Limits | None = None,
        strict: bool = False,
        leave_window: float = LEAVE_WINDOW,
        return_window: float = RETURN_WINDOW,
        retry_after: float = RETRY_AFTER,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Start with none, and observe the workers.

        Args:
            workers: who takes the jobs.
            host: the rooms.
            limits: sizes of what a dispatch holds, and how many jobs are remembered.
            strict: behave like the original in everything.
            leave_window: seconds a terminated agent has to leave.
            return_window: seconds an agent has to reconnect in full.
            retry_after: seconds until workers that were late are asked again.
            clock: unix seconds.
        """
        self._workers = workers
        self._host = host
        self._limits = limits or Limits()
        self._strict = strict
        self._leave_window = leave_window
        self._return_window = return_window
        self._clock = clock
        self._launcher = Launcher(
            workers, host, retry_after=retry_after, jobs_per_dispatch=self._limits.jobs_per_dispatch, strict=strict
        )
        self._rooms: dict[str, DispatchedRoom] = {}
        workers.observer = self

    # --- what the rooms tell ------------------------------------------------------------------------------------

    def room_opened(self, room: models.Room, agents: Sequence[agent_dispatch.RoomAgentDispatch]) -> None:
        """Make the dispatches of a new room and launch its jobs.

        Args:
            room: the room.
            agents: whom it asks for; nobody means any unnamed agent.
        """
        opened = self._rooms[room.name] = DispatchedRoom()
        for wanted in agents or [agent_dispatch.RoomAgentDispatch()]:
            if len(opened.dispatches) >= self._limits.dispatches_per_room:
                logger.warning("dispatches of a room left out", extra={"room": room.name, "asked": len(agents)})
                break
            if problem := deployment_problem(wanted.deployment):
                logger.warning("dispatch of a room left out", extra={"room": room.name, "why": problem})
            else:
                dispatch = self._add(opened, room.name, wanted, automatic=not wanted.agent_name)
                self._launcher.launch(opened, dispatch, agent.JobType.JT_ROOM)

    def participant_joined(self, room: models.Room, participant: models.ParticipantInfo) -> None:
        """Launch the jobs for a participant who has joined, and those that waited for anybody to come."""
        opened = self._rooms.get(room.name)
        if opened is not None and not is_dependent(participant):
            for launch in opened.launches:
                launch.wake.set()
        self._launch_for(room.name, participant, agent.JobType.JT_PARTICIPANT)

    def track_published(self, room: models.Room, participant: models.ParticipantInfo) -> None:
        """Launch the jobs for a participant who has published the first track."""
        self._launch_for(room.name, participant, agent.JobType.JT_PUBLISHER)

    def participant_left(self, room_name: str, participant: models.ParticipantInfo) -> None:
        """Call off what is on its way to a participant who has left; end the job of an agent who has."""
        room = self._rooms.get(room_name)
        if room is None:
            return
        for launch, task in room.launches.items():
            if launch.participant is not None and launch.participant.sid == participant.sid:
                task.cancel()
        if not is_dependent(participant):
            return
        comes_back = participant.disconnect_reason in _COMES_BACK and not self._strict
        for job in room.jobs.values():
            if job.identity == participant.identity and not job.left.is_set():
                if comes_back:
                    self._spawn(room, self._await_return(room_name, job))
                else:
                    self._agent_left(job)

    def room_closed(self, room_name: str) -> None:
        """Forget a room's dispatches and end their jobs."""
        room = self._rooms.pop(room_name, None)
        if room is None:
            return
        for task in (*room.launches.values(), *room.tasks):
            task.cancel()
        for job in room.jobs.values():
            self._agent_left(job)

    # --- what the API asks --------------------------------------------------------------------------------------

    def create(self, request: agent_dispatch.CreateAgentDispatchRequest) -> agent_dispatch.AgentDispatch:
        """Add a dispatch to a live room and launch its jobs.

        Raises:
            UnknownRoom: the room is not live.
            InvalidDispatch: the deployment's name cannot be.
            LimitExceeded: metadata or attributes are too large, or the room has too many dispatches.
        """
        self.check(request)
        room = self._of(request.room)
        if len(room.dispatches) >= self._limits.dispatches_per_room:
            raise LimitExceeded(f"dispatches exceed limits: max {self._limits.dispatches_per_room} a room")
        dispatch = self._add(room, request.room, request)
        self._launcher.launch(room, dispatch, agent.JobType.JT_ROOM)
        for participant in self._host.participants(request.room):
            # Whoever is not ACTIVE yet is still to be announced by `participant_joined`.
            if participant.state == models.ParticipantInfo.ACTIVE and not is_dependent(participant):
                if participant.is_publisher:
                    self._launcher.launch(room, dispatch, agent.JobType.JT_PUBLISHER, participant)
                self._launcher.launch(room, dispatch, agent.JobType.JT_PARTICIPANT, participant)
        return dispatch.describe()

    def check(self, request: agent_dispatch.CreateAgentDispatchRequest) -> None:
        """Check a dispatch before its room is made for it.

        Raises:
            InvalidDispatch: the deployment's name cannot be.
            LimitExceeded: metadata or attributes are too large.
        """
        if problem := deployment_problem(request.deployment):
            raise InvalidDispatch(problem)
        self._limits.check_metadata(request.metadata)
        self._limits.check_attributes(request.attributes)

    def delete(self, room_name: str, dispatch_id: str) -> agent_dispatch.AgentDispatch:
        """Take a dispatch away; its agents are told to end and, after 3 s, removed.

        Raises:
            UnknownRoom: the room is not live.
            UnknownDispatch: it has no such dispatch.
        """
        room = self._of(room_name)
        dispatch = room.dispatches.pop(dispatch_id, None)
        if dispatch is None:
            raise UnknownDispatch(f"Dispatch {dispatch_id!r} in room {room_name!r}.")
        for launch, task in room.launches.items():
            if launch.dispatch is dispatch:
                task.cancel()
        for job in dispatch.jobs:
            if not job.over:
                self._workers.terminate(job.worker_id, job.id)
                self._note(job, agent.JobStatus.JS_SUCCESS, "")
                self._spawn(room, self._remove_agent(room, room_name, job))
            else:
                room.jobs.pop(job.id, None)
        if not self._strict:
            dispatch.record.state.deleted_at = self._nanoseconds()
        return dispatch.describe()

    def list(self, room_name: str, dispatch_id: str = "") -> builtins.list[agent_dispatch.AgentDispatch]:
        """Return the dispatches of a room, or the one of that id.

        Raises:
            UnknownRoom: the room is not live.
        """
        dispatches = self._of(room_name).dispatches
        return [dispatch.describe() for key, dispatch in dispatches.items() if dispatch_id in ("", key)]

    async def close(self) -> None:
        """End everything that is being done."""
        tasks = [task for room in self._rooms.values() for task in (*room.launches.values(), *room.tasks)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what the workers tell (WorkerObserver) -----------------------------------------------------------------

    def worker_ready(self, worker: Worker) -> None:
        """Offer what waits to a worker who has come or has room again."""
        for room in self._rooms.values():
            self._launcher.offer_again(room, worker)

    def worker_gone(self, worker: Worker) -> None:
        """Note that the jobs of a worker are lost."""
        for room in self._rooms.values():
            for launch in room.launches:
                launch.passed_over.discard(worker.id)
            for job in room.jobs.values():
                if job.worker_id == worker.id and not job.over:
                    job.lost = True
                    self._note(job, agent.JobStatus.JS_FAILED, "the connection to the agent's worker was lost")

    def job_reported(self, worker: Worker, update: agent.UpdateJobStatus) -> None:
        """Note what a worker says of its job; its word counts more than what was concluded before."""
        job = self._find(update.job_id)
        if job is None or job.worker_id != worker.id:
            return
        if update.status in ENDED or not job.over:
            failed = update.status == agent.JobStatus.JS_FAILED
            self._note(job, update.status, update.error or ("the agent's job failed" if failed else ""))

    def jobs_kept(self, worker: Worker, job_ids: Sequence[str]) -> None:
        """Note that jobs still run whose worker has connected again, before or after its old connection was lost."""
        for job in filter(None, map(self._find, job_ids)):
            if (job.over and not job.lost) or job.record.agent_name != worker.skill.agent_name:
                continue
            job.lost = False
            job.record.state.worker_id = worker.id
            if job.left.is_set():
                self._workers.terminate(worker.id, job.id)
            else:
                self._note(job, agent.JobStatus.JS_RUNNING, "")

    # --- launching ----------------------------------------------------------------------------------------------

    def _add(
        self,
        room: DispatchedRoom,
        room_name: str,
        wanted: agent_dispatch.RoomAgentDispatch | agent_dispatch.CreateAgentDispatchRequest,
        *,
        automatic: bool = False,
    ) -> Dispatch:
        record = agent_dispatch.AgentDispatch(
            id=new_id("AD_"),
            room=room_name,
            agent_name=wanted.agent_name,
            metadata=wanted.metadata,
            restart_policy=wanted.restart_policy,
            deployment=wanted.deployment,
            attributes=dict(wanted.attributes),
            state=agent_dispatch.AgentDispatchState(created_at=self._nanoseconds()),
        )
        dispatch = room.dispatches[record.id] = Dispatch(record, automatic=automatic)
        return dispatch

    def _launch_for(self, room_name: str, participant: models.ParticipantInfo, job_type: agent.JobType) -> None:
        room = self._rooms.get(room_name)
        if room is not None and not is_dependent(participant):
            for dispatch in room.dispatches.values():
                self._launcher.launch(room, dispatch, job_type, participant)

    # --- ending -------------------------------------------------------------------------------------------------

    def _agent_left(self, job: Job) -> None:
        job.left.set()
        if not job.over:
            self._workers.terminate(job.worker_id, job.id)
            self._note(job, agent.JobStatus.JS_FAILED, "agent worker left the room")

    async def _await_return(self, room_name: str, job: Job) -> None:
        await asyncio.sleep(self._return_window)
        if not self._present(room_name, job):
            self._agent_left(job)

    async def _remove_agent(self, room: DispatchedRoom, room_name: str, job: Job) -> None:
        """Remove an agent that was told to end, if it does not leave by itself, and forget its job."""
        try:
            async with asyncio.timeout(self._leave_window):
                await job.left.wait()
        except TimeoutError:
            if self._present(room_name, job):
                self._host.remove(room_name, job.identity)
        room.jobs.pop(job.id, None)

    def _present(self, room_name: str, job: Job) -> bool:
        return any(participant.identity == job.identity for participant in self._host.participants(room_name))

    def _note(self, job: Job, status: agent.JobStatus, error: str) -> None:
        """Write down how a job is; strict: its record stays as it was when the job was assigned."""
        job.over = status in ENDED
        if self._strict:
            return
        state, now = job.record.state, self._nanoseconds()
        state.status, state.error, state.updated_at = status, error, now
        state.ended_at = (state.ended_at or now) if job.over else 0

    # --- helpers ------------------------------------------------------------------------------------------------

    def _of(self, room_name: str) -> DispatchedRoom:
        room = self._rooms.get(room_name)
        if room is None:
            raise UnknownRoom(f"Room {room_name!r}.")
        return room

    def _find(self, job_id: str) -> Job | None:
        return next((room.jobs[job_id] for room in self._rooms.values() if job_id in room.jobs), None)

    def _spawn(self, room: DispatchedRoom, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        room.tasks.add(task)
        task.add_done_callback(partial(_done, room))

    def _nanoseconds(self) -> int:
        return int(self._clock() * 1e9)


def _done(room: DispatchedRoom, task: asyncio.Task[None]) -> None:
    room.tasks.discard(task)
    report_failure(task)
