"""What to do about the dispatches a room has when an agent is to be sent. Pure.

1. A dispatch that no worker took is replaced: livekit-server drops one that finds no worker, without a word, and a
   worker that registers later does not get it.
2. A dispatch that a worker took is left, as long as that can be believed. livekit-server's records say RUNNING for
   ever, also of a dead worker's job; so a job is believed for as long as a process needs to start and join, and never
   if the session knows that its time is over.
3. The room's own dispatch (from a token's or a room's configuration) carries no epoch. It is one like ours.
4. A dispatch for an earlier epoch that nobody took would bring an agent that is fenced at once: it is dropped.
5. Ages are taken from LiveKit's clock against ours. Where the two differ by more than these times nothing is believed,
   so that a wrong clock costs a second job (which is fenced, epochs being compared and set), never a session its agent.

Source: livekit-server `pkg/rtc/room.go` (launchRoomAgents, handleNewJobs, DeleteAgentDispatch).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from livekit.protocol import agent

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from livekit.protocol.agent_dispatch import AgentDispatch

EPOCH: Final = "roomkeeper.epoch"
SESSION: Final = "roomkeeper.session"
"""Attributes of a job that we dispatched."""

ANSWERED_WITHIN: Final = 3.0
"""Seconds in which a worker takes a job or does not (the answer window of livekit-server): until then, wait."""
JOINS_WITHIN: Final = 15.0
"""Seconds from the assignment of a job to its agent's joining: ten for the process, the rest for the network."""

_GOING: Final = (agent.JobStatus.JS_PENDING, agent.JobStatus.JS_RUNNING)
_NANO: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """An agent that is to come.

    Attributes:
        session: `S_…`.
        over: Jobs and identities of agents whose time in this session is over.
    """

    agent_name: str
    session: str
    epoch: int
    over: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    Attributes:
        keep: The dispatch that will bring the agent; None: make one.
        drop: Dispatches to take away first.
        metadata: What the application gave the first dispatch of this agent, to be passed on unchanged.
    """

    keep: str | None
    drop: tuple[str, ...]
    metadata: str


def plan(listed: Iterable[AgentDispatch], wanted: Wanted, now: float) -> Plan:
    """Decide what to do about the dispatches of a room.

    Args:
        listed: All of the room's, as `ListDispatch` answers.
        wanted: Which agent is to come.
        now: Unix seconds.
    """
    ours = [each for each in listed if each.agent_name == wanted.agent_name and not each.state.deleted_at]
    ours = [each for each in ours if each.attributes.get(SESSION, wanted.session) == wanted.session]
    ours.sort(key=lambda each: each.state.created_at)
    coming = [each for each in ours if _may_still_come(each, wanted, now)]
    keep = coming[-1].id if coming else None
    return Plan(
        keep=keep,
        drop=tuple(each.id for each in ours if each.id != keep and not _taken(each)),
        metadata=next((each.metadata for each in ours if each.metadata), ""),
    )


def _may_still_come(dispatch: AgentDispatch, wanted: Wanted, now: float) -> bool:
    """Say whether a dispatch is the one wanted, and may yet bring its agent."""
    if dispatch.attributes.get(EPOCH, str(wanted.epoch)) != str(wanted.epoch):
        return False
    if not _taken(dispatch):
        return _age(dispatch.state.created_at, now) < ANSWERED_WITHIN
    return any(_is_starting(job, wanted, now) for job in dispatch.state.jobs)


def _taken(dispatch: AgentDispatch) -> bool:
    """Say whether a worker ever took it; taking it away would end that worker's job."""
    return any(job.state.worker_id or job.state.status == agent.JobStatus.JS_RUNNING for job in dispatch.state.jobs)


def _is_starting(job: agent.Job, wanted: Wanted, now: float) -> bool:
    if job.state.status not in _GOING or {job.id, job.state.participant_identity} & set(wanted.over):
        return False
    return _age(job.state.started_at or job.state.updated_at, now) < JOINS_WITHIN


def _age(since: int, now: float) -> float:
    """Return seconds since a time in nanoseconds, whichever clock is ahead."""
    return abs(now - since / _NANO)
