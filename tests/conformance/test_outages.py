"""Networks that fail, servers that restart, agents that are killed, receivers that are away."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest
from livekit import api, rtc

from tests.conformance.support.agents import STARTED_WITHIN, agent_worker
from tests.conformance.support.line import signal_line
from tests.conformance.support.relay import RELAY_HOST, udp_relay
from tests.conformance.support.server import Options
from tests.conformance.support.sound import hear_again, hear_tone
from tests.conformance.support.stage import approximately
from tests.conformance.support.webhooks import WebhookReceiver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conformance.support.clients import Client, Joiner, SignalPath
    from tests.conformance.support.stage import Outcomes, Scenario, Stage

PATHS: Final[tuple[SignalPath, ...]] = ("v0", "v1")
RESTART_PAUSE = 1.0
SLOWEST_ORIGINAL = 30.0
"""Seconds in which clients of the original are back after any outage; on v1 they need several attempts."""


async def talk(join: Joiner) -> tuple[Client, Client]:
    """Let two participants hear each other."""
    ann, bob = await join("ann"), await join("bob")
    await asyncio.gather(ann.speak(440), bob.speak(1000))
    at_ann, at_bob = await asyncio.gather(ann.wait_for_track("bob"), bob.wait_for_track("ann"))
    await asyncio.gather(hear_tone(at_ann, 1000), hear_tone(at_bob, 440))
    return ann, bob


async def hear_each_other_again(ann: Client, bob: Client, *, within: float) -> None:
    """Wait until both hear each other again."""
    try:
        await asyncio.gather(
            hear_again(ann.room, "bob", 1000, within=within), hear_again(bob.room, "ann", 440, within=within)
        )
    except AssertionError as error:
        error.add_note(f"ann: {ann.story}\nbob: {bob.story}")
        raise


async def a_network_lost_for(stage: Stage, seconds: float, *, within: float, unnoticed: bool) -> None:
    """Lose all media for a while, the signal stays: those who talked hear each other again soon after."""
    if stage.reference:
        within = max(within, SLOWEST_ORIGINAL)
    process = await stage.start_server(Options(advertise=RELAY_HOST))
    async with stage.talking, udp_relay(process.udp_port) as relay:
        talks = [await talk(stage.joiner(process.server, path)) for path in PATHS]
        relay.lossy = True
        await asyncio.sleep(seconds)  # the outage itself
        relay.lossy = False
        assert relay.lost > 20 * seconds  # else the media went another way
        await asyncio.gather(*(hear_each_other_again(*each, within=within) for each in talks))
        for client in itertools.chain(*talks):
            assert not client.saw("disconnected")
            assert not (unnoticed and client.saw("reconnecting"))


async def a_signal_lost_for_8_seconds(stage: Stage, path: SignalPath) -> None:
    """Lose the signal but not the media: the participant comes back, and speaks on."""
    bob = await stage.join("bob", path=path)
    async with signal_line(stage.server) as line:
        ann = await stage.join("ann", url=line.url, path=path)
        await ann.speak(440)
        await hear_tone(await bob.wait_for_track("ann"), 440)
        line.blocked = True
        line.cut()
        await asyncio.sleep(8)  # the outage itself
        line.blocked = False
        await ann.wait_for("reconnected", within=15)
        await hear_again(bob.room, "ann", 440)
        assert not ann.saw("disconnected")
        await ann.close()


async def a_deletion_that_was_missed(stage: Stage, path: SignalPath) -> None:
    """Delete the room while the signal is lost: the client is told at last, and does not bring the room back."""
    async with signal_line(stage.server) as line:
        ann = await stage.join("ann", url=line.url, path=path)
        line.blocked = True
        line.cut()
        await ann.wait_for("reconnecting")
        await stage.lkapi.room.delete_room(api.DeleteRoomRequest(room=stage.room))
        line.blocked = False
        await ann.wait_for_disconnect(within=60)
        assert not await stage.is_live()
        await ann.close()


async def a_server_restarted(stage: Stage) -> None:
    """Kill the server and start it again: all come back by themselves."""
    process = await stage.start_server(Options())
    async with stage.talking:
        talks = [await talk(stage.joiner(process.server, path)) for path in PATHS]
        process.kill()
        await asyncio.sleep(RESTART_PAUSE)  # the outage itself
        await asyncio.to_thread(process.start)
        await asyncio.gather(*(hear_each_other_again(*each, within=8) for each in talks))
        assert not any(client.saw("disconnected") for client in itertools.chain(*talks))


async def an_agent_killed(stage: Stage, what: str) -> None:
    """Kill a job or its whole worker: the user sees the agent leave, later."""
    name = f"agent-of-{stage.room}"
    async with contextlib.AsyncExitStack() as stack:
        async with stage.heavy:
            worker = await stack.enter_async_context(agent_worker(stage.server, name))
        ann = await stage.join("ann")
        request = api.CreateAgentDispatchRequest(room=stage.room, agent_name=name, metadata="listen")
        await stage.lkapi.agent_dispatch.create_dispatch(request)
        agents: list[rtc.RemoteParticipant] = []

        def found() -> bool:
            agents[:] = [each for each in ann.room.remote_participants.values() if "pid" in each.attributes]
            return bool(agents)

        await ann.wait_until(found, within=STARTED_WITHIN)
        if what == "job":
            os.kill(int(agents[0].attributes["pid"]), signal.SIGKILL)
        else:
            os.killpg(worker.pid, signal.SIGKILL)
        killed = time.monotonic()
        gone = (await ann.wait_for("participant_disconnected", within=40)).args[0]
        assert gone.disconnect_reason == rtc.DisconnectReason.CONNECTION_TIMEOUT
        approximately(time.monotonic() - killed, 20.2, f"the killed {what}'s agent was lost")


async def a_receiver_away_for_10_seconds(stage: Stage) -> None:
    """Take the receiver of webhooks away: what was being told is told when it is back."""
    receiver = WebhookReceiver()
    process = await stage.start_server(Options(webhooks=(receiver.url,), data_dir=stage.folder / "data"))
    async with api.LiveKitAPI(process.server.http, process.server.key, process.server.secret) as lkapi:
        created = await lkapi.room.create_room(api.CreateRoomRequest(name=stage.room))
        await asyncio.sleep(10)  # the outage itself
        receiver.open()
        stage.stack.callback(receiver.close)
        delivered = await receiver.wait_for(stage.room, "room_started", within=12)
        assert delivered.event.room.sid == created.sid


async def a_receiver_away_for_45_seconds_and_the_server_restarted(stage: Stage) -> None:
    """Take the receiver away for longer than the original's 30 s, restart the server meanwhile: nothing is lost."""
    receiver = WebhookReceiver()
    process = await stage.start_server(Options(webhooks=(receiver.url,), data_dir=stage.folder / "data"))
    began = time.monotonic()
    ann = await stage.joiner(process.server)("ann")
    await ann.close()
    async with api.LiveKitAPI(process.server.http, process.server.key, process.server.secret) as lkapi:
        await lkapi.room.delete_room(api.DeleteRoomRequest(room=stage.room))
    await asyncio.sleep(35)  # the first part of the outage
    process.kill()
    await asyncio.to_thread(process.start)
    await asyncio.sleep(max(0, began + 45 - time.monotonic()))  # the rest of it
    receiver.open()
    stage.stack.callback(receiver.close)
    await receiver.wait_for(stage.room, "room_finished", within=40)
    told = dict.fromkeys(delivery.event.id for delivery in receiver.of_room(stage.room))
    kinds = {delivery.event.id: delivery.event.event for delivery in receiver.of_room(stage.room)}
    assert [kinds[each] for each in told] == ["room_started", "participant_joined", "participant_left", "room_finished"]
    assert not receiver.refused


