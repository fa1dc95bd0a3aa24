"""An unmodified livekit-agents worker: it is sent, speaks, hears, and ends."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from livekit import api, rtc

from tests.conformance.support.agents import GREETING_HZ, STARTED_WITHIN, agent_worker
from tests.conformance.support.sound import hear_tone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conformance.support.clients import Client, Joiner, SignalPath
    from tests.conformance.support.server import Server

pytestmark = pytest.mark.timeout(120)

NAME = "conformance"
FIRST_WORD_HZ = 880.0
FIRST_WORD_SECONDS = 0.4


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def named_worker(server: Server) -> AsyncIterator[None]:
    """A worker that is asked for by name, the same for all tests here."""
    async with agent_worker(server, NAME):
        yield


async def wait_for_agent(client: Client) -> rtc.RemoteParticipant:
    """Wait until an agent is in the room."""
    agents: list[rtc.RemoteParticipant] = []

    def found() -> bool:
        agents[:] = [each for each in client.room.remote_participants.values() if "pid" in each.attributes]
        return bool(agents)

    await client.wait_until(found, within=STARTED_WITHIN)
    assert agents[0].kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
    return agents[0]


async def hear_greeting(client: Client) -> rtc.RemoteParticipant:
    """Wait for an agent, and hear its greeting from the start."""
    event = await client.wait_for("track_subscribed", within=STARTED_WITHIN)
    await hear_tone(event.args[0], GREETING_HZ)
    agent: rtc.RemoteParticipant = event.args[2]
    return agent


async def ask_for_agent(lkapi: api.LiveKitAPI, room: str, metadata: str) -> api.AgentDispatch:
    """Send an agent by the API."""
    request = api.CreateAgentDispatchRequest(room=room, agent_name=NAME, metadata=metadata)
    return await lkapi.agent_dispatch.create_dispatch(request)


@pytest.mark.usefixtures("named_worker")
async def test_an_agent_sent_by_the_api_greets(
    join: Joiner, path: SignalPath, lkapi: api.LiveKitAPI, room: str
) -> None:
    ann = await join("ann")
    await ask_for_agent(lkapi, room, "talk")
    agent = await hear_greeting(ann)
    assert agent.attributes["lk.agent_name"] == NAME


@pytest.mark.usefixtures("named_worker")
async def test_an_agent_sent_by_the_token_greets(join: Joiner, server: Server, room: str) -> None:
    config = api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name=NAME)])
    ann = await join("ann", token=server.unsigned_token("ann", room=room).with_room_config(config).to_jwt())
    await hear_greeting(ann)


async def test_an_agent_comes_by_itself_to_a_room_that_asks_for_nobody(join: Joiner, server: Server) -> None:
    async with agent_worker(server, ""):
        await hear_greeting(await join("ann"))


@pytest.mark.usefixtures("named_worker")
async def test_the_agent_hears_the_first_word(join: Joiner, path: SignalPath, lkapi: api.LiveKitAPI, room: str) -> None:
    ann = await join("ann")
    await ann.speak(0)
    await ask_for_agent(lkapi, room, "listen")
    await ann.wait_for("local_track_subscribed", within=STARTED_WITHIN)
    spoken_at = time.time()
    ann.change_tone(FIRST_WORD_HZ)
    await asyncio.sleep(FIRST_WORD_SECONDS)  # that is how long the word takes
    ann.change_tone(0)
    heard = json.loads((await ann.wait_for("data_received", lambda packet: packet.topic == "heard")).args[0].data)
    assert heard["hz"] == pytest.approx(FIRST_WORD_HZ, abs=10)
    assert heard["seconds"] > 0.8 * FIRST_WORD_SECONDS
    assert heard["first_at"] - spoken_at < 1


@pytest.mark.usefixtures("named_worker")
async def test_an_agent_that_ends_deletes_its_room(
    join: Joiner, path: SignalPath, lkapi: api.LiveKitAPI, room: str
) -> None:
    ann = await join("ann")
    await ask_for_agent(lkapi, room, "talk")
    await hear_greeting(ann)
    await ann.me.send_text("bye", topic="lk.chat")
    assert await ann.wait_for_disconnect(within=10) == rtc.DisconnectReason.ROOM_DELETED
    assert not (await lkapi.room.list_rooms(api.ListRoomsRequest(names=[room]))).rooms


@pytest.mark.usefixtures("named_worker")
async def test_a_user_who_leaves_on_purpose_ends_the_agent(
    join: Joiner, path: SignalPath, lkapi: api.LiveKitAPI, room: str
) -> None:
    watcher, ann = await join("watcher", kind="egress", hidden=True), await join("ann")
    await ask_for_agent(lkapi, room, "talk")
    await hear_greeting(ann)
    await ann.close()
    assert await watcher.wait_for_disconnect(within=10) == rtc.DisconnectReason.ROOM_DELETED


@pytest.mark.usefixtures("named_worker")
async def test_a_deleted_dispatch_sends_the_agent_away(
    join: Joiner, path: SignalPath, lkapi: api.LiveKitAPI, room: str
) -> None:
    ann = await join("ann")
    asked = await ask_for_agent(lkapi, room, "listen")
    agent = await wait_for_agent(ann)
    await lkapi.agent_dispatch.delete_dispatch(asked.id, room)
    await ann.wait_for("participant_disconnected", lambda who: who.identity == agent.identity, within=15)


@pytest.mark.usefixtures("named_worker")
async def test_a_removed_agent_is_gone_and_its_job_over(join: Joiner, lkapi: api.LiveKitAPI, room: str) -> None:
    ann = await join("ann")
    await ask_for_agent(lkapi, room, "listen")
    agent = await wait_for_agent(ann)
    await lkapi.room.remove_participant(api.RoomParticipantIdentity(room=room, identity=agent.identity))
    gone = await ann.wait_for("participant_disconnected", lambda who: who.identity == agent.identity)
    assert gone.args[0].disconnect_reason == rtc.DisconnectReason.PARTICIPANT_REMOVED
    await ask_for_agent(lkapi, room, "talk")
    await hear_greeting(ann)
