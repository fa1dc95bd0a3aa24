"""Who is in the room, of what kind, with which words about themselves and which rights."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from livekit import api, rtc

if TYPE_CHECKING:
    from tests.conformance.support.clients import Joiner, SignalPath
    from tests.conformance.support.server import Kind, Server


async def test_participants_see_each_other_come_and_go(join: Joiner, path: SignalPath) -> None:
    ann, bob = await join("ann"), await join("bob")
    assert [*bob.room.remote_participants] == ["ann"]
    seen = await ann.wait_for_participant("bob")
    assert seen.sid == bob.me.sid
    assert seen.sid.startswith("PA_")
    await ann.wait_for("participant_active", lambda who: who.identity == "bob")
    await bob.close()
    gone = (await ann.wait_for("participant_disconnected")).args[0]
    assert (gone.identity, gone.disconnect_reason) == ("bob", rtc.DisconnectReason.CLIENT_INITIATED)
    assert not ann.room.remote_participants


async def test_attributes_metadata_and_name_come_from_the_token(join: Joiner, server: Server, room: str) -> None:
    bob = await join("bob")
    token = server.unsigned_token("ann", room=room).with_name("Ann").with_metadata("m").with_attributes({"a": "1"})
    ann = await join("ann", token=token.to_jwt())
    seen = await bob.wait_for_participant("ann")
    for participant in (ann.me, seen):
        assert (participant.name, participant.metadata, participant.attributes) == ("Ann", "m", {"a": "1"})


async def test_attributes_are_set_changed_and_deleted(join: Joiner, path: SignalPath) -> None:
    bob, ann = await join("bob"), await join("ann", can_update_own_metadata=True)
    seen = await bob.wait_for_participant("ann")
    for change, result in (
        ({"mood": "calm", "topic": "chess"}, {"mood": "calm", "topic": "chess"}),
        ({"mood": "tense"}, {"mood": "tense", "topic": "chess"}),
        ({"topic": ""}, {"mood": "tense"}),
    ):
        await ann.me.set_attributes(change)
        changed, who = (await bob.wait_for("participant_attributes_changed")).args
        assert (changed, who.identity, seen.attributes) == (change, "ann", result)
        await ann.wait_for("participant_attributes_changed")
        assert ann.me.attributes == result


async def test_metadata_and_name_are_set_by_the_participant(join: Joiner, path: SignalPath) -> None:
    bob, ann = await join("bob"), await join("ann", can_update_own_metadata=True)
    await bob.wait_for_participant("ann")
    await ann.me.set_metadata('{"level":3}')
    who, old, new = (await bob.wait_for("participant_metadata_changed")).args
    assert (who.identity, old, new) == ("ann", "", '{"level":3}')
    await ann.me.set_name("Ann the Third")
    who, old, new = (await bob.wait_for("participant_name_changed")).args
    assert (who.identity, old, new) == ("ann", "", "Ann the Third")
    assert ann.me.metadata == '{"level":3}'


async def test_without_the_right_nothing_about_oneself_changes(join: Joiner, path: SignalPath) -> None:
    bob, ann = await join("bob"), await join("ann")
    await bob.wait_for_participant("ann")
    await ann.me.set_metadata("mine")
    await ann.me.set_attributes({"a": "1"})
    await ann.me.publish_data("over")
    await bob.wait_for("data_received")
    assert (bob.other("ann").metadata, bob.other("ann").attributes) == ("", {})


@pytest.mark.parametrize("kind", ["standard", "sip", "agent", "egress", "ingress"])
async def test_the_kind_comes_from_the_token(join: Joiner, path: SignalPath, kind: Kind) -> None:
    bob, ann = await join("bob"), await join("ann", kind=kind)
    wanted = getattr(rtc.ParticipantKind, f"PARTICIPANT_KIND_{kind.upper()}")
    assert (await bob.wait_for_participant("ann")).kind == wanted
    assert ann.me.kind == wanted


async def test_a_hidden_participant_hears_but_is_not_seen(join: Joiner, path: SignalPath) -> None:
    ann, ghost = await join("ann"), await join("ghost", hidden=True)
    bob = await join("bob")
    await ann.speak(440)
    await asyncio.gather(ghost.wait_for_track("ann"), bob.wait_for_track("ann"))
    await asyncio.gather(ann.wait_for_participant("bob"), ghost.wait_for_participant("bob"))
    assert [*ann.room.remote_participants] == ["bob"]
    assert [*bob.room.remote_participants] == ["ann"]
    assert {*ghost.room.remote_participants} == {"ann", "bob"}


async def test_who_may_not_publish_is_refused(join: Joiner, path: SignalPath) -> None:
    bob, ann = await join("bob"), await join("ann", can_publish=False)
    assert not ann.me.permissions.can_publish
    with pytest.raises((rtc.participant.PublishTrackError, TimeoutError)):  # the SDK may wait for ever
        await asyncio.wait_for(ann.speak(440), 1)
    assert not bob.saw("track_published")


async def test_a_token_may_narrow_the_sources(join: Joiner, path: SignalPath) -> None:
    ann, bob = await join("ann", can_publish_sources=["microphone"]), await join("bob")
    await ann.speak(440)
    await bob.wait_for_track("ann")
    await bob.wait_for("track_published")
    with pytest.raises((rtc.participant.PublishTrackError, TimeoutError)):  # the SDK may wait for ever
        await asyncio.wait_for(ann.speak(1000, rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO), 1)
    assert not bob.saw("track_published")


async def test_who_may_not_subscribe_hears_nothing_but_is_heard(join: Joiner, path: SignalPath) -> None:
    ann, bob = await join("ann", can_subscribe=False), await join("bob")
    await asyncio.gather(bob.speak(440), ann.speak(1000))
    await bob.wait_for_track("ann")
    await ann.wait_for("track_published")
    assert not ann.saw("track_subscribed")


async def test_rights_are_given_and_taken_while_in_the_room(
    join: Joiner, path: SignalPath, lkapi: api.LiveKitAPI, room: str
) -> None:
    bob, ann = await join("bob"), await join("ann")
    publication = await ann.speak(440)
    await bob.wait_for_track("ann")

    async def permit(*, can_publish: bool) -> None:
        permissions = api.ParticipantPermission(can_subscribe=True, can_publish_data=True, can_publish=can_publish)
        request = api.UpdateParticipantRequest(room=room, identity="ann", permission=permissions)
        await lkapi.room.update_participant(request)

    await permit(can_publish=False)
    await ann.wait_for("participant_permissions_changed")
    gone = (await bob.wait_for("track_unpublished")).args[0]
    assert gone.sid == publication.sid
    await permit(can_publish=True)
    await ann.wait_for("participant_permissions_changed")
    await ann.speak(1000)
    await bob.wait_for_track("ann")


async def test_a_full_room_refuses_the_next_one_and_dependents_do_not_count(
    join: Joiner, path: SignalPath, lkapi: api.LiveKitAPI, room: str
) -> None:
    await lkapi.room.create_room(api.CreateRoomRequest(name=room, max_participants=1))
    await join("agent", kind="agent", agent=True)
    await join("recorder", kind="egress", hidden=True, recorder=True)
    await join("ann")
    with pytest.raises(rtc.ConnectError):
        await join("bob")
    await join("second agent", kind="agent", agent=True)
    seen = await lkapi.room.list_participants(api.ListParticipantsRequest(room=room))
    assert "bob" not in {participant.identity for participant in seen.participants}


async def test_the_room_tells_its_metadata_and_sid(
    join: Joiner, path: SignalPath, lkapi: api.LiveKitAPI, room: str
) -> None:
    created = await lkapi.room.create_room(api.CreateRoomRequest(name=room, metadata="old"))
    ann = await join("ann")
    assert (ann.room.name, ann.room.metadata, await ann.room.sid) == (room, "old", created.sid)
    await lkapi.room.update_room_metadata(api.UpdateRoomMetadataRequest(room=room, metadata="new"))
    assert (await ann.wait_for("room_metadata_changed")).args == ("old", "new")


async def test_a_recorder_shows_that_the_room_is_recorded(join: Joiner, path: SignalPath) -> None:
    ann = await join("ann")
    assert not ann.room.is_recording
    await join("recorder", kind="egress", hidden=True, recorder=True)
    await ann.wait_for("room_updated", lambda: ann.room.is_recording)
