"""An unmodified worker of @livekit/agents, the Node SDK: it takes jobs, speaks, leaves and stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from livekit import api, rtc

from tests.conformance.js.lab import npm_folder
from tests.conformance.support.clients import Joiner
from tests.conformance.support.server import Options
from tests.conformance.support.sound import hear_tone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.conformance.support.clients import Client
    from tests.conformance.support.server import Server, ServerProcess

pytestmark = pytest.mark.timeout(120)

TONE_HZ = 660.0
"""What the worker says to a job without metadata."""
STARTED_WITHIN = 30.0
"""Seconds for Node to load the SDK, in the worker and once more in each job's process, on a busy machine."""
STOPPED = 128 + signal.SIGTERM
"""The exit code of the SDK's command line once every job has ended."""
REGISTERED = b"registered worker"


@asynccontextmanager
async def node_worker(server: Server, agent_name: str) -> AsyncIterator[None]:
    """Run `worker.mjs`, registered; when the test is through, it must stop on SIGTERM."""
    node = shutil.which("node")
    assert node, "node is needed for the test of @livekit/agents"
    process = await asyncio.create_subprocess_exec(
        node,
        npm_folder("node-worker") / "worker.mjs",
        "dev",
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "LIVEKIT_URL": server.ws,
            "LIVEKIT_API_KEY": server.key,
            "LIVEKIT_API_SECRET": server.secret,
            "AGENT_NAME": agent_name,
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    lines: list[bytes] = []
    registered = asyncio.Event()

    async def read(stream: asyncio.StreamReader) -> None:
        async for line in stream:
            lines.append(line)
            if REGISTERED in line:
                registered.set()

    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read(process.stdout))
            async with asyncio.timeout(STARTED_WITHIN):
                await registered.wait()
            yield
            process.terminate()
            async with asyncio.timeout(STARTED_WITHIN):
                code = await process.wait()
                await reading
            assert code == STOPPED, b"".join(lines[-20:]).decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def hear_it_out(user: Client, hz: float) -> None:
    """Wait for an agent, hear the tone and read the words that it says, and see it leave of its own will."""
    joined = await user.wait_for("participant_connected", within=STARTED_WITHIN)
    agent: rtc.RemoteParticipant = joined.args[0]
    assert agent.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
    await hear_tone(await user.wait_for_track(agent.identity, within=STARTED_WITHIN), hz)
    words = await user.wait_for("transcription_received", lambda segments, *_: segments[0].final)
    assert words.args[0][0].text == f"A tone of {hz:.0f} hertz."
    await user.wait_for("participant_disconnected", lambda them: them.identity == agent.identity, within=STARTED_WITHIN)
    assert agent.disconnect_reason == rtc.DisconnectReason.CLIENT_INITIATED


async def test_a_node_worker_takes_jobs_of_the_api_and_of_tokens_and_is_heard(
    server: Server, room: str, join: Joiner, lkapi: api.LiveKitAPI
) -> None:
    dispatch = api.RoomAgentDispatch(agent_name="tone", metadata="770")
    token = (
        server.unsigned_token("with-token", room=f"{room}-token")
        .with_room_config(api.RoomConfiguration(agents=[dispatch]))
        .to_jwt()
    )
    async with node_worker(server, "tone"):
        by_api = await join("with-api")
        by_token = await join("with-token", token=token)
        request = api.CreateAgentDispatchRequest(agent_name="tone", room=room, metadata="550")
        await lkapi.agent_dispatch.create_dispatch(request)
        await asyncio.gather(hear_it_out(by_api, 550), hear_it_out(by_token, 770))


@pytest.mark.own_server
async def test_a_nameless_node_worker_takes_every_new_room(
    start_server: Callable[[Options], ServerProcess], room: str
) -> None:
    server = start_server(Options()).server  # an old room of another test's would get an agent as well
    join = Joiner(server, room)
    async with node_worker(server, ""), contextlib.aclosing(join):
        await hear_it_out(await join("user"), TONE_HZ)
