"""Agent dispatch with workers on real connections: who is launched when, and whether the records tell the truth."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from livekit.protocol import agent, agent_dispatch, models
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from roomkeeper.sfu.dispatch import Dispatches, InvalidDispatch, UnknownDispatch, UnknownRoom
from roomkeeper.sfu.limits import LimitExceeded, Limits
from roomkeeper.sfu.workers import Workers
from tests.unit.sfu.serving import KEYS, TestWorker, decline, ignore, serving, until, worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

ROOM = models.Room(name="r", sid="RM_1", metadata="old")
ADA = models.ParticipantInfo(sid="PA_1", identity="ada", state=models.ParticipantInfo.ACTIVE)
NAMED = agent_dispatch.RoomAgentDispatch(agent_name="a", metadata="m", attributes={"k": "v"})

RUNNING, SUCCESS, FAILED = agent.JobStatus.JS_RUNNING, agent.JobStatus.JS_SUCCESS, agent.JobStatus.JS_FAILED


@dataclass
class House:
    """The rooms: one, with the people put into it."""

    rooms: list[models.Room] = field(default_factory=lambda: [ROOM])
    people: dict[str, models.ParticipantInfo] = field(default_factory=dict)
    removed: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    def list(self, names: Sequence[str]) -> Sequence[models.Room]:
        return [room for room in self.rooms if room.name in names]

    def participants(self, room: str) -> Sequence[models.ParticipantInfo]:
        return tuple(self.people.values())

    def remove(self, room: str, identity: str) -> None:
        del self.people[identity]
        self.removed.put_nowait(identity)


@dataclass
class Stage:
    """What a test plays on."""

    dispatches: Dispatches
    house: House
    address: str

    def open(self, *agents: agent_dispatch.RoomAgentDispatch) -> None:
        self.dispatches.room_opened(ROOM, agents)

    async def enter(self, client: TestWorker) -> agent.Job:
        """Let the agent of the worker's next job join the room; returns the job."""
        job = (await client.assignments.get()).job
        self.house.people[job.state.participant_identity] = self.agent_of(job)
        return job

    @staticmethod
    def agent_of(
        job: agent.Job, reason: models.DisconnectReason = models.DisconnectReason.CLIENT_INITIATED
    ) -> models.ParticipantInfo:
        return models.ParticipantInfo(
            identity=job.state.participant_identity, kind=models.ParticipantInfo.AGENT, disconnect_reason=reason
        )

    def leave(self, job: agent.Job, reason: models.DisconnectReason = models.DisconnectReason.CLIENT_INITIATED) -> None:
        self.house.people.pop(job.state.participant_identity, None)
        self.dispatches.participant_left("r", self.agent_of(job, reason))

    def state(self) -> agent.JobState:
        """Return the state of the only job of the only dispatch."""
        (dispatch,) = self.dispatches.list("r")
        (job,) = dispatch.state.jobs
        return job.state


@asynccontextmanager
async def stage(
    *,
    strict: bool = False,
    limits: Limits | None = None,
    answer_window: float = 3.0,
    leave_window: float = 0.05,
    return_window: float = 0.05,
    retry_after: float = 0.05,
) -> AsyncIterator[Stage]:
    workers = Workers(keys=KEYS, server_info=models.ServerInfo(), strict=strict, answer_window=answer_window)
    house = House()
    dispatches = Dispatches(
        workers,
        house,
        limits=limits,
        strict=strict,
        leave_window=leave_window,
        return_window=return_window,
        retry_after=retry_after,
    )
    async with serving(Starlette(routes=[WebSocketRoute("/agent", workers.endpoint)])) as address:
        try:
            yield Stage(dispatches, house, address)
        finally:
            await dispatches.close()


def kind(job_type: agent.JobType, name: str = "") -> agent.RegisterWorkerRequest:
    return agent.RegisterWorkerRequest(type=job_type, agent_name=name)


# --- who is launched -------------------------------------------------------------------------------------------


