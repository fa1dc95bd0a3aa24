"""A real server on loopback for the test of one endpoint, and a worker that speaks the agent protocol to it."""

from __future__ import annotations

import asyncio
import datetime as dt
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import uvicorn
import websockets
from livekit import api
from livekit.protocol import agent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.types import ASGIApp

KEYS = {
    "first": "a-first-secret-that-is-long-enough-for-anyone",
    "other": "another-secret-that-is-long-enough-for-anyone",
}


def token(grants: api.VideoGrants, *, key: str = "other", ttl: float = 60.0) -> str:
    return api.AccessToken(key, KEYS[key]).with_grants(grants).with_ttl(dt.timedelta(seconds=ttl)).to_jwt()


@asynccontextmanager
async def serving(app: ASGIApp, port: int = 0) -> AsyncIterator[str]:
    """Serve an application, by default on a free port; yields `127.0.0.1:PORT`."""
    config = uvicorn.Config(
        app, port=port, log_config=None, lifespan="off", ws="websockets-sansio", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0)
    try:
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        yield f"{host}:{port}"
    finally:
        server.should_exit = True
        await task


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that has no event of its own; the test's timeout bounds it."""
    while not condition():
        await asyncio.sleep(0.001)


class TestWorker:
    """A worker connection that answers offers as it is told and keeps all it was sent."""

    __test__ = False

    def __init__(self, connection: websockets.ClientConnection) -> None:
        self.connection = connection
        self.answer: Callable[[agent.Job], agent.AvailabilityResponse | None] = accept
        self.registered: asyncio.Future[agent.RegisterWorkerResponse] = asyncio.Future()
        self.offers: asyncio.Queue[agent.Job] = asyncio.Queue()
        self.assignments: asyncio.Queue[agent.JobAssignment] = asyncio.Queue()
        self.terminations: asyncio.Queue[str] = asyncio.Queue()
        self.pongs: asyncio.Queue[agent.WorkerPong] = asyncio.Queue()

    async def send(self, **message: object) -> None:
        await self.connection.send(agent.WorkerMessage(**message).SerializeToString())  # type: ignore[arg-type]

    async def report(self, job_id: str, status: agent.JobStatus, error: str = "") -> None:
        await self.send(update_job=agent.UpdateJobStatus(job_id=job_id, status=status, error=error))
        await self.settle()

    async def load(self, load: float, status: agent.WorkerStatus = agent.WorkerStatus.WS_AVAILABLE) -> None:
        await self.send(update_worker=agent.UpdateWorkerStatus(load=load, status=status))
        await self.settle()

    async def settle(self) -> None:
        """Wait until the server has taken everything sent so far: it answers in order."""
        await self.send(ping=agent.WorkerPing(timestamp=7))
        await self.pongs.get()

    async def read(self) -> None:
        async for frame in self.connection:
            assert isinstance(frame, bytes)
            message = agent.ServerMessage.FromString(frame)
            match message.WhichOneof("message"):
                case "register":
                    self.registered.set_result(message.register)
                case "availability":
                    self.offers.put_nowait(message.availability.job)
                    answer = self.answer(message.availability.job)
                    if answer is not None:
                        answer.job_id = message.availability.job.id
                        await self.send(availability=answer)
                case "assignment":
                    self.assignments.put_nowait(message.assignment)
                case "termination":
                    self.terminations.put_nowait(message.termination.job_id)
                case "pong":
                    self.pongs.put_nowait(message.pong)
                case other:
                    raise AssertionError(other)


def accept(job: agent.Job) -> agent.AvailabilityResponse | None:
    return agent.AvailabilityResponse(available=True, participant_identity=f"agent-{job.id}")


def decline(job: agent.Job) -> agent.AvailabilityResponse | None:
    return agent.AvailabilityResponse(available=False)


def ignore(job: agent.Job) -> agent.AvailabilityResponse | None:
    return None


@asynccontextmanager
async def worker(
    address: str, request: agent.RegisterWorkerRequest | None = None, *, key: str = "other"
) -> AsyncIterator[TestWorker]:
    """Connect and register a worker; leaves by an abrupt end of its connection."""
    headers = {"Authorization": f"Bearer {token(api.VideoGrants(agent=True), key=key)}"}
    connection = await websockets.connect(f"ws://{address}/agent", additional_headers=headers)
    client = TestWorker(connection)
    reading = asyncio.create_task(client.read())
    try:
        await client.send(register=request or agent.RegisterWorkerRequest())
        await client.registered
        yield client
    finally:
        connection.transport.abort()
        await connection.wait_closed()
        await asyncio.gather(reading, return_exceptions=True)
