"""Agent workers: who is registered, who takes the next job.

A worker connects to `/agent` with a token that has the `agent` grant, registers within 10 s, and reports its load. A
job is offered to one worker after the other until one accepts it; that one gets the assignment with a token for the
room. What becomes of a job afterwards is for `dispatch.py` to know, as the `WorkerObserver`.

Sources: livekit-server `pkg/agent/worker.go`, `pkg/service/agentservice.go`; livekit-agents `worker.py`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Final, Protocol

from livekit.protocol import agent, models
from starlette.responses import PlainTextResponse

from roomkeeper.errors import InvalidToken, RoomkeeperError
from roomkeeper.sfu.access import presented_token
from roomkeeper.sfu.limits import Limits
from roomkeeper.sfu.worker import InvalidRegistration, Worker, WorkerGone
from roomkeeper.sfu.worker_link import Misuse, WorkerLink
from roomkeeper.wire import tokens
from roomkeeper.wire.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.websockets import WebSocket

    from roomkeeper.wire.claims import Claims

logger = logging.getLogger(__name__)

REGISTER_WINDOW: Final = 10.0
"""Seconds from connecting to RegisterWorker."""

ANSWER_WINDOW: Final = 3.0
"""Seconds a worker has to answer an offer (psrpc's default request timeout)."""

TARGET_LOAD: Final = 0.7
"""Workers above it get jobs only when all are."""


class NoWorker(RoomkeeperError):
    """No registered worker takes the job; start one, or look at the load of those there are."""

    def __init__(self, *, late: bool) -> None:
        super().__init__("One did not answer in time." if late else "")
        self.late = late


class WorkerObserver(Protocol):
    """Who wants to know what workers do."""

    def worker_ready(self, worker: Worker) -> None:
        """Take note: a worker has registered or is available again."""

    def worker_gone(self, worker: Worker) -> None:
        """Take note: a worker's connection has ended."""

    def job_reported(self, worker: Worker, update: agent.UpdateJobStatus) -> None:
        """Take note: a worker said how a job of its is."""

    def jobs_kept(self, worker: Worker, job_ids: Sequence[str]) -> None:
        """Take note: a worker has come back (MigrateJob) and still runs these jobs."""


class _Nobody:
    """The observer of a server without dispatches."""

    def worker_ready(self, worker: Worker) -> None: ...

    def worker_gone(self, worker: Worker) -> None: ...

    def job_reported(self, worker: Worker, update: agent.UpdateJobStatus) -> None: ...

    def jobs_kept(self, worker: Worker, job_ids: Sequence[str]) -> None: ...


class Workers:
    """The workers registered here, and the endpoint they connect to."""

    def __init__(
        self,
        *,
        keys: Mapping[str, str],
        server_info: models.ServerInfo,
        limits: Limits | None = None,
        strict: bool = False,
        answer_window: float = ANSWER_WINDOW,
        register_window: float = REGISTER_WINDOW,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Start with none.

        Args:
            keys: secret by API key.
            server_info: what a worker is told about this server.
            limits: sizes and rates of what workers send.
            strict: like the original, all workers share one answer window, and a fully loaded one is never asked.
            answer_window: seconds to answer an offer.
            register_window: seconds to register.
            clock: unix seconds.
            chance: a number in [0, 1), for the choice among workers.
        """
        self.observer: WorkerObserver = _Nobody()
        self._keys = keys
        self._server_info = server_info
        self._limits = limits or Limits()
        self._strict = strict
        self._answer_window = answer_window
        self._register_window = register_window
        self._clock = clock
        self._chance = chance
        self._workers: dict[str, Worker] = {}

    def __len__(self) -> int:
        return len(self._workers)

    # --- jobs ---------------------------------------------------------------------------------------------------

    def namespaces(self, job: agent.Job) -> list[str]:
        """Return the namespaces of the workers that could take a job, whatever its own is."""
        matching = (
            worker.skill.namespace for worker in self._workers.values() if worker.takes(job, any_namespace=True)
        )
        return list(dict.fromkeys(matching))

    async def assign(self, job: agent.Job, *, passed_over: set[str]) -> agent.JobState:
        """Find a worker for a job and give it the job, with a token for the room.

        Args:
            job: the job; it is not changed.
            passed_over: ids of workers not to ask; those that are asked and do not take it are added.

        Returns:
            The job's state: RUNNING, or SUCCESS if the worker said that there is nothing to do.

        Raises:
            NoWorker: nobody takes it.
        """
        late = False
        ends = asyncio.get_running_loop().time() + self._answer_window
        while (worker := self._choose(job, passed_over)) is not None:
            passed_over.add(worker.id)
            offered = agent.Job()
            offered.CopyFrom(job)
            now = self._nanoseconds()
            offered.state.MergeFrom(
                agent.JobState(status=agent.JobStatus.JS_RUNNING, worker_id=worker.id, started_at=now, updated_at=now)
            )
            window = ends - asyncio.get_running_loop().time() if self._strict else self._answer_window
            try:
                answer = await worker.offer(offered, within=window)
            except TimeoutError:
                logger.warning("worker did not answer in time", extra=_of(worker, job))
                late = True
                if self._strict:
                    break
                continue
            except WorkerGone:
                continue
            if self._give(worker, offered, answer):
                return offered.state
        raise NoWorker(late=late)

    def _give(self, worker: Worker, job: agent.Job, answer: agent.AvailabilityResponse) -> bool:
        """Act on a worker's answer; False if somebody else must take the job."""
        if answer.terminate:
            job.state.status = agent.JobStatus.JS_SUCCESS
            job.state.ended_at = self._nanoseconds()
            return True
        # It may have gone between its answer and this line.
        if not answer.available or worker.id not in self._workers:
            logger.info("worker declined a job", extra=_of(worker, job))
            return False
        job.state.participant_identity = answer.participant_identity
        token = tokens.mint_agent(
            room_name=job.room.name,
            agent_name=worker.skill.agent_name,
            answer=answer,
            permission=worker.permission,
            keys={worker.api_key: self._keys[worker.api_key]},
            now=self._clock(),
        )
        worker.send(agent.ServerMessage(assignment=agent.JobAssignment(job=job, token=token)))
        logger.info("job assigned", extra=_of(worker, job))
        return True

    def terminate(self, worker_id: str, job_id: str) -> bool:
        """Tell a worker to end a job; False if the worker is not connected."""
        worker = self._workers.get(worker_id)
        if worker is None:
            return False
        worker.send(agent.ServerMessage(termination=agent.JobTermination(job_id=job_id)))
        return True

    def _choose(self, job: agent.Job, passed_over: set[str]) -> Worker | None:
        """Choose at random among the available workers, by what is free of each."""
        able = [
            worker
            for worker in self._workers.values()
            if worker.available and worker.id not in passed_over and worker.takes(job)
        ]
        if not self._strict:
            able = [worker for worker in able if worker.load < TARGET_LOAD] or able
        weights = [max(0.0, 1.0 - worker.load) for worker in able]
        if sum(weights) == 0 and not self._strict:
            # A worker that calls itself available knows better than its load says.
            weights = [1.0] * len(able)
        mark = self._chance() * sum(weights)
        for worker, weight in zip(able, weights, strict=True):
            mark -= weight
            if mark < 0:
                return worker
        return None

    def _nanoseconds(self) -> int:
        return int(self._clock() * 1e9)

    # --- connections --------------------------------------------------------------------------------------------

    async def endpoint(self, websocket: WebSocket) -> None:
        """Serve one worker's connection from beginning to end (`GET /agent`)."""
        try:
            claims = tokens.verify(presented_token(websocket), self._keys, now=self._clock())
        except InvalidToken as refused:
            await websocket.send_denial_response(PlainTextResponse(refused.detail, 401))
            return
        if not claims.video.agent:
            await websocket.send_denial_response(PlainTextResponse("permission denied", 401))
            return
        if len(self._workers) >= self._limits.workers:
            await websocket.send_denial_response(PlainTextResponse("too many workers", 503))
            return
        await websocket.accept()
        link = WorkerLink(websocket, self._limits)
        await link.run(lambda: self._serve(link, claims))

    async def _serve(self, link: WorkerLink, claims: Claims) -> None:
        async with asyncio.timeout(self._register_window):
            worker = await self._register(link, claims)
        self._workers[worker.id] = worker
        link.send(
            agent.ServerMessage(
                register=agent.RegisterWorkerResponse(worker_id=worker.id, server_info=self._server_info)
            )
        )
        logger.info("worker registered", extra=_of(worker))
        try:
            self.observer.worker_ready(worker)
            while True:
                self._take(link, worker, await link.read())
        finally:
            del self._workers[worker.id]
            worker.gone()
            logger.info("worker gone", extra=_of(worker))
            self.observer.worker_gone(worker)

    async def _register(self, link: WorkerLink, claims: Claims) -> Worker:
        while True:
            message = await link.read()
            match message.WhichOneof("message"):
                case "ping":
                    self._pong(link, message.ping)
                case "register":
                    try:
                        return Worker(message.register, api_key=claims.api_key, send=link.send)
                    except InvalidRegistration as problem:
                        raise Misuse(problem.detail) from problem
                case other:
                    raise Misuse(f"{other} came before register")

    def _take(self, link: WorkerLink, worker: Worker, message: agent.WorkerMessage) -> None:
        match message.WhichOneof("message"):
            case "availability":
                if not worker.answer(message.availability):
                    logger.info("answer to no open offer", extra=_of(worker) | {"job": message.availability.job_id})
            case "update_worker":
                if worker.update(message.update_worker):
                    self.observer.worker_ready(worker)
            case "update_job":
                self.observer.job_reported(worker, message.update_job)
            case "ping":
                self._pong(link, message.ping)
            case "simulate_job":
                link.spawn(self._simulate(worker, message.simulate_job))
            case "migrate_job":
                if not self._strict:
                    self.observer.jobs_kept(worker, message.migrate_job.job_ids)
            case other:
                raise Misuse(f"{other} is not understood here")

    async def _simulate(self, worker: Worker, request: agent.SimulateJobRequest) -> None:
        """Give a worker a job of its own asking."""
        publisher = request.HasField("participant")
        job = agent.Job(
            id=new_id("AJ_"),
            type=agent.JobType.JT_PUBLISHER if publisher else agent.JobType.JT_ROOM,
            room=request.room,
            participant=request.participant if publisher else None,
            namespace=worker.skill.namespace,
            agent_name=worker.skill.agent_name,
        )
        now = self._nanoseconds()
        job.state.MergeFrom(
            agent.JobState(status=agent.JobStatus.JS_RUNNING, worker_id=worker.id, started_at=now, updated_at=now)
        )
        try:
            self._give(worker, job, await worker.offer(job, within=self._answer_window))
        except (TimeoutError, WorkerGone):
            logger.warning("simulated job was not taken", extra=_of(worker, job))

    def _pong(self, link: WorkerLink, ping: agent.WorkerPing) -> None:
        now = int(self._clock() * 1000)
        link.send(agent.ServerMessage(pong=agent.WorkerPong(last_timestamp=ping.timestamp, timestamp=now)))


def _of(worker: Worker, job: agent.Job | None = None) -> dict[str, str]:
    fields = {"worker": worker.id, "agent_name": worker.skill.agent_name}
    return fields | ({"job": job.id, "room": job.room.name} if job is not None else {})
