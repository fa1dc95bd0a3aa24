"""A lost signal connection: resumed without a gap where possible, begun anew where not."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from livekit import rtc
from livekit.protocol import models
from livekit.protocol import rtc as signal

from tests.conformance.support.line import SignalLine, signal_line
from tests.conformance.support.sound import Heard, hear_again, hear_tone, listen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conformance.support.clients import Client, Joiner, SignalPath
    from tests.conformance.support.server import Server

RESUMED_WITHIN = 8.0
ANEW_WITHIN = 15.0
Scenario = rtc.SimulateScenarioKind


@pytest.fixture
async def line(server: Server) -> AsyncIterator[SignalLine]:
    """A signal line to the server under test."""
    async with signal_line(server) as line:
        yield line


async def resumed(client: Client) -> None:
    """Wait until a client is back in its session."""
    await client.wait_for("reconnecting", within=RESUMED_WITHIN)
    await client.wait_for("reconnected", within=RESUMED_WITHIN)


async def test_each_path_signals_where_it_should(join: Joiner, path: SignalPath, line: SignalLine) -> None:
    await join("ann", url=line.url)
    assert [call.path for call in line.calls] == [{"v0": "/rtc", "v1": "/rtc/v1"}[path]]


async def test_a_cut_signal_is_resumed_without_a_gap_in_the_audio(
    join: Joiner, path: SignalPath, line: SignalLine
) -> None:
    bob, ann = await join("bob"), await join("ann", url=line.url)
    sid = ann.me.sid
    await asyncio.gather(ann.speak(440), bob.speak(1000))
    at_bob, at_ann = await asyncio.gather(bob.wait_for_track("ann"), ann.wait_for_track("bob"))
    await asyncio.gather(hear_tone(at_bob, 440), hear_tone(at_ann, 1000))
    gaps: list[Heard] = []

    async def watch(track: rtc.Track, hz: float) -> None:
        async with contextlib.aclosing(listen(track)) as windows:
            await anext(windows)  # the first one may begin before the stream was filled
            async for heard in windows:
                gaps.extend([heard] if not heard.is_tone(hz) else [])

    watching = [asyncio.create_task(watch(at_bob, 440)), asyncio.create_task(watch(at_ann, 1000))]
    line.cut()
    await resumed(ann)
    await asyncio.gather(hear_tone(at_bob, 440), hear_tone(at_ann, 1000))
    for task in watching:
        task.cancel()
    await asyncio.wait(watching)
    assert len(gaps) <= 1  # a busy machine may stretch one window
    assert line.calls[-1].is_resume
    assert line.calls[-1].received[0].WhichOneof("message") == "reconnect"
    assert ann.me.sid == sid
    assert not bob.saw("participant_disconnected")
    assert not bob.saw("track_unpublished")


async def test_reliable_data_passes_a_cut_signal_once_and_in_order(
    join: Joiner, path: SignalPath, line: SignalLine
) -> None:
    bob, ann = await join("bob"), await join("ann", url=line.url)
    await bob.wait_for_participant("ann")
    sent = [str(number).encode() for number in range(40)]

    async def send(client: Client) -> None:
        for number, data in enumerate(sent):
            await client.me.publish_data(data)
            if number == 20 and client is ann:
                line.cut()
            await asyncio.sleep(0.02)  # so that the cut falls into the middle

    async def receive(client: Client) -> list[bytes]:
        return [(await client.wait_for("data_received", within=RESUMED_WITHIN)).args[0].data for _ in sent]

    _, _, at_ann, at_bob = await asyncio.gather(send(ann), send(bob), receive(ann), receive(bob))
    assert at_ann == sent
    assert at_bob == sent
    await resumed(ann)
    assert line.calls[-1].received[0].reconnect.last_message_seq >= 21
    assert not ann.saw("data_received")
    assert not bob.saw("data_received")


async def test_who_came_left_and_changed_meanwhile_is_known_after_a_resume(
    join: Joiner, path: SignalPath, line: SignalLine
) -> None:
    ann, leaver, changer = (
        await join("ann", url=line.url),
        await join("leaver"),
        await join("changer", can_update_own_metadata=True),
    )
    await asyncio.gather(ann.wait_for_participant("leaver"), ann.wait_for_participant("changer"))
    line.blocked = True
    line.cut()
    await ann.wait_for("reconnecting")
    await leaver.close()
    await changer.me.set_attributes({"mood": "calm"})
    newcomer = await join("newcomer")
    line.blocked = False
    await ann.wait_for("reconnected", within=ANEW_WITHIN)
    await ann.wait_for_participant("newcomer")
    await ann.wait_until(lambda: "leaver" not in ann.room.remote_participants)
    await ann.wait_until(lambda: ann.other("changer").attributes == {"mood": "calm"})
    assert ann.other("newcomer").sid == newcomer.me.sid


async def test_a_client_whose_state_does_not_match_begins_anew(
    join: Joiner, path: SignalPath, line: SignalLine
) -> None:
    bob, ann = await join("bob"), await join("ann", url=line.url)
    await bob.wait_for_participant("ann")
    first = bob.other("ann").sid
    await ann.speak(440)
    await hear_tone(await bob.wait_for_track("ann"), 440)

    def claim_unknown_track(request: signal.SignalRequest) -> signal.SignalRequest:
        if request.HasField("sync_state"):
            track = models.TrackInfo(sid="TR_AMunknown")
            request.sync_state.publish_tracks.append(signal.TrackPublishedResponse(cid="c", track=track))
        return request

    line.rewrite = claim_unknown_track
    line.cut()
    gone = (await bob.wait_for("participant_disconnected", within=ANEW_WITHIN)).args[0]
    assert gone.disconnect_reason == rtc.DisconnectReason.STATE_MISMATCH
    await ann.wait_for("reconnected", within=ANEW_WITHIN)
    await hear_tone(await bob.wait_for_track("ann", within=ANEW_WITHIN), 440)
    assert bob.other("ann").sid != first
    assert not ann.saw("disconnected")


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario.SIMULATE_SIGNAL_RECONNECT,
        Scenario.SIMULATE_NODE_FAILURE,
        Scenario.SIMULATE_MIGRATION,
        Scenario.SIMULATE_DISCONNECT_SIGNAL_ON_RESUME,
        Scenario.SIMULATE_FORCE_TCP,
        Scenario.SIMULATE_FULL_RECONNECT,
    ],
    ids=lambda scenario: Scenario.Name(scenario).removeprefix("SIMULATE_").lower(),
)
async def test_a_simulated_mishap_ends_in_being_heard_again(
    join: Joiner, path: SignalPath, scenario: Scenario.ValueType
) -> None:
    bob, ann = await join("bob"), await join("ann")
    await ann.speak(440)
    await hear_tone(await bob.wait_for_track("ann"), 440)
    await ann.room.simulate_scenario(scenario)
    await ann.wait_for("reconnected", within=ANEW_WITHIN)
    await ann.me.publish_data(b"here again")
    await bob.wait_for("data_received")
    await hear_again(bob.room, "ann", 440)


async def test_a_server_that_leaves_says_so(join: Joiner, path: SignalPath) -> None:
    ann = await join("ann")
    await ann.room.simulate_scenario(Scenario.SIMULATE_SERVER_LEAVE)
    assert await ann.wait_for_disconnect() == rtc.DisconnectReason.SERVER_SHUTDOWN


async def test_a_simulated_speaker_is_told_to_all(join: Joiner, path: SignalPath) -> None:
    bob, ann = await join("bob"), await join("ann")
    await ann.speak(0)
    await bob.wait_for_track("ann")
    await ann.room.simulate_scenario(Scenario.SIMULATE_SPEAKER)
    await bob.wait_for("active_speakers_changed", lambda speakers: [each.identity for each in speakers] == ["ann"])
