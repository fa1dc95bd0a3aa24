"""A page whose connection breaks: resumed without a gap, or started anew, as each fault demands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from livekit.protocol.models import DisconnectReason

from tests.conformance.js.lab import HUM_HZ, MICROPHONE_HZ

if TYPE_CHECKING:
    from tests.conformance.js.lab import SignalLine, Tab
    from tests.conformance.support.clients import SignalPath

pytestmark = pytest.mark.asyncio(loop_scope="session")

AUDIBLE_GAP = 0.1  # seconds; NetEQ bridges five lost packets before one hears it
CUTS = 3  # a busy machine may make a gap of its own; a resume that costs sound would cost it each time
REQUEST_PATHS = {"v0": "/rtc", "v1": "/rtc/v1"}
SIMULATE = "([scenario, argument]) => lab.room.simulateScenario(scenario, argument)"
SEND = """(text) => lab.room.localParticipant.publishData(new TextEncoder().encode(text), { reliable: true })"""


async def talk(ann: Tab, bob: Tab, room: str, path: SignalPath, url: str = "") -> None:
    """Let both join, and hear each other."""
    await asyncio.gather(ann.join(room, "ann", path=path, url=url), bob.join(room, "bob", path=path))
    await asyncio.gather(ann.run("lab.speak()"), bob.run("hz => lab.hum(hz)", HUM_HZ))
    await hear_each_other(ann, bob)


async def hear_each_other(ann: Tab, bob: Tab) -> None:
    """Wait until the audio flows both ways."""
    await asyncio.gather(ann.hears("bob", HUM_HZ), bob.hears("ann", MICROPHONE_HZ))


async def packets_at(bob: Tab) -> list[str]:
    """What data bob received, in order."""
    return [text for name, text in await bob.story() if name == "dataReceived"]


async def test_a_lost_signal_is_resumed_on_its_path_without_a_gap_in_the_audio(
    ann: Tab, bob: Tab, room: str, path: SignalPath, line: SignalLine
) -> None:
    await talk(ann, bob, room, path, line.url)
    gaps: list[float] = []
    while not gaps or (gaps[-1] >= AUDIBLE_GAP and len(gaps) < CUTS):
        marks = await ann.mark(), await bob.mark()
        await silences(ann, bob)
        line.cut()
        await ann.until("reconnected", since=marks[0])
        assert await ann.names(marks[0]) == [
            "connectionStateChanged",
            "signalReconnecting",
            "connectionStateChanged",
            "reconnected",
        ]
        assert await bob.names(marks[1]) == []
        gaps.append(max(await silences(ann, bob)))
        assert line.paths == [REQUEST_PATHS[path]] * (1 + len(gaps))
    assert gaps[-1] < AUDIBLE_GAP, gaps
    await hear_each_other(ann, bob)


async def silences(ann: Tab, bob: Tab) -> list[float]:
    """The longest silence, in seconds, that each has heard of the other since this was asked last."""
    return [await ann.run("lab.longestSilence('bob')"), await bob.run("lab.longestSilence('ann')")]


async def test_what_happens_during_a_lost_signal_is_known_after_the_resume(
    ann: Tab, bob: Tab, room: str, path: SignalPath, line: SignalLine
) -> None:
    await talk(ann, bob, room, path, line.url)
    since = await ann.mark()
    line.cut()
    await ann.until("signalReconnecting", since=since)
    await bob.run("lab.room.localParticipant.setAttributes({ mood: 'calm' })")
    await bob.run("lab.room.localParticipant.setMicrophoneEnabled(false)")
    await ann.until("reconnected", since=since)
    await ann.until("participantAttributesChanged", {"mood": "calm"}, "bob")
    await ann.until("trackMuted", None, "bob")
    await ann.run("lab.room.localParticipant.setAttributes({ mood: 'glad' })")
    await bob.until("participantAttributesChanged", {"mood": "glad"}, "ann")


async def test_reliable_data_sent_around_a_resume_arrives_once_and_in_order(
    ann: Tab, bob: Tab, room: str, path: SignalPath, line: SignalLine
) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path, url=line.url), bob.join(room, "bob", path=path))
    await ann.run(SEND, "before")
    since = await ann.mark()
    line.cut()
    await ann.until("signalReconnecting", since=since)
    for n in range(20):
        await ann.run(SEND, f"during {n}")
    await ann.until("reconnected", since=since)
    await ann.run(SEND, "after")
    await bob.until("dataReceived", "after")
    assert await packets_at(bob) == ["before", *(f"during {n}" for n in range(20)), "after"]


async def test_reliable_data_arrives_once_around_a_full_reconnect(
    ann: Tab, bob: Tab, room: str, path: SignalPath
) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    for n in range(5):
        await ann.run(SEND, f"before {n}")
    await bob.until("dataReceived", "before 4")
    since = await ann.mark()
    await ann.run(SIMULATE, ["full-reconnect"])
    await ann.until("reconnected", since=since)
    for n in range(5):
        await ann.run(SEND, f"after {n}")
    await bob.until("dataReceived", "after 4")
    assert await packets_at(bob) == [f"{when} {n}" for when in ("before", "after") for n in range(5)]
    since = await ann.mark()
    await bob.run(SEND, "answer")
    await ann.until("dataReceived", "answer", since=since)


@pytest.mark.parametrize(
    "scenario", ["signal-reconnect", "disconnect-signal-on-resume", "disconnect-signal-on-resume-no-messages"]
)
async def test_a_scenario_of_the_signal_is_resumed(
    ann: Tab, bob: Tab, room: str, path: SignalPath, scenario: str
) -> None:
    await talk(ann, bob, room, path)
    marks = await ann.mark(), await bob.mark()
    await ann.run(SIMULATE, [scenario])
    await ann.until("reconnected", since=marks[0])
    assert "reconnecting" not in await ann.names(marks[0])
    await hear_each_other(ann, bob)
    assert await bob.names(marks[1]) == []


@pytest.mark.parametrize("scenario", ["resume-reconnect", "full-reconnect", "node-failure", "migration"])
async def test_a_scenario_of_the_whole_connection_starts_it_anew(
    ann: Tab, bob: Tab, room: str, path: SignalPath, scenario: str
) -> None:
    await talk(ann, bob, room, path)
    marks = await ann.mark(), await bob.mark()
    await ann.run(SIMULATE, [scenario])
    await ann.until("reconnected", since=marks[0])
    assert "reconnecting" in await ann.names(marks[0])
    await asyncio.gather(
        ann.until("listening", "bob", since=marks[0]),
        bob.until("listening", "ann", since=marks[1]),
    )
    await hear_each_other(ann, bob)
    assert await bob.run("[...lab.room.remoteParticipants.keys()]") == ["ann"]
    reasons = {"node-failure": DisconnectReason.SERVER_SHUTDOWN, "migration": DisconnectReason.MIGRATION}
    if scenario in reasons:
        assert await bob.until("participantDisconnected", since=marks[1]) == ["ann", reasons[scenario]]


@pytest.mark.parametrize(
    ("scenario", "protocol"),
    [("force-tcp", "tcp"), pytest.param("force-tls", "udp", marks=pytest.mark.improvement)],
)
async def test_another_candidate_protocol_is_taken_where_there_is_one(
    ann: Tab, bob: Tab, room: str, path: SignalPath, scenario: str, protocol: str
) -> None:
    await talk(ann, bob, room, path)
    marks = await ann.mark(), await bob.mark()
    await ann.run(SIMULATE, [scenario])
    await ann.until("reconnected", since=marks[0])
    await asyncio.gather(
        ann.until("listening", "bob", since=marks[0]),
        bob.until("listening", "ann", since=marks[1]),
    )
    await hear_each_other(ann, bob)
    assert (await ann.run("lab.stats('bob')"))["protocol"] == protocol


async def test_a_server_that_leaves_ends_it_for_the_page(ann: Tab, bob: Tab, room: str, path: SignalPath) -> None:
    await talk(ann, bob, room, path)
    await ann.run(SIMULATE, ["server-leave"])
    assert await ann.until("disconnected") == [DisconnectReason.SERVER_SHUTDOWN]
    assert await bob.until("participantDisconnected") == ["ann", DisconnectReason.SERVER_SHUTDOWN]


async def test_a_simulated_speaker_is_active_for_three_seconds(ann: Tab, room: str, path: SignalPath) -> None:
    await ann.join(room, "ann", path=path)
    await ann.run(SIMULATE, ["speaker"])
    await ann.until("activeSpeakersChanged", ["ann"])
    await ann.until("activeSpeakersChanged", [])
    spoke, fell_silent = await ann.run(
        "lab.events.filter(({ name }) => name === 'activeSpeakersChanged').map(({ at }) => at)"
    )
    assert 2_700 < fell_silent - spoke < 3_500


@pytest.mark.parametrize(
    "scenario", [["subscriber-bandwidth", 100_000], ["leave-full-reconnect"]], ids=lambda it: it[0]
)
async def test_a_scenario_without_effect_on_audio_changes_nothing(
    ann: Tab, bob: Tab, room: str, path: SignalPath, scenario: list[str | int]
) -> None:
    await talk(ann, bob, room, path)
    marks = await ann.mark(), await bob.mark()
    await ann.run(SIMULATE, scenario)
    await ann.run("lab.room.localParticipant.setAttributes({ after: 'it' })")
    await bob.until("participantAttributesChanged", {"after": "it"}, "ann")
    await hear_each_other(ann, bob)
    assert await ann.names(marks[0]) == ["participantAttributesChanged"]
    assert await bob.names(marks[1]) == ["participantAttributesChanged"]


async def test_a_page_that_fails_on_v1_comes_back_on_v0(ann: Tab, bob: Tab, room: str, line: SignalLine) -> None:
    await talk(ann, bob, room, "v1", line.url)
    marks = await ann.mark(), await bob.mark()
    await ann.run(SIMULATE, ["fail-on-v1-path"])
    await ann.run(SIMULATE, ["full-reconnect"])
    await ann.until("reconnected", since=marks[0])
    await ann.until("participantConnected", "bob", since=marks[0])
    await bob.until("listening", "ann", since=marks[1])
    await bob.hears("ann", MICROPHONE_HZ)
    assert line.paths == ["/rtc/v1", "/rtc"]
