"""Data packets between participants, and from the room API."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import pytest
from livekit import api, rtc

if TYPE_CHECKING:
    from tests.conformance.support.clients import Client, Joiner, SignalPath
    from tests.conformance.support.twirp import Twirp


async def next_data(client: Client, topic: str = "") -> rtc.DataPacket:
    """Wait for the next data packet of a topic."""
    event = await client.wait_for("data_received", lambda packet: packet.topic == topic)
    packet = event.args[0]
    assert isinstance(packet, rtc.DataPacket)
    return packet


def sender(packet: rtc.DataPacket) -> str | None:
    """Who sent it; None for the room API."""
    return packet.participant.identity if packet.participant else None


@pytest.mark.parametrize("reliable", [True, False], ids=["reliable", "lossy"])
async def test_data_reaches_everybody_else(join: Joiner, path: SignalPath, *, reliable: bool) -> None:
    bob, cat, ann = await join("bob"), await join("cat"), await join("ann")
    await asyncio.gather(bob.wait_for_participant("ann"), cat.wait_for_participant("ann"))
    await ann.me.publish_data(b"to all", reliable=reliable, topic="news")
    kind = rtc.DataPacketKind.KIND_RELIABLE if reliable else rtc.DataPacketKind.KIND_LOSSY
    for other in (bob, cat):
        packet = await next_data(other, "news")
        assert (packet.data, packet.kind, sender(packet)) == (b"to all", kind, "ann")
    assert not ann.saw("data_received")


async def test_data_reaches_only_its_destinations(join: Joiner, path: SignalPath) -> None:
    bob, cat, ann = await join("bob"), await join("cat"), await join("ann")
    await ann.me.publish_data(b"secret", destination_identities=["bob", "nobody"])
    await ann.me.publish_data(b"open")
    assert [(await next_data(bob)).data, (await next_data(bob)).data] == [b"secret", b"open"]
    assert (await next_data(cat)).data == b"open"


async def test_reliable_data_keeps_its_order(join: Joiner, path: SignalPath) -> None:
    bob, ann = await join("bob"), await join("ann")
    sent = [f"{number}".encode() for number in range(200)]
    for data in sent:
        await ann.me.publish_data(data)
    assert [(await next_data(bob)).data for _ in sent] == sent


async def test_a_data_packet_of_15_kilobytes_arrives_whole(join: Joiner, path: SignalPath) -> None:
    bob, ann = await join("bob"), await join("ann")
    data = bytes(range(256)) * 60
    await ann.me.publish_data(data)
    assert (await next_data(bob)).data == data


async def test_data_of_a_participant_without_the_right_is_dropped(join: Joiner, path: SignalPath) -> None:
    bob, ann = await join("bob"), await join("ann", can_publish_data=False)
    assert not ann.me.permissions.can_publish_data
    await ann.me.publish_data(b"forbidden")
    await bob.me.publish_data(b"over")
    await next_data(ann)
    cat = await join("cat")
    await cat.me.publish_data(b"allowed")
    assert (await next_data(bob)).data == b"allowed"


async def test_a_hidden_participants_data_has_no_sender(join: Joiner, path: SignalPath) -> None:
    ann, ghost = await join("ann"), await join("ghost", hidden=True)
    await ghost.me.publish_data(b"boo")
    packet = await next_data(ann)
    assert (packet.data, packet.participant) == (b"boo", None)
    assert not ann.room.remote_participants


async def test_dtmf_digits_are_passed_on(join: Joiner, path: SignalPath) -> None:
    bob, ann = await join("bob"), await join("ann")
    await bob.wait_for_participant("ann")
    await ann.me.publish_dtmf(code=5, digit="5")
    digit = (await bob.wait_for("sip_dtmf_received")).args[0]
    assert (digit.code, digit.digit, digit.participant.identity) == (5, "5", "ann")


def transcription(identity: str, track_sid: str) -> rtc.Transcription:
    """What an agent says that somebody said."""
    segment = rtc.TranscriptionSegment(
        id="SG_1", text="Good morning", start_time=0, end_time=9, language="en", final=True
    )
    return rtc.Transcription(participant_identity=identity, track_sid=track_sid, segments=[segment])


async def test_a_transcription_comes_from_agents_only(join: Joiner, path: SignalPath) -> None:
    bob, ann = await join("bob"), await join("ann")
    agent = await join("agent", kind="agent", agent=True)
    voice = await ann.speak(440)
    await bob.wait_for_track("ann")
    await agent.wait_for_track("ann")
    await ann.me.publish_transcription(transcription("ann", voice.sid))
    await ann.me.publish_data(b"over")
    await next_data(bob)
    assert not bob.saw("transcription_received")

    await agent.me.publish_transcription(transcription("ann", voice.sid))
    segments, who, publication = (await bob.wait_for("transcription_received")).args
    assert [(segment.text, segment.final, segment.language) for segment in segments] == [("Good morning", True, "en")]
    assert (who.identity, publication.sid) == ("ann", voice.sid)


async def send_data(lkapi: api.LiveKitAPI, room: str, data: bytes, **fields: Any) -> None:  # noqa: ANN401
    """Send data by the room API, whose kinds have other numbers than those of `rtc`."""
    kind = fields.pop("kind", api.DataPacket.RELIABLE)
    await lkapi.room.send_data(api.SendDataRequest(room=room, data=data, kind=kind, **fields))


async def can_lose(lkapi: api.LiveKitAPI, room: str, client: Client) -> None:
    """Wait until lossy data arrives: what is sent before its channel is open is lost, open as the other may be."""
    lossy = api.DataPacket.LOSSY
    async with asyncio.timeout(10):
        while not client.saw("data_received"):
            await send_data(lkapi, room, b"", topic="knock", kind=lossy, destination_identities=[client.identity])
            await asyncio.sleep(0.1)  # it arrives at once, or never


async def test_the_room_api_sends_data_to_all_or_to_some(
    join: Joiner, path: SignalPath, lkapi: api.LiveKitAPI, room: str
) -> None:
    bob, ann = await join("bob"), await join("ann")
    await send_data(lkapi, room, b"by identity", topic="t", destination_identities=["ann"])
    await send_data(lkapi, room, b"by sid", topic="t", destination_sids=[bob.me.sid])
    for client, personal in ((ann, b"by identity"), (bob, b"by sid")):
        assert (await next_data(client, "t")).data == personal
    await asyncio.gather(*(can_lose(lkapi, room, client) for client in (ann, bob)))
    await send_data(lkapi, room, b"lossy", topic="t", kind=api.DataPacket.LOSSY)
    await send_data(lkapi, room, b"all", topic="t")
    for client in (ann, bob):
        packets = [await next_data(client, "t") for _ in range(2)]
        assert {packet.data for packet in packets} == {b"lossy", b"all"}
        assert {packet.participant for packet in packets} == {None}


async def test_data_sent_twice_with_the_same_nonce_arrives_once(join: Joiner, twirp: Twirp, room: str) -> None:
    ann = await join("ann")
    for text, nonce in ((b"first", b"n" * 16), (b"again", b"n" * 16), (b"other", b"o" * 16)):
        body = {"room": room, "data": base64.b64encode(text).decode(), "nonce": base64.b64encode(nonce).decode()}
        assert (await twirp("RoomService/SendData", body)).status == 200
    assert [(await next_data(ann)).data for _ in range(2)] == [b"first", b"other"]


async def test_both_directions_carry_data_at_once(join: Joiner, path: SignalPath) -> None:
    bob, ann = await join("bob"), await join("ann")

    async def exchange(one: Client, text: bytes) -> list[bytes]:
        for number in range(50):
            await one.me.publish_data(text + str(number).encode())
        return [(await next_data(one)).data for _ in range(50)]

    at_ann, at_bob = await asyncio.gather(exchange(ann, b"a"), exchange(bob, b"b"))
    assert at_ann == [b"b%d" % number for number in range(50)]
    assert at_bob == [b"a%d" % number for number in range(50)]