async def test_a_room_that_asks_for_nobody_gets_any_unnamed_agent() -> None:
    async with (
        stage() as on,
        worker(on.address) as unnamed,
        worker(on.address, kind(agent.JobType.JT_ROOM, "a")) as named,
    ):
        on.open()
        job = (await unnamed.assignments.get()).job
        (dispatch,) = on.dispatches.list("r")
        assert (dispatch.agent_name, dispatch.room) == ("", "r")
        assert dispatch.id.startswith("AD_")
        assert dispatch.state.created_at > 1_700_000_000 * 10**9
        assert [each.id for each in dispatch.state.jobs] == [job.id]
        assert job.dispatch_id == dispatch.id
        assert named.offers.empty()


async def test_a_room_gets_the_agents_it_asks_for_and_no_other() -> None:
    async with (
        stage() as on,
        worker(on.address) as unnamed,
        worker(on.address, kind(agent.JobType.JT_ROOM, "a")) as named,
    ):
        on.open(NAMED)
        job = (await named.assignments.get()).job
        assert (job.agent_name, job.metadata, dict(job.attributes)) == ("a", "m", {"k": "v"})
        assert job.room == ROOM
        assert unnamed.offers.empty()
        (dispatch,) = on.dispatches.list("r")
        assert (dispatch.metadata, dict(dispatch.attributes)) == ("m", {"k": "v"})


async def test_each_namespace_of_workers_gets_a_job_of_its_own() -> None:
    requests = [agent.RegisterWorkerRequest(namespace=name) for name in ("x", "y")]
    async with stage() as on, worker(on.address, requests[0]) as first, worker(on.address, requests[1]) as second:
        on.open()
        assert (await first.assignments.get()).job.namespace == "x"
        assert (await second.assignments.get()).job.namespace == "y"
        assert first.offers.qsize() == second.offers.qsize() == 1


async def test_jobs_for_participants_and_publishers_are_launched_as_they_come() -> None:
    requests = [kind(agent.JobType.JT_PARTICIPANT), kind(agent.JobType.JT_PUBLISHER)]
    async with stage() as on, worker(on.address, requests[0]) as joiners, worker(on.address, requests[1]) as publishers:
        on.open()
        on.house.people["ada"] = models.ParticipantInfo(sid="PA_1", identity="ada", metadata="now")
        on.dispatches.participant_joined(ROOM, ADA)
        job = (await joiners.assignments.get()).job
        assert job.type == agent.JobType.JT_PARTICIPANT
        assert job.participant.metadata == "now"  # as the participant is, not as it was
        assert publishers.offers.empty()
        on.dispatches.track_published(ROOM, ADA)
        assert (await publishers.assignments.get()).job.participant.identity == "ada"
        assert joiners.offers.qsize() == 1


async def test_no_job_is_launched_for_an_agent_or_a_recorder() -> None:
    async with stage() as on, worker(on.address, kind(agent.JobType.JT_PARTICIPANT)) as client:
        on.open()
        dependents = [
            models.ParticipantInfo(kind=models.ParticipantInfo.AGENT),
            models.ParticipantInfo(kind=models.ParticipantInfo.EGRESS),
            models.ParticipantInfo(permission=models.ParticipantPermission(agent=True)),
            models.ParticipantInfo(permission=models.ParticipantPermission(recorder=True)),
        ]
        for dependent in dependents:
            on.dispatches.participant_joined(ROOM, dependent)
        on.dispatches.participant_joined(ROOM, ADA)
        assert (await client.offers.get()).participant.identity == "ada"
        assert client.offers.empty()


