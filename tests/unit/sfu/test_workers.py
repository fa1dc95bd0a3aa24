"""Agent workers on real connections: registration, choice, answers, and what a bad one may break (itself)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import websockets
from livekit import api
from livekit.protocol import agent, models
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from roomkeeper.sfu.limits import Limits, Rate
from roomkeeper.sfu.workers import NoWorker, Workers
from roomkeeper.wire import tokens
from tests.unit.sfu.serving import KEYS, decline, ignore, serving, token, worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from roomkeeper.sfu.worker import Worker

FAILED = agent.JobStatus.JS_FAILED
ROOM = models.Room(name="r", sid="RM_1")
INFO = models.ServerInfo(version="1.2.3", protocol=17, agent_protocol=1)


class Seen:
    """An observer that writes down what it sees."""

    def __init__(self) -> None:
        self.ready: asyncio.Queue[Worker] = asyncio.Queue()
        self.gone: asyncio.Queue[Worker] = asyncio.Queue()
        self.reports: asyncio.Queue[agent.UpdateJobStatus] = asyncio.Queue()
        self.kept: asyncio.Queue[list[str]] = asyncio.Queue()

    def worker_ready(self, worker: Worker) -> None:
        self.ready.put_nowait(worker)

    def worker_gone(self, worker: Worker) -> None:
        self.gone.put_nowait(worker)

    def job_reported(self, worker: Worker, update: agent.UpdateJobStatus) -> None:
        self.reports.put_nowait(update)

    def jobs_kept(self, worker: Worker, job_ids: object) -> None:
        self.kept.put_nowait([str(each) for each in job_ids])  # type: ignore[attr-defined]


@asynccontextmanager
async def workers_at(
    *,
    strict: bool = False,
    limits: Limits | None = None,
    answer_window: float = 3.0,
    register_window: float = 10.0,
    chance: float = 0.0,
) -> AsyncIterator[tuple[Workers, str, Seen]]:
    workers = Workers(
        keys=KEYS,
        server_info=INFO,
        strict=strict,
        limits=limits,
        answer_window=answer_window,
        register_window=register_window,
        chance=lambda: chance,
    )
    workers.observer = seen = Seen()
    async with serving(Starlette(routes=[WebSocketRoute("/agent", workers.endpoint)])) as address:
        yield workers, address, seen


def job(name: str = "", job_type: agent.JobType = agent.JobType.JT_ROOM, number: int = 1) -> agent.Job:
    return agent.Job(id=f"AJ_{number}", room=ROOM, agent_name=name, type=job_type)


async def test_a_worker_is_registered_and_told_about_the_server() -> None:
    async with workers_at() as (workers, address, seen):
        async with worker(address, agent.RegisterWorkerRequest(agent_name="interviewer", version="1.8.9")) as client:
            welcome = await client.registered
            registered = await seen.ready.get()
            assert welcome.worker_id == registered.id
            assert welcome.worker_id.startswith("AW_")
            assert welcome.server_info == INFO
            assert registered.version == "1.8.9"
            assert len(workers) == 1
        assert await seen.gone.get() is registered
        assert len(workers) == 0


async def test_a_worker_that_accepts_gets_the_job_with_a_token_for_its_room() -> None:
    permission = models.ParticipantPermission(can_subscribe=True, hidden=True)
    request = agent.RegisterWorkerRequest(agent_name="interviewer", allowed_permissions=permission)
    async with workers_at() as (workers, address, _), worker(address, request) as client:
        client.answer = lambda _: agent.AvailabilityResponse(
            available=True,
            participant_identity="agent-1",
            participant_name="Bob",
            participant_metadata="m",
            participant_attributes={"a": "b"},
        )
        state = await workers.assign(job("interviewer"), passed_over=set())
        offered, assignment = await client.offers.get(), await client.assignments.get()
    assert offered.state.status == state.status == agent.JobStatus.JS_RUNNING
    assert (state.participant_identity, state.worker_id) == ("agent-1", (await client.registered).worker_id)
    assert state.started_at == state.updated_at > 1_700_000_000 * 10**9
    assert assignment.job.id == "AJ_1"
    assert not assignment.url
    claims = tokens.verify(assignment.token, KEYS, now=state.started_at / 1e9)
    assert claims.api_key == "other"  # the key that the worker came with
    assert (claims.identity, claims.name, claims.metadata) == ("agent-1", "Bob", "m")
    assert claims.kind == models.ParticipantInfo.AGENT
    assert claims.attributes == {"a": "b", "lk.agent_name": "interviewer"}
    assert claims.video.room == "r"
    assert claims.video.hidden
    assert not claims.video.can_publish


async def test_a_job_goes_only_to_workers_of_its_name_kind_and_deployment() -> None:
    requests = [
        agent.RegisterWorkerRequest(agent_name="other"),
        agent.RegisterWorkerRequest(agent_name="a", type=agent.JobType.JT_PUBLISHER),
        agent.RegisterWorkerRequest(agent_name="a", namespace="n"),
        agent.RegisterWorkerRequest(agent_name="a", deployment="staging"),
    ]
    async with (
        workers_at() as (workers, address, _),
        worker(address, requests[0]),
        worker(address, requests[1]),
        worker(address, requests[2]),
        worker(address, requests[3]) as staging,
    ):
        with pytest.raises(NoWorker):
            await workers.assign(job("a"), passed_over=set())
        assert workers.namespaces(job("a")) == ["n"]
        wanted = job("a")
        wanted.deployment = "staging"
        await workers.assign(wanted, passed_over=set())
        assert (await staging.assignments.get()).job.deployment == "staging"


@pytest.mark.parametrize("first_answer", [decline, ignore])
async def test_the_next_worker_is_asked_when_one_declines_or_is_late(first_answer: object) -> None:
    async with (
        workers_at(answer_window=0.2) as (workers, address, _),
        worker(address) as first,
        worker(address) as second,
    ):
        first.answer = first_answer  # type: ignore[assignment]
        passed_over: set[str] = set()
        state = await workers.assign(job(), passed_over=passed_over)
        assert state.worker_id == (await second.registered).worker_id
        assert (await first.registered).worker_id in passed_over
        assert first.offers.qsize() == 1
        assert first.assignments.empty()


async def test_nobody_left_to_ask_says_whether_one_was_late() -> None:
    async with workers_at(answer_window=0.05) as (workers, address, _), worker(address) as client:
        client.answer = decline
        with pytest.raises(NoWorker) as declined:
            await workers.assign(job(), passed_over=set())
        client.answer = ignore
        with pytest.raises(NoWorker) as late:
            await workers.assign(job(), passed_over=set())
    assert (declined.value.late, late.value.late) == (False, True)


async def test_strict_asks_no_other_worker_when_one_is_late() -> None:
    async with (
        workers_at(strict=True, answer_window=0.05) as (workers, address, _),
        worker(address) as first,
        worker(address) as second,
    ):
        first.answer = ignore
        with pytest.raises(NoWorker):
            await workers.assign(job(), passed_over=set())
        assert second.offers.empty()


async def test_an_answer_that_comes_too_late_is_ignored() -> None:
    async with workers_at(answer_window=0.05) as (workers, address, _), worker(address) as client:
        client.answer = ignore
        with pytest.raises(NoWorker):
            await workers.assign(job(), passed_over=set())
        await client.send(availability=agent.AvailabilityResponse(job_id="AJ_1", available=True))
        await client.settle()
        assert client.assignments.empty()


async def test_a_worker_that_goes_while_it_is_asked_is_passed_over_at_once() -> None:
    async with workers_at() as (workers, address, _), worker(address) as second:
        async with worker(address) as first:
            first.answer = ignore
            await second.load(0.5)
            # Chance 0 takes the first of those able; the second registered first, so it is made unavailable meanwhile.
            await second.load(0.0, agent.WorkerStatus.WS_FULL)
            assigning = asyncio.create_task(workers.assign(job(), passed_over=set()))
            await first.offers.get()
            await second.load(0.0)
        state = await assigning
        assert state.worker_id == (await second.registered).worker_id


async def test_a_worker_may_end_the_job_without_an_assignment() -> None:
    async with workers_at() as (workers, address, _), worker(address) as client:
        client.answer = lambda _: agent.AvailabilityResponse(available=False, terminate=True)
        state = await workers.assign(job(), passed_over=set())
        await client.settle()
        assert state.status == agent.JobStatus.JS_SUCCESS
        assert state.ended_at
        assert client.assignments.empty()


async def test_a_full_or_draining_worker_gets_no_job_until_it_says_otherwise() -> None:
    async with workers_at() as (workers, address, seen), worker(address) as client:
        await seen.ready.get()
        await client.load(0.1, agent.WorkerStatus.WS_FULL)
        with pytest.raises(NoWorker):
            await workers.assign(job(), passed_over=set())
        await client.send(update_worker=agent.UpdateWorkerStatus(status=agent.WorkerStatus.WS_AVAILABLE, draining=True))
        with pytest.raises(NoWorker):
            await workers.assign(job(), passed_over=set())
        assert seen.ready.empty()
        await client.load(0.1)
        assert seen.ready.qsize() == 1  # available again: what waits may be offered
        await client.load(0.2)
        assert seen.ready.qsize() == 1
        await workers.assign(job(), passed_over=set())


@pytest.mark.parametrize(
    ("loads", "chance", "chosen"),
    [
        ((0.0, 0.0), 0.49, 0),
        ((0.0, 0.0), 0.51, 1),
        ((0.6, 0.0), 0.28, 0),  # 0.4 of 1.4 is free at the first
        ((0.6, 0.0), 0.30, 1),
        ((0.75, 0.6), 0.0, 1),  # the first is above the target
        ((0.75, 0.8), 0.0, 0),  # both are
        ((1.0, 1.0), 0.9, 1),  # both call themselves available all the same
    ],
)
async def test_the_choice_goes_by_what_is_free(loads: tuple[float, float], chance: float, chosen: int) -> None:
    async with workers_at(chance=chance) as (workers, address, _), worker(address) as first, worker(address) as second:
        await first.load(loads[0])
        await second.load(loads[1])
        state = await workers.assign(job(), passed_over=set())
        assert state.worker_id == (await (first, second)[chosen].registered).worker_id


async def test_strict_never_asks_a_worker_at_full_load() -> None:
    async with workers_at(strict=True) as (workers, address, _), worker(address) as client:
        await client.load(1.0)
        with pytest.raises(NoWorker):
            await workers.assign(job(), passed_over=set())


async def test_a_load_that_is_no_number_counts_as_full() -> None:
    async with workers_at(chance=0.5) as (workers, address, seen), worker(address) as client:
        await client.load(float("nan"))
        assert (await seen.ready.get()).load == 1.0
        await workers.assign(job(), passed_over=set())


async def test_a_termination_reaches_the_worker_that_has_the_job() -> None:
    async with workers_at() as (workers, address, _), worker(address) as client:
        worker_id = (await client.registered).worker_id
        assert workers.terminate(worker_id, "AJ_1")
        assert await client.terminations.get() == "AJ_1"
        assert not workers.terminate("AW_unknown", "AJ_1")


async def test_reports_and_kept_jobs_reach_the_observer() -> None:
    async with workers_at() as (_, address, seen), worker(address) as client:
        await client.report("AJ_1", agent.JobStatus.JS_FAILED, "boom")
        update = await seen.reports.get()
        assert (update.job_id, update.status, update.error) == ("AJ_1", agent.JobStatus.JS_FAILED, "boom")
        await client.send(migrate_job=agent.MigrateJobRequest(job_ids=["AJ_1", "AJ_2"]))
        assert await seen.kept.get() == ["AJ_1", "AJ_2"]


async def test_strict_takes_a_migration_for_nothing() -> None:
    async with workers_at(strict=True) as (_, address, seen), worker(address) as client:
        await client.send(migrate_job=agent.MigrateJobRequest(job_ids=["AJ_1"]))
        await client.settle()
        assert seen.kept.empty()


async def test_a_worker_may_ask_for_a_job_to_try() -> None:
    async with workers_at() as (_, address, _), worker(address, agent.RegisterWorkerRequest(agent_name="a")) as client:
        await client.send(simulate_job=agent.SimulateJobRequest(room=ROOM))
        assert (await client.assignments.get()).job.type == agent.JobType.JT_ROOM
        ada = models.ParticipantInfo(identity="ada")
        await client.send(simulate_job=agent.SimulateJobRequest(room=ROOM, participant=ada))
        assigned = (await client.assignments.get()).job
        assert assigned.type == agent.JobType.JT_PUBLISHER
        assert (assigned.participant.identity, assigned.agent_name) == ("ada", "a")


async def test_a_worker_that_speaks_json_is_answered_in_json() -> None:
    async with workers_at() as (_, address, _), _connect(address) as connection:
        await connection.send(json.dumps({"register": {"agentName": "a", "newField": 1}}))
        welcome = json.loads(await connection.recv())
        assert welcome["register"]["serverInfo"]["version"] == "1.2.3"
        await connection.send(agent.WorkerMessage(ping=agent.WorkerPing(timestamp=3)).SerializeToString())
        pong = await connection.recv(decode=False)
        assert agent.ServerMessage.FromString(pong).pong.last_timestamp == 3


@asynccontextmanager
async def _connect(address: str, grants: api.VideoGrants | None = None) -> AsyncIterator[websockets.ClientConnection]:
    query = f"access_token={token(grants or api.VideoGrants(agent=True))}"
    # Without compression, so that what is not read fills the buffers on the way.
    async with websockets.connect(f"ws://{address}/agent?{query}", compression=None) as connection:
        yield connection


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer nonsense"}, 401),
        ({"Authorization": "Basic nonsense"}, 401),
        ({"Authorization": f"Bearer {token(api.VideoGrants(room_admin=True, room='r'))}"}, 401),
    ],
)
async def test_a_connection_without_the_agent_grant_is_refused_and_no_token_echoed(
    headers: dict[str, str], status: int
) -> None:
    async with workers_at() as (_, address, _):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(f"ws://{address}/agent", additional_headers=headers)
        response = refused.value.response
        assert response.status_code == status
        secret = headers.get("Authorization", "absent").split()[-1]
        assert secret.encode() not in response.body


async def test_more_workers_than_allowed_are_refused() -> None:
    async with workers_at(limits=Limits(workers=1)) as (_, address, _), worker(address):
        headers = {"Authorization": f"Bearer {token(api.VideoGrants(agent=True))}"}
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(f"ws://{address}/agent", additional_headers=headers)
        assert refused.value.response.status_code == 503


def _bad_frames() -> Iterator[tuple[str, bytes | str]]:
    yield "malformed protobuf", b"\xff\xff\xff"
    yield "malformed JSON", "{"
    yield "deep JSON", "[" * 5000
    yield "empty", b""
    yield "too large", b"\x00" * 5000
    yield "a second registration", agent.WorkerMessage(register=agent.RegisterWorkerRequest()).SerializeToString()


@pytest.mark.parametrize("frame", [pytest.param(frame, id=name) for name, frame in _bad_frames()])
async def test_a_bad_frame_closes_only_the_connection_it_came_on(frame: bytes | str) -> None:
    limits = Limits(worker_frame_bytes=4096)
    async with workers_at(limits=limits) as (workers, address, seen), worker(address) as good, worker(address) as bad:
        await bad.connection.send(frame)
        await bad.connection.wait_closed()
        assert bad.connection.close_code == 1008
        assert (await seen.gone.get()).id == (await bad.registered).worker_id
        await workers.assign(job(), passed_over=set())
        assert (await good.assignments.get()).job.id == "AJ_1"


async def test_no_frame_whatever_breaks_more_than_its_connection() -> None:
    """Random changes of good messages; `make fuzz` does the same for longer."""
    chance = random.Random(7)
    good = [
        agent.WorkerMessage(availability=agent.AvailabilityResponse(job_id="AJ_1", available=True)),
        agent.WorkerMessage(update_worker=agent.UpdateWorkerStatus(load=0.5, job_count=3)),
        agent.WorkerMessage(update_job=agent.UpdateJobStatus(job_id="AJ_1", status=FAILED, error="é")),
        agent.WorkerMessage(simulate_job=agent.SimulateJobRequest(room=ROOM, participant=models.ParticipantInfo())),
        agent.WorkerMessage(migrate_job=agent.MigrateJobRequest(job_ids=["AJ_1"])),
        agent.WorkerMessage(register=agent.RegisterWorkerRequest(agent_name="a")),
    ]
    codes = []
    async with workers_at() as (workers, address, _), worker(address) as neighbour:
        for _ in range(150):
            frame = bytearray(chance.choice(good).SerializeToString())
            for _ in range(chance.randrange(4)):
                frame[chance.randrange(len(frame))] = chance.randrange(256)
            async with _connect(address) as connection:
                ping = agent.WorkerMessage(ping=agent.WorkerPing(timestamp=9)).SerializeToString()
                for sent in (good[-1].SerializeToString(), bytes(frame), ping):
                    await connection.send(sent)
                with contextlib.suppress(websockets.ConnectionClosedError):
                    async for answer in connection:
                        assert isinstance(answer, bytes)
                        if agent.ServerMessage.FromString(answer).pong.last_timestamp == 9:
                            await connection.close()
            codes.append(connection.close_code)
        assert set(codes) == {1000, 1008}  # 1011 would be a fault of the server
        assert (await workers.assign(job(), passed_over=set())).worker_id == (await neighbour.registered).worker_id


async def test_too_many_messages_close_the_connection() -> None:
    limits = Limits(worker_messages=Rate(per_second=1, burst=20))
    async with workers_at(limits=limits) as (_, address, _), worker(address) as client:
        for _ in range(100):
            await client.send(ping=agent.WorkerPing(timestamp=1))
        await client.connection.wait_closed()
        assert client.connection.close_code == 1008


@pytest.mark.parametrize(
    "register",
    [
        agent.RegisterWorkerRequest(deployment="a_b"),
        agent.RegisterWorkerRequest(deployment="a b"),
        agent.RegisterWorkerRequest(deployment="x" * 65),
        agent.WorkerMessage(migrate_job=agent.MigrateJobRequest()),
    ],
)
async def test_an_impossible_registration_closes_the_connection(
    register: agent.RegisterWorkerRequest | agent.WorkerMessage,
) -> None:
    message = register
    if isinstance(register, agent.RegisterWorkerRequest):
        message = agent.WorkerMessage(register=register)
    async with workers_at() as (workers, address, _), _connect(address) as connection:
        await connection.send(message.SerializeToString())
        await connection.wait_closed()
        assert connection.close_code == 1008
        assert len(workers) == 0


async def test_a_connection_that_does_not_register_in_time_is_closed_though_it_pings() -> None:
    async with workers_at(register_window=0.1) as (_, address, _), _connect(address) as connection:
        await connection.send(agent.WorkerMessage(ping=agent.WorkerPing(timestamp=3)).SerializeToString())
        assert await connection.recv()
        await connection.wait_closed()
        assert connection.close_code == 1008


async def test_an_observer_that_fails_costs_only_the_connection_it_failed_on() -> None:
    async with workers_at() as (workers, address, seen), worker(address) as good:

        def fail(worker: Worker, update: agent.UpdateJobStatus) -> None:
            raise ZeroDivisionError

        seen.job_reported = fail  # type: ignore[method-assign]
        async with worker(address) as bad:
            await bad.send(update_job=agent.UpdateJobStatus(job_id="AJ_1"))
            await bad.connection.wait_closed()
            assert bad.connection.close_code == 1011
        await workers.assign(job(), passed_over=set())
        assert (await good.assignments.get()).job.id == "AJ_1"


async def test_a_worker_that_does_not_read_is_disconnected() -> None:
    async with workers_at() as (workers, address, seen), _connect(address) as connection:
        await connection.send(agent.WorkerMessage(register=agent.RegisterWorkerRequest()).SerializeToString())
        registered = await seen.ready.get()
        connection.transport.pause_reading()
        while len(workers):
            workers.terminate(registered.id, "x" * 50_000)
            await asyncio.sleep(0)
        assert (await seen.gone.get()) is registered
        connection.transport.resume_reading()
        async for _ in connection:
            pass  # up to the end of what was on its way
