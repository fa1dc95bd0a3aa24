"""The records of agent dispatch: dispatches, their jobs, and jobs on their way to a worker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from livekit.protocol import agent, agent_dispatch, models

if TYPE_CHECKING:
    from roomkeeper.sfu.worker import Worker

ENDED: Final = (agent.JobStatus.JS_SUCCESS, agent.JobStatus.JS_FAILED, agent.JobStatus.JS_CANCELLED)
_DEPENDENT_KINDS: Final = (models.ParticipantInfo.AGENT, models.ParticipantInfo.EGRESS)


@dataclass(eq=False, slots=True)
class Job:
    """A job that a worker has.

    Attributes:
        record: what the API shows.
        over: it has ended, whatever the record says.
        lost: its worker's connection is lost; the worker may come back with it.
        left: set when its agent has left the room.
    """

    record: agent.Job
    over: bool = False
    lost: bool = False
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def id(self) -> str:
        """The id, `AJ_…`."""
        return self.record.id

    @property
    def worker_id(self) -> str:
        """Who has it."""
        return self.record.state.worker_id

    @property
    def identity(self) -> str:
        """Who it is in the room; empty if it is nobody."""
        return self.record.state.participant_identity


@dataclass(eq=False, slots=True)
class Dispatch:
    """A dispatch of a room.

    Attributes:
        record: what the API shows, without the jobs.
        automatic: nobody asked for it by name: it is for whoever is in the room, and for nobody else.
    """

    record: agent_dispatch.AgentDispatch
    automatic: bool = False
    jobs: list[Job] = field(default_factory=list)

    def describe(self) -> agent_dispatch.AgentDispatch:
        """Return the dispatch with its jobs, as the API shows it."""
        described = agent_dispatch.AgentDispatch()
        described.CopyFrom(self.record)
        described.state.jobs.extend(job.record for job in self.jobs)
        return described

    def next_job(self, job_type: agent.JobType, namespace: str | None) -> agent.Job:
        """Return a job of this dispatch, still without id, room and participant."""
        return agent.Job(
            dispatch_id=self.record.id,
            type=job_type,
            namespace=namespace or "",
            agent_name=self.record.agent_name,
            metadata=self.record.metadata,
            deployment=self.record.deployment,
            attributes=dict(self.record.attributes),
        )


@dataclass(eq=False, slots=True)
class Launch:
    """A job on its way to a worker, however long that takes.

    Attributes:
        participant: whom it is for, unless for the room.
        namespace: the workers' namespace; None is that of the first who comes.
        passed_over: ids of workers that have declined it.
        wake: set when it should be offered again.
    """

    dispatch: Dispatch
    job_type: agent.JobType
    participant: models.ParticipantInfo | None
    namespace: str | None
    passed_over: set[str] = field(default_factory=set)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def suits(self, worker: Worker) -> bool:
        """Tell whether a worker is of the kind that this waits for."""
        job = self.dispatch.next_job(self.job_type, self.namespace)
        return worker.takes(job, any_namespace=self.namespace is None)


@dataclass(eq=False, slots=True)
class DispatchedRoom:
    """A live room: its dispatches, its jobs (also of deleted dispatches), and what is being done for it."""

    dispatches: dict[str, Dispatch] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    launches: dict[Launch, asyncio.Task[None]] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


def is_dependent(participant: models.ParticipantInfo) -> bool:
    """Tell whether a participant is an agent or a recorder: no jobs are launched for those."""
    permission = participant.permission
    return participant.kind in _DEPENDENT_KINDS or permission.agent or permission.recorder