async def test_a_created_dispatch_reaches_the_room_and_everybody_in_it() -> None:
    request = agent_dispatch.CreateAgentDispatchRequest(
        room="r",
        agent_name="a",
        metadata="m",
        attributes={"k": "v"},
        restart_policy=agent_dispatch.JobRestartPolicy.JRP_NEVER,
    )
    async with stage() as on:
        on.open()
        on.house.people = {
            "ada": models.ParticipantInfo(
                sid="PA_1", identity="ada", state=models.ParticipantInfo.ACTIVE, is_publisher=True
            ),
            "bob": models.ParticipantInfo(sid="PA_2", identity="bob", state=models.ParticipantInfo.ACTIVE),
            "eve": models.ParticipantInfo(sid="PA_3", identity="eve", state=models.ParticipantInfo.JOINED),
            "bot": models.ParticipantInfo(
                identity="bot", state=models.ParticipantInfo.ACTIVE, kind=models.ParticipantInfo.AGENT
            ),
        }
        async with (
            worker(on.address, kind(agent.JobType.JT_ROOM, "a")) as rooms,
            worker(on.address, kind(agent.JobType.JT_PARTICIPANT, "a")) as joiners,
            worker(on.address, kind(agent.JobType.JT_PUBLISHER, "a")) as publishers,
        ):
            made = on.dispatches.create(request)
            job = (await rooms.assignments.get()).job
            assert (job.dispatch_id, job.metadata, dict(job.attributes)) == (made.id, "m", {"k": "v"})
            assert {(await joiners.assignments.get()).job.participant.identity for _ in range(2)} == {"ada", "bob"}
            assert (await publishers.assignments.get()).job.participant.identity == "ada"
            assert rooms.offers.qsize() + publishers.offers.qsize() == 2
            assert joiners.offers.qsize() == 2
            (kept,) = on.dispatches.list("r", made.id)
            assert kept.restart_policy == agent_dispatch.JobRestartPolicy.JRP_NEVER
            assert len(kept.state.jobs) == 4
            assert len(on.dispatches.list("r")) == 2


async def test_an_impossible_dispatch_is_refused() -> None:
    create = agent_dispatch.CreateAgentDispatchRequest
    async with stage(limits=Limits(metadata_bytes=3, attributes_bytes=3)) as on:
        with pytest.raises(UnknownRoom):
            on.dispatches.create(create(room="r"))
        on.open(agent_dispatch.RoomAgentDispatch(deployment="a_b"))
        assert on.dispatches.list("r") == []
        with pytest.raises(InvalidDispatch):
            on.dispatches.create(create(room="r", deployment="a b"))
        with pytest.raises(LimitExceeded):
            on.dispatches.create(create(room="r", metadata="1234"))
        with pytest.raises(LimitExceeded):
            on.dispatches.create(create(room="r", attributes={"12": "34"}))
        with pytest.raises(UnknownDispatch):
            on.dispatches.delete("r", "AD_unknown")
        with pytest.raises(UnknownRoom):
            on.dispatches.list("other")


# --- waiting ---------------------------------------------------------------------------------------------------


async def test_a_dispatch_waits_for_a_worker_and_launches_with_the_room_as_it_is_then() -> None:
    async with stage() as on:
        on.open(NAMED)
        async with worker(on.address), worker(on.address, kind(agent.JobType.JT_PUBLISHER, "a")):
            on.house.rooms = [models.Room(name="r", sid="RM_1", metadata="new")]
            async with worker(on.address, kind(agent.JobType.JT_ROOM, "a")) as client:
                assert (await client.assignments.get()).job.room.metadata == "new"
                assert on.state().status == RUNNING
        async with worker(on.address, kind(agent.JobType.JT_ROOM, "a")) as late:
            await late.settle()
            assert late.offers.empty()  # launched once is launched


async def test_a_worker_in_a_namespace_takes_what_waits_for_anybody() -> None:
    async with stage() as on:
        on.house.people["ada"] = ADA
        on.open()
        async with worker(on.address, agent.RegisterWorkerRequest(namespace="x")) as client:
            assert (await client.assignments.get()).job.namespace == "x"


async def test_what_nobody_asked_for_by_name_waits_until_somebody_is_in_the_room() -> None:
    async with stage() as on:
        on.open()
        async with worker(on.address) as client:
            await client.settle()
            assert client.offers.empty()
            recorder = models.ParticipantInfo(sid="PA_2", identity="recorder", kind=models.ParticipantInfo.EGRESS)
            on.house.people["recorder"] = recorder
            on.dispatches.participant_joined(ROOM, recorder)
            await client.settle()
            assert client.offers.empty()
            on.house.people["ada"] = ADA
            on.dispatches.participant_joined(ROOM, ADA)
            assert (await client.assignments.get()).job.type == agent.JobType.JT_ROOM


