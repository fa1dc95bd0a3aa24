"""Agent dispatch: which worker gets which job, and what it is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from livekit import api, rtc
from livekit.protocol import agent
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.conformance.support.signal import PATIENCE
from tests.conformance.support.worker import accept, be_silent, decline, worker, worker_token

if TYPE_CHECKING:
    from tests.conformance.support.clients import Joiner, SignalPath
    from tests.conformance.support.server import Server

ROOM, PUBLISHER, PARTICIPANT = agent.JobType.JT_ROOM, agent.JobType.JT_PUBLISHER, agent.JobType.JT_PARTICIPANT


@pytest.fixture
def name(room: str) -> str:
    """An agent name of this test's own."""
    return f"agent-of-{room}"


async def dispatch(lkapi: api.LiveKitAPI, room: str, name: str, metadata: str = "") -> api.AgentDispatch:
    """Ask for an agent."""
    request = api.CreateAgentDispatchRequest(room=room, agent_name=name, metadata=metadata)
    return await lkapi.agent_dispatch.create_dispatch(request)


async def job_status(lkapi: api.LiveKitAPI, room: str, dispatch_id: str, *, ended: bool) -> agent.JobState:
    """Ask for the state of the only job of a dispatch until it is over, or is not."""
    async with asyncio.timeout(8):
        while True:
            listed = await lkapi.agent_dispatch.get_dispatch(dispatch_id, room)
            states = [job.state for job in listed.state.jobs] if listed else []
            if states and (states[0].ended_at > 0) == ended:
                return states[0]
            await asyncio.sleep(0.1)  # the API has no event for it


async def test_a_worker_is_registered_with_an_id(server: Server) -> None:
    async with worker(server, "somebody") as first, worker(server, "somebody") as second:
        assert first.id.startswith("AW_")
        assert first.id != second.id
        assert first.registered.server_info.agent_protocol == 1
        await first.send(ping=agent.WorkerPing(timestamp=5))
        pong = await asyncio.wait_for(first.pongs.get(), PATIENCE)
        assert pong.last_timestamp == 5


@pytest.mark.parametrize("grants", [{}, {"room_admin": True}, {"room_join": True, "room": "r"}])
async def test_a_worker_without_the_agent_grant_is_refused(server: Server, grants: dict[str, Any]) -> None:
    token = api.AccessToken(server.key, server.secret).with_identity("w").with_grants(api.VideoGrants(**grants))
    headers = {"Authorization": f"Bearer {token.to_jwt()}"}
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"{server.ws}/agent?protocol=1", additional_headers=headers, proxy=None):
            pass
    assert refused.value.response.status_code == 401


async def test_a_worker_that_talks_nonsense_is_disconnected(server: Server) -> None:
    headers = {"Authorization": f"Bearer {worker_token(server)}"}
    async with connect(f"{server.ws}/agent?protocol=1", additional_headers=headers, proxy=None) as ws:
        await ws.send(b"\xff\xff\xff")
        await asyncio.wait_for(ws.wait_closed(), PATIENCE)


async def test_an_unnamed_worker_gets_a_job_for_every_room_that_asks_for_nobody(
    join: Joiner, server: Server, room: str, path: SignalPath
) -> None:
    async with worker(server, answer=lambda job: accept(job) if job.room.name == room else decline(job)) as w:
        ann = await join("ann")
        job = (await w.assignment()).job
        assert (job.type, job.room.name, job.agent_name, job.room.sid) == (ROOM, room, "", await ann.room.sid)
        assert job.id.startswith("AJ_")
        assert job.dispatch_id.startswith("AD_")


async def test_an_agent_joins_with_the_token_of_its_job(
    join: Joiner, server: Server, room: str, name: str, lkapi: api.LiveKitAPI, path: SignalPath
) -> None:
    def introduce(job: agent.Job) -> agent.AvailabilityResponse:
        return agent.AvailabilityResponse(
            job_id=job.id,
            available=True,
            participant_identity="interviewer",
            participant_name="Ina",
            participant_metadata="m",
            participant_attributes={"a": "1"},
        )

    ann = await join("ann")
    async with worker(server, name, answer=introduce) as w:
        asked = await dispatch(lkapi, room, name, metadata='{"topic":"chess"}')
        assignment = await w.assignment()
        job = assignment.job
        assert (job.dispatch_id, job.metadata, job.agent_name, job.room.name) == (
            asked.id,
            '{"topic":"chess"}',
            name,
            room,
        )
        claims = jwt.decode(assignment.token, server.secret, algorithms=["HS256"])
        assert (claims["sub"], claims["kind"], claims["video"]["room"]) == ("interviewer", "agent", room)
        await join("interviewer", token=assignment.token)
        seen = await ann.wait_for_participant("interviewer")
        assert (seen.name, seen.metadata, seen.attributes) == ("Ina", "m", {"a": "1", "lk.agent_name": name})
        assert seen.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT


