"""Attributes, metadata, permissions and speakers, as a page with livekit-client sees them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from livekit import api
from livekit.protocol.rtc import RequestResponse

if TYPE_CHECKING:
    from tests.conformance.js.lab import Tab
    from tests.conformance.support.clients import SignalPath

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_attributes_are_set_merged_and_deleted(ann: Tab, bob: Tab, room: str, path: SignalPath) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    await bob.sees("ann")
    await ann.run("lab.room.localParticipant.setAttributes({ mood: 'calm', language: 'en' })")
    await bob.until("participantAttributesChanged", {"mood": "calm", "language": "en"}, "ann")
    await ann.run("lab.room.localParticipant.setAttributes({ mood: '' })")
    await bob.until("participantAttributesChanged", {"mood": ""}, "ann")
    assert await bob.run("lab.room.remoteParticipants.get('ann').attributes") == {"language": "en"}
    assert await ann.run("lab.room.localParticipant.attributes") == {"language": "en"}


async def test_metadata_and_name_reach_the_others_and_who_comes_later(
    ann: Tab, bob: Tab, room: str, path: SignalPath
) -> None:
    await ann.join(room, "ann", path=path)
    await ann.run("lab.room.localParticipant.setMetadata('early')")
    await bob.join(room, "bob", path=path)
    assert await bob.run("lab.room.remoteParticipants.get('ann').metadata") == "early"
    await ann.run("lab.room.localParticipant.setMetadata('late')")
    await bob.until("participantMetadataChanged", "early", "ann")
    assert await bob.run("lab.room.remoteParticipants.get('ann').metadata") == "late"
    await ann.run("lab.room.localParticipant.setName('Ann')")
    await bob.until("participantNameChanged", "Ann", "ann")


async def test_without_the_grant_own_state_stays_and_the_page_is_told(ann: Tab, room: str, path: SignalPath) -> None:
    await ann.join(room, "ann", path=path, can_update_own_metadata=False)
    refused = await ann.run("lab.room.localParticipant.setAttributes({ mood: 'calm' }).catch((error) => error.reason)")
    assert refused == RequestResponse.NOT_ALLOWED
    assert await ann.run("lab.room.localParticipant.attributes") == {}


async def test_room_metadata_written_by_the_api_reaches_the_page(
    ann: Tab, bob: Tab, room: str, path: SignalPath, lkapi: api.LiveKitAPI
) -> None:
    await ann.join(room, "ann", path=path)
    for state in ("waiting", "live"):
        metadata = json.dumps({"roomkeeper": {"state": state}})
        await lkapi.room.update_room_metadata(api.UpdateRoomMetadataRequest(room=room, metadata=metadata))
        await ann.until("roomMetadataChanged", metadata)
    await bob.join(room, "bob", path=path)
    assert json.loads(await bob.run("lab.room.metadata")) == {"roomkeeper": {"state": "live"}}


async def test_the_api_changes_a_participant_and_takes_its_right_to_publish(
    ann: Tab, bob: Tab, room: str, path: SignalPath, lkapi: api.LiveKitAPI
) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    await ann.run("lab.speak()")
    published = await bob.until("trackSubscribed", "audio", None, "ann")
    await lkapi.room.update_participant(
        api.UpdateParticipantRequest(
            room=room,
            identity="ann",
            attributes={"seat": "3"},
            permission=api.ParticipantPermission(can_subscribe=True, can_publish=False, can_publish_data=True),
        )
    )
    await ann.until("participantAttributesChanged", {"seat": "3"}, "ann")
    await bob.until("participantAttributesChanged", {"seat": "3"}, "ann")
    await ann.until("localTrackUnpublished", published[1])
    await bob.until("trackUnpublished", published[1], "ann")
    assert await ann.run("lab.room.localParticipant.permissions.canPublish") is False


async def test_the_api_mutes_a_page(ann: Tab, bob: Tab, room: str, path: SignalPath, lkapi: api.LiveKitAPI) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    await ann.run("lab.speak()")
    _, sid, _ = await bob.until("trackSubscribed", "audio", None, "ann")
    await lkapi.room.mute_published_track(
        api.MuteRoomTrackRequest(room=room, identity="ann", track_sid=sid, muted=True)
    )
    await ann.until("trackMuted", sid, "ann")
    await bob.until("trackMuted", sid, "ann")
    assert await ann.run("lab.room.localParticipant.isMicrophoneEnabled") is False


async def test_who_speaks_is_seen_by_both_until_muted(ann: Tab, bob: Tab, room: str, path: SignalPath) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    await ann.run("lab.speak()")
    await asyncio.gather(
        ann.until("activeSpeakersChanged", ["ann"]),
        bob.until("activeSpeakersChanged", ["ann"]),
    )
    since = await bob.mark()
    await ann.run("lab.room.localParticipant.setMicrophoneEnabled(false)")
    await bob.until("activeSpeakersChanged", [], since=since)


async def test_a_good_connection_is_reported_as_good(ann: Tab, bob: Tab, room: str) -> None:
    await asyncio.gather(ann.join(room, "ann", path="v1"), bob.join(room, "bob", path="v1"))
    await ann.run("lab.speak()")
    await asyncio.gather(
        ann.until("connectionQualityChanged", "excellent", "ann"),
        bob.until("connectionQualityChanged", "excellent", "ann"),
    )