SCENARIOS: Mapping[str, Scenario] = {
    "a_receiver_away_for_45_seconds_and_the_server_restarted": a_receiver_away_for_45_seconds_and_the_server_restarted,
    "a_network_lost_for_25_seconds": partial(a_network_lost_for, seconds=25, within=10, unnoticed=False),
    "a_network_lost_for_15_seconds": partial(a_network_lost_for, seconds=15, within=15, unnoticed=False),
    "a_network_lost_for_5_seconds": partial(a_network_lost_for, seconds=5, within=6, unnoticed=True),
    **{f"a_killed_{what}": partial(an_agent_killed, what=what) for what in ("job", "worker")},
    **{f"a_deletion_that_was_missed_{path}": partial(a_deletion_that_was_missed, path=path) for path in PATHS},
    **{f"a_signal_lost_for_8_seconds_{path}": partial(a_signal_lost_for_8_seconds, path=path) for path in PATHS},
    "a_server_restarted": a_server_restarted,
    "a_receiver_away_for_10_seconds": a_receiver_away_for_10_seconds,
}
IMPROVEMENTS = {
    "a_receiver_away_for_45_seconds_and_the_server_restarted",
    "a_deletion_that_was_missed_v0",
    "a_deletion_that_was_missed_v1",
}


@pytest.mark.timeout(300)
@pytest.mark.own_server
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(scenario, id=name, marks=[pytest.mark.improvement] if name in IMPROVEMENTS else [])
        for name, scenario in SCENARIOS.items()
    ],
)
async def test_nobody_is_lost_by(scenario: Scenario, outcomes: Outcomes) -> None:
    outcomes.of(scenario)