async def test_a_token_brings_its_agents_when_it_makes_the_room(
    join: Joiner, server: Server, room: str, name: str
) -> None:
    config = api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name=name, metadata="from the token")])
    async with worker(server, name) as w:
        await join("ann", token=server.unsigned_token("ann", room=room).with_room_config(config).to_jwt())
        job = (await w.assignment()).job
        assert (job.metadata, job.agent_name) == ("from the token", name)
        await join("bob", token=server.unsigned_token("bob", room=room).with_room_config(config).to_jwt())
        await (await join("cat")).close()
        assert w.assigned.empty()


async def test_a_created_room_gets_its_agents_without_anybody_there(
    server: Server, room: str, name: str, lkapi: api.LiveKitAPI
) -> None:
    async with worker(server, name) as w:
        agents = [api.RoomAgentDispatch(agent_name=name, metadata=text) for text in ("first", "second")]
        await lkapi.room.create_room(api.CreateRoomRequest(name=room, agents=agents))
        assert {(await w.assignment()).job.metadata for _ in agents} == {"first", "second"}
        listed = await lkapi.agent_dispatch.list_dispatch(room)
        assert {(each.agent_name, each.metadata) for each in listed} == {(name, "first"), (name, "second")}


async def test_a_publisher_job_comes_with_the_first_track(
    join: Joiner, server: Server, room: str, path: SignalPath
) -> None:
    async with worker(
        server,
        job_type=PUBLISHER,
        answer=lambda job: accept(job) if job.room.name == room else decline(job),
    ) as w:
        ann = await join("ann")
        await join("bob")
        await ann.speak(440)
        job = (await w.assignment()).job
        assert (job.type, job.participant.identity, job.participant.sid) == (PUBLISHER, "ann", ann.me.sid)


async def test_a_participant_job_comes_with_each_participant_who_is_no_agent(
    join: Joiner, server: Server, room: str
) -> None:
    async with worker(
        server,
        job_type=PARTICIPANT,
        answer=lambda job: accept(job) if job.room.name == room else decline(job),
    ) as w:
        await join("agent", kind="agent", agent=True)
        await join("ann")
        await join("bob")
        identities = {(await w.assignment()).job.participant.identity for _ in range(2)}
        assert identities == {"ann", "bob"}


async def test_a_declined_job_goes_to_another_worker(
    server: Server, room: str, name: str, lkapi: api.LiveKitAPI
) -> None:
    async with worker(server, name, answer=decline) as unwilling, worker(server, name) as willing:
        for number in range(4):
            await dispatch(lkapi, f"{room}-{number}", name)
        rooms = {(await willing.assignment()).job.room.name for _ in range(4)}
        assert rooms == {f"{room}-{number}" for number in range(4)}
        assert unwilling.assigned.empty()


async def test_a_full_worker_gets_no_job(server: Server, room: str, name: str, lkapi: api.LiveKitAPI) -> None:
    async with worker(server, name) as full, worker(server, name) as free:
        await full.send(update_worker=agent.UpdateWorkerStatus(status=agent.WorkerStatus.WS_FULL, load=1))
        await full.send(ping=agent.WorkerPing(timestamp=1))
        await asyncio.wait_for(full.pongs.get(), PATIENCE)
        for number in range(4):
            await dispatch(lkapi, f"{room}-{number}", name)
            await free.assignment()
        assert not full.offered


async def test_a_named_worker_is_not_asked_for_others(
    join: Joiner, server: Server, room: str, name: str, lkapi: api.LiveKitAPI
) -> None:
    async with worker(server, name) as w, worker(server, f"{name}-2") as other:
        await join("ann")
        await dispatch(lkapi, room, f"{name}-2")
        await other.assignment()
        assert not w.offered


async def test_a_deleted_dispatch_ends_its_job(
    join: Joiner, server: Server, room: str, name: str, lkapi: api.LiveKitAPI
) -> None:
    await join("ann")
    async with worker(server, name) as w:
        asked = await dispatch(lkapi, room, name)
        assignment = await w.assignment()
        await w.report(assignment.job, agent.JobStatus.JS_RUNNING)
        interviewer = await join("interviewer", token=assignment.token)
        deleted = await lkapi.agent_dispatch.delete_dispatch(asked.id, room)
        assert deleted.id == asked.id
        assert await w.termination() == assignment.job.id
        assert await interviewer.wait_for_disconnect(within=8) == rtc.DisconnectReason.PARTICIPANT_REMOVED
        assert asked.id not in {each.id for each in await lkapi.agent_dispatch.list_dispatch(room)}


async def test_a_job_ends_when_its_agent_leaves_the_room(
    join: Joiner, server: Server, room: str, name: str, lkapi: api.LiveKitAPI
) -> None:
    await join("ann")
    async with worker(server, name) as w:
        asked = await dispatch(lkapi, room, name)
        assignment = await w.assignment()
        interviewer = await join("interviewer", token=assignment.token)
        await job_status(lkapi, room, asked.id, ended=False)  # the original connects agent and job seconds later
        await interviewer.close()
        assert await w.termination() == assignment.job.id