async def test_what_was_asked_for_by_name_waits_for_a_worker_also_in_an_empty_room() -> None:
    async with stage() as on:
        on.open(NAMED)
        on.dispatches.create(agent_dispatch.CreateAgentDispatchRequest(room="r"))
        async with worker(on.address, kind(agent.JobType.JT_ROOM, "a")) as named, worker(on.address) as unnamed:
            assert (await named.assignments.get()).token
            assert (await unnamed.assignments.get()).token


async def test_strict_loses_a_dispatch_made_before_its_worker() -> None:
    async with stage(strict=True) as on:
        on.open(NAMED)
        await asyncio.sleep(0)
        async with worker(on.address, kind(agent.JobType.JT_ROOM, "a")) as client:
            await client.settle()
            assert client.offers.empty()


async def test_a_declined_job_is_offered_again_when_the_worker_has_room_again() -> None:
    async with stage() as on, worker(on.address) as client:
        client.answer = decline
        on.house.people["ada"] = ADA
        on.open()
        await client.offers.get()
        await client.load(0.5)
        assert client.offers.empty()  # it said no, and nothing has changed
        client.answer = TestWorker(client.connection).answer
        await client.load(1.0, agent.WorkerStatus.WS_FULL)
        await client.load(0.2)
        assert (await client.assignments.get()).token


async def test_a_worker_that_was_late_is_asked_again_after_a_while() -> None:
    async with stage(answer_window=0.05) as on, worker(on.address) as client:
        client.answer = ignore
        on.house.people["ada"] = ADA
        on.open()
        first = await client.offers.get()
        second = await client.offers.get()
        assert first.id != second.id


async def test_what_waits_for_a_participant_is_called_off_when_the_participant_leaves() -> None:
    async with stage() as on:
        on.open(NAMED)
        on.dispatches.participant_joined(ROOM, ADA)
        on.dispatches.participant_left("r", ADA)
        async with worker(on.address, kind(agent.JobType.JT_PARTICIPANT, "a")) as client:
            await client.settle()
            assert client.offers.empty()


async def test_what_waits_for_a_deleted_dispatch_or_a_closed_room_is_called_off() -> None:
    async with stage() as on:
        on.open(NAMED, NAMED)
        deleted, _ = on.dispatches.list("r")
        on.dispatches.delete("r", deleted.id)
        async with worker(on.address, kind(agent.JobType.JT_ROOM, "a")) as client:
            assert (await client.assignments.get()).token
            await client.settle()
            assert client.offers.qsize() == 1
        on.dispatches.room_closed("r")
        on.open(NAMED)
        on.dispatches.room_closed("r")
        async with worker(on.address, kind(agent.JobType.JT_ROOM, "a")) as client:
            await client.settle()
            assert client.offers.empty()


async def test_nothing_is_launched_for_a_room_that_has_vanished() -> None:
    async with stage() as on, worker(on.address) as client:
        on.house.rooms = []
        on.open()
        await client.settle()
        assert client.offers.empty()


# --- records ---------------------------------------------------------------------------------------------------


async def test_the_record_tells_what_the_worker_says() -> None:
    async with stage() as on, worker(on.address) as client:
        on.open()
        job = await on.enter(client)
        await client.report(job.id, RUNNING)
        assert on.state().status == RUNNING
        assert not on.state().ended_at
        await client.report(job.id, FAILED)
        state = on.state()
        assert (state.status, state.error) == (FAILED, "the agent's job failed")
        assert state.ended_at == state.updated_at > state.started_at
        await client.report(job.id, RUNNING)
        assert on.state().status == FAILED  # an ended job does not run again


