"""An agent worker without an SDK: it registers, answers offers as the test wants, and runs nothing."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from livekit import api
from livekit.protocol import agent
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.conformance.support.server import Server

PATIENCE = 5.0

Answer = agent.AvailabilityResponse
JobType = agent.JobType
JobStatus = agent.JobStatus


def accept(job: agent.Job) -> Answer | None:
    """Take the job."""
    return Answer(job_id=job.id, available=True, participant_identity=f"agent-{job.id}", participant_name="Agent")


def decline(job: agent.Job) -> Answer | None:
    """Leave the job to others."""
    return Answer(job_id=job.id, available=False)


def be_silent(job: agent.Job) -> Answer | None:
    """Do not answer."""
    return None


@dataclass
class RawWorker:
    """A registered worker.

    Attributes:
        ws: Its WebSocket.
        answer: What it says to an offer.
        id: As the server calls it.
        offered: Jobs that it was asked about.
        assigned: Jobs that it was given and a test did not yet take.
        terminated: Ids of jobs it was told to end, likewise.
    """

    ws: ClientConnection
    answer: Callable[[agent.Job], Answer | None] = accept
    id: str = ""
    registered: agent.RegisterWorkerResponse = field(default_factory=agent.RegisterWorkerResponse)
    offered: list[agent.Job] = field(default_factory=list)
    assigned: asyncio.Queue[agent.JobAssignment] = field(default_factory=asyncio.Queue)
    terminated: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    pongs: asyncio.Queue[agent.WorkerPong] = field(default_factory=asyncio.Queue)
    _offer: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, **fields: Any) -> None:  # noqa: ANN401 - fields of WorkerMessage
        """Tell the server something."""
        await self.ws.send(agent.WorkerMessage(**fields).SerializeToString())

    async def register(self, agent_name: str, job_type: JobType, **fields: Any) -> None:  # noqa: ANN401
        """Register, and wait for the id."""
        request = agent.RegisterWorkerRequest(type=job_type, agent_name=agent_name, version="1", **fields)
        await self.send(register=request)
        async with asyncio.timeout(PATIENCE):
            frame = await self.ws.recv(decode=False)
        self.registered = agent.ServerMessage.FromString(frame).register
        self.id = self.registered.worker_id

    async def serve(self) -> None:
        """Answer the server until the connection ends."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                message = agent.ServerMessage.FromString(await self.ws.recv(decode=False))
                match message.WhichOneof("message"):
                    case "availability":
                        self.offered.append(message.availability.job)
                        self._offer.set()
                        if answer := self.answer(message.availability.job):
                            await self.send(availability=answer)
                    case "assignment":
                        self.assigned.put_nowait(message.assignment)
                    case "termination":
                        self.terminated.put_nowait(message.termination.job_id)
                    case "pong":
                        self.pongs.put_nowait(message.pong)
                    case _:
                        pass

    async def assignment(self, *, within: float = PATIENCE) -> agent.JobAssignment:
        """Wait for a job.

        Raises:
            AssertionError: None came; the message tells which were offered.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                return await self.assigned.get()
        raise AssertionError(f"no job within {within} s; offered: {[job.room.name for job in self.offered]}")

    async def offer(self) -> agent.Job:
        """Wait for the first offer of a job."""
        async with asyncio.timeout(PATIENCE):
            await self._offer.wait()
        return self.offered[0]

    async def termination(self, *, within: float = PATIENCE) -> str:
        """Wait until a job is to end, and return its id."""
        async with asyncio.timeout(within):
            return await self.terminated.get()

    async def report(self, job: agent.Job, status: JobStatus, error: str = "") -> None:
        """Tell how a job is going."""
        await self.send(update_job=agent.UpdateJobStatus(job_id=job.id, status=status, error=error))


def worker_token(server: Server) -> str:
    """The token of a worker."""
    grants = api.VideoGrants(agent=True)
    return api.AccessToken(server.key, server.secret).with_grants(grants).to_jwt()


@asynccontextmanager
async def worker(
    server: Server,
    agent_name: str = "",
    *,
    job_type: JobType = agent.JobType.JT_ROOM,
    answer: Callable[[agent.Job], Answer | None] = accept,
    load: float | None = None,
    **fields: Any,  # noqa: ANN401 - fields of RegisterWorkerRequest
) -> AsyncIterator[RawWorker]:
    """Run a worker that is registered.

    Args:
        server: To work for.
        agent_name: Of its agents; empty for every room that asks for nobody else.
        job_type: Which jobs it takes.
        answer: What it says to an offer.
        load: That it reports, of 1.0; None reports nothing.
        fields: Further ones of `RegisterWorkerRequest`.
    """
    headers = {"Authorization": f"Bearer {worker_token(server)}"}
    async with connect(f"{server.ws}/agent?protocol=1", additional_headers=headers, proxy=None) as ws:
        raw = RawWorker(ws, answer)
        await raw.register(agent_name, job_type, **fields)
        if load is not None:
            status = agent.UpdateWorkerStatus(status=agent.WorkerStatus.WS_AVAILABLE, load=load)
            await raw.send(update_worker=status)
        task = asyncio.create_task(raw.serve())
        try:
            yield raw
        finally:
            await ws.close()
            await task