async def test_an_unknown_dispatch_is_not_found(lkapi: api.LiveKitAPI, join: Joiner, room: str) -> None:
    await join("ann")
    with pytest.raises(api.TwirpError) as refused:
        await lkapi.agent_dispatch.delete_dispatch("AD_unknown", room)
    assert refused.value.code == "not_found"


async def test_a_room_that_asks_for_nobody_has_one_unnamed_dispatch(
    join: Joiner, lkapi: api.LiveKitAPI, room: str
) -> None:
    await join("ann")
    [one] = await lkapi.agent_dispatch.list_dispatch(room)
    assert (one.agent_name, one.room) == ("", room)


async def test_a_simulated_job_comes_back_to_its_worker(join: Joiner, server: Server, room: str, name: str) -> None:
    ann = await join("ann")
    async with worker(server, name) as w:
        wanted = api.Room(name=room, sid=await ann.room.sid)
        await w.send(simulate_job=agent.SimulateJobRequest(type=ROOM, room=wanted))
        assert (await w.assignment()).job.room.name == room


async def test_a_worker_that_does_not_answer_in_three_seconds_loses_the_job(
    original: Server, room: str, name: str
) -> None:
    async with (
        api.LiveKitAPI(original.http, original.key, original.secret) as lkapi,
        worker(original, name, answer=be_silent) as w,
    ):
        await dispatch(lkapi, room, name)
        job = await w.offer()
        await asyncio.sleep(3.5)  # the answer window itself is what is tested
        late = accept(job)
        assert late is not None
        await w.send(availability=late)
        await w.send(ping=agent.WorkerPing(timestamp=1))
        await asyncio.wait_for(w.pongs.get(), PATIENCE)
        assert w.assigned.empty()


async def test_strictly_a_dispatch_before_any_worker_is_lost(original: Server, room: str, name: str) -> None:
    async with api.LiveKitAPI(original.http, original.key, original.secret) as lkapi:
        await dispatch(lkapi, room, name)
        async with worker(original, name) as w:
            await dispatch(lkapi, f"{room}-2", name)
            assert (await w.assignment()).job.room.name == f"{room}-2"
            assert {job.room.name for job in w.offered} == {f"{room}-2"}


@pytest.mark.improvement
async def test_a_dispatch_before_any_worker_waits_for_one(
    server: Server, room: str, name: str, lkapi: api.LiveKitAPI
) -> None:
    await dispatch(lkapi, room, name, metadata="patient")
    async with worker(server, name) as w:
        job = (await w.assignment()).job
        assert (job.room.name, job.metadata) == (room, "patient")


@pytest.mark.improvement
async def test_a_job_that_everybody_declined_is_offered_to_the_next_worker(
    server: Server, room: str, name: str, lkapi: api.LiveKitAPI
) -> None:
    async with worker(server, name, answer=decline) as unwilling:
        await dispatch(lkapi, room, name)
        await unwilling.offer()
        async with worker(server, name) as willing:
            assert (await willing.assignment()).job.room.name == room


@pytest.mark.parametrize("status", [agent.JobStatus.JS_FAILED, agent.JobStatus.JS_SUCCESS], ids=["failed", "success"])
@pytest.mark.improvement
async def test_the_record_of_a_job_tells_how_it_ended(
    join: Joiner, server: Server, room: str, name: str, lkapi: api.LiveKitAPI, status: agent.JobStatus
) -> None:
    await join("ann")
    async with worker(server, name) as w:
        asked = await dispatch(lkapi, room, name)
        job = (await w.assignment()).job
        await w.report(job, agent.JobStatus.JS_RUNNING)
        running = await job_status(lkapi, room, asked.id, ended=False)
        assert (running.status, running.worker_id) == (agent.JobStatus.JS_RUNNING, w.id)
        await w.report(job, status, error="out of memory")
        ended = await job_status(lkapi, room, asked.id, ended=True)
        assert (ended.status, ended.error) == (status, "out of memory")


@pytest.mark.improvement
async def test_the_record_of_a_job_tells_that_its_worker_is_gone(
    join: Joiner, server: Server, room: str, name: str, lkapi: api.LiveKitAPI
) -> None:
    await join("ann")
    async with worker(server, name) as w:
        asked = await dispatch(lkapi, room, name)
        await w.assignment()
    ended = await job_status(lkapi, room, asked.id, ended=True)
    assert ended.status == agent.JobStatus.JS_FAILED


async def test_strictly_the_record_of_a_dead_job_says_running(original: Server, room: str, name: str) -> None:
    async with api.LiveKitAPI(original.http, original.key, original.secret) as lkapi:
        async with worker(original, name) as w:
            asked = await dispatch(lkapi, room, name)
            job = (await w.assignment()).job
            await w.report(job, agent.JobStatus.JS_RUNNING)
            await w.report(job, agent.JobStatus.JS_FAILED, error="out of memory")
        state = await job_status(lkapi, room, asked.id, ended=False)
        assert state.status == agent.JobStatus.JS_RUNNING
