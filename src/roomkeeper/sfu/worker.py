"""One agent worker as it registered: its load, its open offers. No I/O but a function to send by.

Source: livekit-server `pkg/agent/worker.go`.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from livekit.protocol import agent, models

from roomkeeper.errors import RoomkeeperError
from roomkeeper.wire.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPLOYMENT: Final = 64
"""Bytes of a deployment's name (livekit/protocol `agent/environment.go`)."""


_DELETE: Final = 0x7F


class InvalidRegistration(RoomkeeperError):
    """A worker cannot be registered like this; correct its job type or deployment."""


class WorkerGone(RoomkeeperError):
    """The worker's connection ended before it answered."""


@dataclass(frozen=True, slots=True)
class Skill:
    """Which jobs a worker takes: every part must be equal."""

    agent_name: str
    job_type: agent.JobType
    namespace: str = ""
    deployment: str = ""


class Worker:
    """A registered worker."""

    def __init__(
        self, request: agent.RegisterWorkerRequest, *, api_key: str, send: Callable[[agent.ServerMessage], None]
    ) -> None:
        """Take what the worker registered with.

        Args:
            request: the worker's registration.
            api_key: the key of the token it came with; its jobs' tokens are signed with it.
            send: queues a message to the worker, never waits.

        Raises:
            InvalidRegistration: unknown job type or unusable deployment.
        """
        if request.type not in agent.JobType.values():
            raise InvalidRegistration(f"Unknown job type {request.type}.")
        if problem := deployment_problem(request.deployment):
            raise InvalidRegistration(problem)
        self.id = new_id("AW_")
        self.api_key = api_key
        self.skill = Skill(request.agent_name, request.type, request.namespace, request.deployment)
        self.version = request.version
        self.permission = models.ParticipantPermission(
            can_subscribe=True, can_publish=True, can_publish_data=True, can_update_metadata=True
        )
        if request.HasField("allowed_permissions"):
            self.permission.CopyFrom(request.allowed_permissions)
        self.available = True
        self.load = 0.0
        self.send = send
        self._offers: dict[str, asyncio.Future[agent.AvailabilityResponse]] = {}

    def takes(self, job: agent.Job, *, any_namespace: bool = False) -> bool:
        """Tell whether a job is of this worker's kind."""
        wanted = Skill(job.agent_name, job.type, job.namespace, job.deployment)
        return self.skill == (replace(wanted, namespace=self.skill.namespace) if any_namespace else wanted)

    async def offer(self, job: agent.Job, *, within: float) -> agent.AvailabilityResponse:
        """Offer a job and return the answer.

        Raises:
            TimeoutError: none came within so many seconds; a later one is ignored.
            WorkerGone: the connection ended.
        """
        answer: asyncio.Future[agent.AvailabilityResponse] = asyncio.get_running_loop().create_future()
        self._offers[job.id] = answer
        self.send(agent.ServerMessage(availability=agent.AvailabilityRequest(job=job)))
        try:
            async with asyncio.timeout(within):
                return await answer
        finally:
            self._offers.pop(job.id, None)

    def answer(self, response: agent.AvailabilityResponse) -> bool:
        """Take the answer to an offer; False if there is none such (any more)."""
        offer = self._offers.pop(response.job_id, None)
        if offer is None or offer.done():
            return False
        offer.set_result(response)
        return True

    def update(self, update: agent.UpdateWorkerStatus) -> bool:
        """Take a report of status and load; True if it makes the worker available again."""
        before = self.available
        if update.HasField("status"):
            self.available = update.status == agent.WorkerStatus.WS_AVAILABLE
        if update.draining:
            self.available = False
        self.load = update.load if math.isfinite(update.load) else 1.0
        return self.available and not before

    def gone(self) -> None:
        """Fail the open offers: the connection ended."""
        self.available = False
        for offer in self._offers.values():
            if not offer.done():
                offer.set_exception(WorkerGone())


def deployment_problem(deployment: str) -> str:
    """Say what is wrong with the name of a deployment, or nothing."""
    raw = deployment.encode()
    if len(raw) > MAX_DEPLOYMENT:
        return f"deployment exceeds {MAX_DEPLOYMENT} bytes"
    if b"_" in raw:
        return "deployment contains reserved character '_'"
    if any(byte <= ord(" ") or byte == _DELETE for byte in raw):
        return "deployment contains whitespace or a control character"
    return ""