async def test_the_record_tells_that_the_agent_has_left_and_the_worker_is_told_to_end() -> None:
    async with stage() as on, worker(on.address) as client:
        on.open()
        job = await on.enter(client)
        on.leave(job)
        assert await client.terminations.get() == job.id
        assert (on.state().status, on.state().error) == (FAILED, "agent worker left the room")
        ended_at = on.state().ended_at
        # The worker knows better: the job went well, and then the agent left.
        await client.report(job.id, SUCCESS)
        assert (on.state().status, on.state().error, on.state().ended_at) == (SUCCESS, "", ended_at)


async def test_an_agent_that_leaves_after_its_job_has_ended_is_not_terminated() -> None:
    async with stage() as on, worker(on.address) as client:
        on.open()
        job = await on.enter(client)
        await client.report(job.id, SUCCESS)
        on.leave(job)
        await client.settle()
        assert client.terminations.empty()
        assert on.state().status == SUCCESS


async def test_the_record_tells_that_the_worker_is_lost() -> None:
    async with stage() as on:
        on.house.people["ada"] = ADA
        on.open()
        async with worker(on.address) as client:
            await on.enter(client)
        await until(lambda: on.state().status == FAILED)
        assert (on.state().status, on.state().error) == (FAILED, "the connection to the agent's worker was lost")
        assert on.state().ended_at


async def test_a_worker_that_comes_back_keeps_its_jobs() -> None:
    async with stage() as on:
        on.house.people["ada"] = ADA
        on.open()
        async with worker(on.address) as client:
            job = await on.enter(client)
        await until(lambda: on.state().status == FAILED)
        async with worker(on.address) as again:
            await again.send(migrate_job=agent.MigrateJobRequest(job_ids=[job.id, "AJ_unknown"]))
            await again.settle()
            state = on.state()
            assert (state.status, state.error, state.ended_at) == (RUNNING, "", 0)
            assert state.worker_id == (await again.registered).worker_id
            on.leave(job)
            assert await again.terminations.get() == job.id


async def test_a_worker_that_comes_back_after_its_agent_has_left_is_told_to_end_the_job() -> None:
    async with stage() as on:
        on.house.people["ada"] = ADA
        on.open()
        async with worker(on.address) as client:
            job = await on.enter(client)
        await until(lambda: on.state().status == FAILED)
        on.leave(job)
        async with worker(on.address) as again:
            await again.send(migrate_job=agent.MigrateJobRequest(job_ids=[job.id]))
            assert await again.terminations.get() == job.id
            assert on.state().status == FAILED


async def test_a_worker_cannot_take_over_a_finished_job_or_one_of_another_name() -> None:
    async with stage() as on, worker(on.address) as client:
        on.open()
        job = await on.enter(client)
        async with worker(on.address, kind(agent.JobType.JT_ROOM, "other")) as other:
            await other.send(migrate_job=agent.MigrateJobRequest(job_ids=[job.id]))
            await other.report(job.id, FAILED)
            assert on.state().status == RUNNING
        await client.report(job.id, SUCCESS)
        async with worker(on.address) as same:
            await same.send(migrate_job=agent.MigrateJobRequest(job_ids=[job.id]))
            await same.settle()
            assert on.state().status == SUCCESS


@pytest.mark.parametrize("reason", [models.DisconnectReason.STATE_MISMATCH, models.DisconnectReason.DUPLICATE_IDENTITY])
async def test_an_agent_that_reconnects_in_full_keeps_its_job(reason: models.DisconnectReason) -> None:
    async with stage(return_window=0.05) as on, worker(on.address) as client:
        on.open()
        job = await on.enter(client)
        on.leave(job, reason)
        on.house.people[job.state.participant_identity] = on.agent_of(job)  # back with a new sid
        await until(lambda: not any(room.tasks for room in on.dispatches._rooms.values()))
        await client.settle()
        assert on.state().status == RUNNING
        assert client.terminations.empty()


async def test_an_agent_that_does_not_come_back_from_a_full_reconnect_is_terminated() -> None:
    async with stage(return_window=0.05) as on, worker(on.address) as client:
        on.open()
        job = await on.enter(client)
        on.leave(job, models.DisconnectReason.STATE_MISMATCH)
        assert on.state().status == RUNNING
        assert await client.terminations.get() == job.id
        assert on.state().status == FAILED


