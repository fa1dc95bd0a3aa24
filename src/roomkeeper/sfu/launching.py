"""Jobs on their way: a dispatch's job is offered until a worker takes it or nobody needs it any more.

Strict, like the original: it is offered once.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Protocol

from livekit.protocol import agent, models

from roomkeeper.sfu.jobs import ENDED, Dispatch, DispatchedRoom, Job, Launch, is_dependent
from roomkeeper.sfu.workers import NoWorker
from roomkeeper.wire.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roomkeeper.sfu.worker import Worker
    from roomkeeper.sfu.workers import Workers

logger = logging.getLogger(__name__)


class Audience(Protocol):
    """The rooms, as launching sees them."""

    def list(self, names: Sequence[str]) -> Sequence[models.Room]:
        """Return the live rooms of these names."""

    def participants(self, room: str) -> Sequence[models.ParticipantInfo]:
        """Return who is in a room; nobody if it is not live."""


class Launcher:
    """Brings jobs to workers."""

    def __init__(
        self, workers: Workers, audience: Audience, *, retry_after: float, jobs_per_dispatch: int, strict: bool
    ) -> None:
        """Start with nothing on its way.

        Args:
            workers: who takes the jobs.
            audience: the rooms.
            retry_after: seconds until workers that were late are asked again.
            jobs_per_dispatch: how many jobs a dispatch remembers.
            strict: offer once.
        """
        self._workers = workers
        self._audience = audience
        self._retry_after = retry_after
        self._jobs_per_dispatch = jobs_per_dispatch
        self._strict = strict

    def launch(
        self,
        room: DispatchedRoom,
        dispatch: Dispatch,
        job_type: agent.JobType,
        participant: models.ParticipantInfo | None = None,
    ) -> None:
        """Send a job on its way: one to each namespace that has such workers, else one to the first who comes."""
        namespaces: Sequence[str | None] = self._workers.namespaces(dispatch.next_job(job_type, None))
        for namespace in namespaces or [None]:
            launch = Launch(dispatch, job_type, participant, namespace)
            task = asyncio.get_running_loop().create_task(self._place(room, launch))
            room.launches[launch] = task
            task.add_done_callback(partial(_launched, room, launch))

    def offer_again(self, room: DispatchedRoom, worker: Worker) -> None:
        """Offer what waits to a worker who has come or has room again."""
        for launch in room.launches:
            if launch.suits(worker):
                launch.passed_over.discard(worker.id)
                launch.wake.set()

    async def _place(self, room: DispatchedRoom, launch: Launch) -> None:
        while (job := self._next_job(launch)) is not None:
            launch.wake.clear()
            try:
                job.state.CopyFrom(await self._workers.assign(job, passed_over=launch.passed_over))
            except NoWorker as nobody:
                # Most agents are for rooms: that none is for a participant or a publisher is no news.
                level = logging.INFO if job.type == agent.JobType.JT_ROOM else logging.DEBUG
                logger.log(level, "no worker for a job", extra={"room": job.room.name, "agent_name": job.agent_name})
                if self._strict:
                    return
                await self._wait(launch, late=nobody.late)
            else:
                self._keep(room, launch.dispatch, Job(job, over=job.state.status in ENDED))
                return

    async def _wait(self, launch: Launch, *, late: bool) -> None:
        """Wait until an offer makes sense again."""
        try:
            async with asyncio.timeout(self._retry_after if late else None):
                await launch.wake.wait()
        except TimeoutError:
            launch.passed_over.clear()
        while launch.dispatch.automatic and not self._anybody_in(launch.dispatch.record.room):
            launch.wake.clear()
            await launch.wake.wait()

    def _anybody_in(self, room_name: str) -> bool:
        return any(not is_dependent(participant) for participant in self._audience.participants(room_name))

    def _next_job(self, launch: Launch) -> agent.Job | None:
        """Return the job with room and participant as they are now; None if the room is gone."""
        room = next(iter(self._audience.list([launch.dispatch.record.room])), None)
        if room is None:
            return None
        job = launch.dispatch.next_job(launch.job_type, launch.namespace)
        job.id = new_id("AJ_")
        job.room.CopyFrom(room)
        if launch.participant is not None:
            present = (p for p in self._audience.participants(room.name) if p.sid == launch.participant.sid)
            job.participant.CopyFrom(next(present, launch.participant))
        if launch.namespace is None:
            job.namespace = next(iter(self._workers.namespaces(job)), "")
        return job

    def _keep(self, room: DispatchedRoom, dispatch: Dispatch, job: Job) -> None:
        room.jobs[job.id] = job
        dispatch.jobs.append(job)
        if len(dispatch.jobs) > self._jobs_per_dispatch:
            oldest = next((each for each in dispatch.jobs if each.over), dispatch.jobs[0])
            dispatch.jobs.remove(oldest)
            del room.jobs[oldest.id]


def _launched(room: DispatchedRoom, launch: Launch, task: asyncio.Task[None]) -> None:
    room.launches.pop(launch, None)
    report_failure(task)


def report_failure(task: asyncio.Task[None]) -> None:
    """Log how a task of dispatching has failed, if it has."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("dispatching failed", exc_info=error)
