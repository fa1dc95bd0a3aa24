"""RoomService: every method that the open-source server has, by the python SDK."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from livekit import api

from tests.conformance.support.sound import hear_silence, hear_tone

if TYPE_CHECKING:
    from tests.conformance.support.clients import Joiner, SignalPath
    from tests.conformance.support.server import Server
    from tests.conformance.support.twirp import Twirp


async def test_a_room_is_created_with_its_configuration(lkapi: api.LiveKitAPI, room: str) -> None:
    created = await lkapi.room.create_room(
        api.CreateRoomRequest(name=room, empty_timeout=31, departure_timeout=7, max_participants=4, metadata="m")
    )
    [listed] = (await lkapi.room.list_rooms(api.ListRoomsRequest(names=[room]))).rooms
    for each in (created, listed):
        assert (each.name, each.empty_timeout, each.departure_timeout, each.max_participants, each.metadata) == (
            room,
            31,
            7,
            4,
            "m",
        )
        assert each.sid.startswith("RM_")
        assert len(each.sid) == 15
    assert created.sid == listed.sid
    assert abs(created.creation_time - time.time()) < 5
    assert abs(created.creation_time_ms / 1000 - time.time()) < 5
    assert [codec.mime for codec in created.enabled_codecs if codec.mime == "audio/opus"] == ["audio/opus"]


async def test_a_room_without_configuration_has_the_defaults(lkapi: api.LiveKitAPI, room: str) -> None:
    created = await lkapi.room.create_room(api.CreateRoomRequest(name=room))
    assert (created.empty_timeout, created.departure_timeout, created.max_participants) == (300, 20, 0)
    assert (created.num_participants, created.num_publishers, created.metadata) == (0, 0, "")


async def test_creating_a_live_room_again_changes_nothing(lkapi: api.LiveKitAPI, room: str) -> None:
    first = await lkapi.room.create_room(api.CreateRoomRequest(name=room, metadata="first", empty_timeout=60))
    again = await lkapi.room.create_room(api.CreateRoomRequest(name=room, metadata="again", empty_timeout=90))
    assert (again.sid, again.metadata, again.empty_timeout) == (first.sid, "first", 60)


async def test_rooms_are_listed_all_or_by_name(lkapi: api.LiveKitAPI, room: str) -> None:
    names = {f"{room}-{number}" for number in range(3)}
    for name in names:
        await lkapi.room.create_room(api.CreateRoomRequest(name=name))
    assert names <= {each.name for each in (await lkapi.room.list_rooms(api.ListRoomsRequest())).rooms}
    chosen = await lkapi.room.list_rooms(api.ListRoomsRequest(names=[f"{room}-1", f"{room}-9"]))
    assert [each.name for each in chosen.rooms] == [f"{room}-1"]


async def test_the_participants_of_a_room_are_counted_without_dependents(
    join: Joiner, lkapi: api.LiveKitAPI, room: str
) -> None:
    ann = await join("ann")
    await join("bob")
    await join("agent", kind="agent", agent=True)
    await ann.wait_for("room_updated", lambda: ann.room.num_participants == 2, within=12)
    [listed] = (await lkapi.room.list_rooms(api.ListRoomsRequest(names=[room]))).rooms
    assert listed.num_participants == 2


async def test_a_deleted_room_is_gone_and_unknown(lkapi: api.LiveKitAPI, room: str) -> None:
    await lkapi.room.create_room(api.CreateRoomRequest(name=room))
    await lkapi.room.delete_room(api.DeleteRoomRequest(room=room))
    assert not (await lkapi.room.list_rooms(api.ListRoomsRequest(names=[room]))).rooms
    with pytest.raises(api.TwirpError) as refused:
        await lkapi.room.delete_room(api.DeleteRoomRequest(room=room))
    assert (refused.value.code, refused.value.status) == ("not_found", 404)


async def test_room_metadata_is_replaced_and_emptied(lkapi: api.LiveKitAPI, room: str) -> None:
    await lkapi.room.create_room(api.CreateRoomRequest(name=room, metadata="old"))
    for metadata in ("new", ""):
        updated = await lkapi.room.update_room_metadata(api.UpdateRoomMetadataRequest(room=room, metadata=metadata))
        [listed] = (await lkapi.room.list_rooms(api.ListRoomsRequest(names=[room]))).rooms
        assert (updated.metadata, listed.metadata) == (metadata, metadata)


async def test_participants_are_listed_and_described(
    join: Joiner, path: SignalPath, lkapi: api.LiveKitAPI, room: str
) -> None:
    ann, ghost = await join("ann"), await join("ghost", hidden=True, kind="egress")
    publication = await ann.speak(440)
    await ghost.wait_for_track("ann")
    listed = (await lkapi.room.list_participants(api.ListParticipantsRequest(room=room))).participants
    by_identity = {participant.identity: participant for participant in listed}
    assert {*by_identity} == {"ann", "ghost"}
    one = await lkapi.room.get_participant(api.RoomParticipantIdentity(room=room, identity="ann"))
    for each in (one, by_identity["ann"]):
        assert (each.sid, each.state, each.kind) == (
            ann.me.sid,
            api.ParticipantInfo.ACTIVE,
            api.ParticipantInfo.STANDARD,
        )
        assert [(track.sid, track.name, track.type, track.muted) for track in each.tracks] == [
            (publication.sid, "tone", api.TrackType.AUDIO, False)
        ]
        assert each.is_publisher
        assert abs(each.joined_at - time.time()) < 10
        assert (each.permission.can_publish, each.permission.can_subscribe, each.permission.can_publish_data) == (
            True,
            True,
            True,
        )
    assert by_identity["ghost"].permission.hidden


async def test_an_unknown_room_has_no_participants(lkapi: api.LiveKitAPI, room: str) -> None:
    assert not (await lkapi.room.list_participants(api.ListParticipantsRequest(room=room))).participants


@pytest.mark.parametrize("method", ["get_participant", "remove_participant", "update_participant"])
async def test_an_unknown_participant_is_not_found(join: Joiner, lkapi: api.LiveKitAPI, room: str, method: str) -> None:
    await join("ann")
    request_type = api.UpdateParticipantRequest if method == "update_participant" else api.RoomParticipantIdentity
    with pytest.raises(api.TwirpError) as refused:
        await getattr(lkapi.room, method)(request_type(room=room, identity="nobody"))
    assert (refused.value.code, refused.value.status) == ("not_found", 404)


async def test_a_participant_is_renamed_and_described_by_the_api(
    join: Joiner, path: SignalPath, lkapi: api.LiveKitAPI, room: str
) -> None:
    bob, ann = await join("bob"), await join("ann")
    await bob.wait_for_participant("ann")
    request = api.UpdateParticipantRequest(room=room, identity="ann", name="Ann", metadata="m", attributes={"a": "1"})
    updated = await lkapi.room.update_participant(request)
    assert (updated.name, updated.metadata, dict(updated.attributes)) == ("Ann", "m", {"a": "1"})
    for client in (ann, bob):
        for event in ("participant_name_changed", "participant_metadata_changed", "participant_attributes_changed"):
            await client.wait_for(event)
    await lkapi.room.update_participant(
        api.UpdateParticipantRequest(room=room, identity="ann", attributes={"a": "", "b": "2"})
    )
    await bob.wait_for("participant_attributes_changed")
    seen = bob.other("ann")
    assert (seen.name, seen.metadata, seen.attributes) == ("Ann", "m", {"b": "2"})


async def test_the_api_mutes_a_track_but_does_not_unmute_it(
    join: Joiner, path: SignalPath, lkapi: api.LiveKitAPI, room: str
) -> None:
    ann, bob = await join("ann"), await join("bob")
    publication = await ann.speak(440)
    track = await bob.wait_for_track("ann")
    await hear_tone(track, 440)
    request = api.MuteRoomTrackRequest(room=room, identity="ann", track_sid=publication.sid, muted=True)
    muted = (await lkapi.room.mute_published_track(request)).track
    assert (muted.sid, muted.muted) == (publication.sid, True)
    await bob.wait_for("track_muted")
    await ann.wait_for("track_muted")
    await hear_silence(track)
    request.muted = False
    with pytest.raises(api.TwirpError) as refused:
        await lkapi.room.mute_published_track(request)
    assert (refused.value.code, refused.value.status) == ("failed_precondition", 412)


async def test_the_api_subscribes_and_unsubscribes(
    join: Joiner, path: SignalPath, lkapi: api.LiveKitAPI, room: str
) -> None:
    ann, bob = await join("ann"), await join("bob", auto_subscribe=False)
    publication = await ann.speak(440)
    await bob.wait_for("track_published")

    def request(*, subscribe: bool) -> api.UpdateSubscriptionsRequest:
        return api.UpdateSubscriptionsRequest(
            room=room, identity="bob", track_sids=[publication.sid], subscribe=subscribe
        )

    await lkapi.room.update_subscriptions(request(subscribe=True))
    track = await bob.wait_for_track("ann")
    await hear_tone(track, 440)
    await lkapi.room.update_subscriptions(request(subscribe=False))
    await hear_silence(track)


async def test_a_room_may_have_any_unicode_name(join: Joiner, lkapi: api.LiveKitAPI) -> None:
    name = f"Gespräch № 5/ä?&#{uuid4().hex[:6]} 😀"
    created = await lkapi.room.create_room(api.CreateRoomRequest(name=name))
    ann = await join("änn 😀", room=name)
    assert (ann.room.name, await ann.room.sid, ann.me.identity) == (name, created.sid, "änn 😀")


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("MutePublishedTrack", {"identity": "nobody", "track_sid": "TR_x", "muted": True}),
        ("UpdateSubscriptions", {"identity": "nobody", "track_sids": ["TR_x"], "subscribe": True}),
    ],
)
async def test_methods_routed_to_a_participant_find_nobody_there(
    join: Joiner, twirp: Twirp, room: str, method: str, body: dict[str, object]
) -> None:
    await join("ann")
    answer = await twirp(f"RoomService/{method}", {"room": room, **body})
    assert answer.error == (503, "unavailable")
    assert "no response from servers" in answer.json["msg"]


async def test_data_to_an_unknown_room_finds_no_servers(twirp: Twirp, room: str) -> None:
    answer = await twirp("RoomService/SendData", {"room": room, "data": "aGk="})
    assert answer.error == (503, "unavailable")


async def test_a_sent_data_packet_reaches_participants_of_either_path(
    join: Joiner, lkapi: api.LiveKitAPI, room: str
) -> None:
    ann, bob = await join("ann", path="v0"), await join("bob", path="v1")
    await lkapi.room.send_data(api.SendDataRequest(room=room, data=b"hi", kind=api.DataPacket.RELIABLE, topic="t"))
    for client in (ann, bob):
        assert (await client.wait_for("data_received")).args[0].data == b"hi"


@pytest.mark.parametrize("method", ["ForwardParticipant", "MoveParticipant"])
async def test_moving_a_participant_is_for_others(
    join: Joiner, twirp: Twirp, server: Server, room: str, method: str
) -> None:
    await join("ann")
    body = {"room": room, "identity": "ann", "destination_room": f"{room}-2"}
    token = server.token(room_admin=True, room=room, destination_room=f"{room}-2")
    answer = await twirp(f"RoomService/{method}", body, token=token)
    assert answer.status >= 400
    assert answer.json["code"] in {"unimplemented", "internal", "unknown", "unavailable"}