async def test_a_job_of_nothing_to_do_is_recorded_as_a_success() -> None:
    async with stage() as on, worker(on.address) as client:
        client.answer = lambda _: agent.AvailabilityResponse(terminate=True)
        on.open()
        await client.offers.get()
        await until(lambda: bool(on.dispatches.list("r")[0].state.jobs))
        assert on.state().status == SUCCESS


async def test_strict_records_say_running_for_ever() -> None:
    async with stage(strict=True) as on, worker(on.address) as client:
        on.open()
        job = await on.enter(client)
        await client.report(job.id, FAILED, "boom")
        on.leave(job)
        await client.settle()
        assert client.terminations.empty()  # the worker has said that it is over
        assert (on.state().status, on.state().error) == (RUNNING, "")


async def test_strict_terminates_an_agent_that_reconnects_in_full() -> None:
    async with stage(strict=True) as on, worker(on.address) as client:
        on.open()
        job = await on.enter(client)
        on.leave(job, models.DisconnectReason.STATE_MISMATCH)
        assert await client.terminations.get() == job.id


async def test_records_of_ended_jobs_go_first_when_there_are_too_many() -> None:
    request = kind(agent.JobType.JT_PARTICIPANT)
    async with stage(limits=Limits(jobs_per_dispatch=2)) as on, worker(on.address, request) as client:
        on.open()
        jobs = []
        for number in range(4):
            on.dispatches.participant_joined(ROOM, models.ParticipantInfo(sid=f"PA_{number}"))
            jobs.append((await client.assignments.get()).job.id)
            if number == 1:
                await client.report(jobs[1], SUCCESS)
        (dispatch,) = on.dispatches.list("r")
        # The second had ended; the first was the oldest of those that run.
        assert [job.id for job in dispatch.state.jobs] == jobs[2:]


# --- ending ----------------------------------------------------------------------------------------------------


async def test_a_deleted_dispatch_ends_its_agent_which_may_leave_by_itself() -> None:
    async with stage(leave_window=5.0) as on, worker(on.address) as client:
        on.open()
        job = await on.enter(client)
        deleted = on.dispatches.delete("r", job.dispatch_id)
        assert deleted.state.deleted_at
        assert deleted.state.jobs[0].state.status == SUCCESS
        assert on.dispatches.list("r") == []
        assert await client.terminations.get() == job.id
        on.leave(job)
        await until(lambda: not any(room.tasks for room in on.dispatches._rooms.values()))
        assert on.house.removed.empty()
        assert client.terminations.empty()
        assert not on.dispatches._rooms["r"].jobs


async def test_a_room_has_so_many_dispatches_and_no_more() -> None:
    async with stage(limits=Limits(dispatches_per_room=2)) as on:
        on.open(NAMED, NAMED, NAMED)
        first, _ = on.dispatches.list("r")
        wanted = agent_dispatch.CreateAgentDispatchRequest(room="r", agent_name="b")
        with pytest.raises(LimitExceeded, match="max 2 a room"):
            on.dispatches.create(wanted)
        on.dispatches.delete("r", first.id)
        assert on.dispatches.create(wanted).agent_name == "b"


async def test_an_agent_of_a_deleted_dispatch_that_stays_is_removed() -> None:
    async with stage(leave_window=0.05) as on, worker(on.address) as client:
        on.open()
        job = await on.enter(client)
        on.dispatches.delete("r", job.dispatch_id)
        assert await on.house.removed.get() == job.state.participant_identity


async def test_the_end_of_a_room_ends_its_jobs() -> None:
    async with stage() as on, worker(on.address) as client:
        on.open()
        job = await on.enter(client)
        on.dispatches.room_closed("r")
        assert await client.terminations.get() == job.id
        with pytest.raises(UnknownRoom):
            on.dispatches.list("r")
        # What comes afterwards is nobody's business any more.
        on.leave(job)
        on.dispatches.room_closed("r")
        await client.report(job.id, FAILED)
        assert client.terminations.empty()
