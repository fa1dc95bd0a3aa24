"""How a page learns that it is out, and how it comes back: reasons, reload, a second tab."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from livekit import api
from livekit.protocol.models import DisconnectReason

from tests.conformance.js.lab import HUM_HZ, MICROPHONE_HZ

if TYPE_CHECKING:
    from tests.conformance.js.conftest import OpenTab
    from tests.conformance.js.lab import SignalLine, Tab
    from tests.conformance.support.clients import SignalPath

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_second_tab_takes_the_place_of_the_first(
    ann: Tab, bob: Tab, open_tab: OpenTab, room: str, path: SignalPath
) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    await asyncio.gather(ann.run("lab.speak()"), bob.run("hz => lab.hum(hz)", HUM_HZ))
    await bob.hears("ann", MICROPHONE_HZ)
    second = await open_tab()
    await second.join(room, "ann", path=path)
    assert await ann.until("disconnected") == [DisconnectReason.DUPLICATE_IDENTITY]
    since = await bob.mark()
    await second.run("hz => lab.hum(hz)", HUM_HZ / 2)
    await bob.until("listening", "ann", since=since)
    await asyncio.gather(bob.hears("ann", HUM_HZ / 2), second.hears("bob", HUM_HZ))
    assert await bob.run("[...lab.room.remoteParticipants.keys()]") == ["ann"]


async def test_a_removed_participant_is_told(
    ann: Tab, bob: Tab, room: str, path: SignalPath, lkapi: api.LiveKitAPI
) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    await bob.sees("ann")
    await lkapi.room.remove_participant(api.RoomParticipantIdentity(room=room, identity="ann"))
    assert await ann.until("disconnected") == [DisconnectReason.PARTICIPANT_REMOVED]
    assert await bob.until("participantDisconnected", "ann") == ["ann", DisconnectReason.PARTICIPANT_REMOVED]


async def test_metadata_and_then_the_deletion_reach_everybody(
    ann: Tab, bob: Tab, room: str, path: SignalPath, lkapi: api.LiveKitAPI
) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    await lkapi.room.update_room_metadata(api.UpdateRoomMetadataRequest(room=room, metadata="over"))
    await lkapi.room.delete_room(api.DeleteRoomRequest(room=room))
    for tab in (ann, bob):
        assert await tab.until("disconnected") == [DisconnectReason.ROOM_DELETED]
        assert await tab.run("lab.room.metadata") == "over"


async def test_a_closing_room_tells_those_who_do_not_keep_it_open(
    ann: Tab, room: str, path: SignalPath, lkapi: api.LiveKitAPI
) -> None:
    await lkapi.room.create_room(api.CreateRoomRequest(name=room, empty_timeout=1))
    await ann.join(room, "ann", path=path, kind="agent", agent=True)
    assert await ann.until("disconnected") == [DisconnectReason.ROOM_CLOSED]


async def test_leaving_is_seen_with_its_reason(ann: Tab, bob: Tab, room: str, path: SignalPath) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    await bob.sees("ann")
    await ann.run("lab.room.disconnect()")
    assert await ann.until("disconnected") == [DisconnectReason.CLIENT_INITIATED]
    assert await bob.until("participantDisconnected", within=5) == ["ann", DisconnectReason.CLIENT_INITIATED]


async def test_a_reloaded_page_leaves_and_comes_back_under_its_identity(
    ann: Tab, bob: Tab, room: str, path: SignalPath
) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    await asyncio.gather(ann.run("lab.speak()"), bob.run("hz => lab.hum(hz)", HUM_HZ))
    await bob.hears("ann", MICROPHONE_HZ)
    await ann.open()
    assert await bob.until("participantDisconnected") == ["ann", DisconnectReason.CLIENT_INITIATED]
    since = await bob.mark()
    await ann.join(room, "ann", path=path)
    await ann.run("lab.speak()")
    await bob.until("listening", "ann", since=since)
    await asyncio.gather(ann.hears("bob", HUM_HZ), bob.hears("ann", MICROPHONE_HZ))


async def test_a_page_reloaded_without_a_word_replaces_its_former_self(
    ann: Tab, bob: Tab, room: str, path: SignalPath
) -> None:
    silent = {"disconnectOnPageLeave": False}
    await asyncio.gather(ann.join(room, "ann", path=path, room_options=silent), bob.join(room, "bob", path=path))
    await asyncio.gather(ann.run("lab.speak()"), bob.run("hz => lab.hum(hz)", HUM_HZ))
    await bob.hears("ann", MICROPHONE_HZ)
    since = await bob.mark()
    await ann.open()
    await ann.join(room, "ann", path=path, room_options=silent)
    await ann.run("lab.speak()")
    await bob.until("listening", "ann", since=since)
    await asyncio.gather(ann.hears("bob", HUM_HZ), bob.hears("ann", MICROPHONE_HZ))
    assert "participantDisconnected" not in await bob.names(since), "the same participant, with a new track"


async def test_a_bad_token_is_refused_with_its_status(ann: Tab, room: str, path: SignalPath) -> None:
    grants = api.VideoGrants(room_join=True, room=room)
    forged = api.AccessToken(ann.server.key, "x" * 40).with_identity("ann").with_grants(grants).to_jwt()
    refused = await ann.run(
        """([url, token, single]) => lab.join(url, token, { room: { singlePeerConnection: single } })
          .catch(({ status }) => status)""",
        [ann.server.ws, forged, path == "v1"],
    )
    assert refused == 401
    assert await ann.until("disconnected") == [DisconnectReason.USER_REJECTED]


@pytest.mark.improvement
async def test_a_page_that_was_away_cannot_bring_a_deleted_room_back(
    ann: Tab, room: str, path: SignalPath, line: SignalLine, lkapi: api.LiveKitAPI
) -> None:
    await ann.join(room, "ann", path=path, url=line.url)
    line.cut()
    await lkapi.room.delete_room(api.DeleteRoomRequest(room=room))
    (reason,) = await ann.until("disconnected")
    assert reason in {None, DisconnectReason.ROOM_DELETED}  # the latter if it was back before the deletion
    refused = "(url) => lab.room.connect(url, lab.token).catch(({ status }) => status)"
    assert await ann.run(refused, ann.server.ws) == 404
    assert (await lkapi.room.list_rooms(api.ListRoomsRequest(names=[room]))).rooms == []
