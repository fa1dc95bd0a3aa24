"""Every way out of a room, and the reason that each side is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from livekit import api, rtc

from tests.conformance.support.sound import hear_tone

if TYPE_CHECKING:
    from tests.conformance.support.clients import Joiner, SignalPath

Reason = rtc.DisconnectReason


async def test_a_second_join_of_the_same_identity_replaces_the_first(join: Joiner, path: SignalPath) -> None:
    bob, first = await join("bob"), await join("ann")
    await bob.wait_for_participant("ann")
    second = await join("ann")
    assert await first.wait_for_disconnect() == Reason.DUPLICATE_IDENTITY
    await second.speak(440)
    await hear_tone(await bob.wait_for_track("ann"), 440)
    assert bob.other("ann").sid == second.me.sid != first.me.sid
    assert not second.saw("disconnected")


async def test_a_removed_participant_learns_it(
    join: Joiner, path: SignalPath, lkapi: api.LiveKitAPI, room: str
) -> None:
    bob, ann = await join("bob"), await join("ann")
    await bob.wait_for_participant("ann")
    await lkapi.room.remove_participant(api.RoomParticipantIdentity(room=room, identity="ann"))
    assert await ann.wait_for_disconnect() == Reason.PARTICIPANT_REMOVED
    gone = (await bob.wait_for("participant_disconnected")).args[0]
    assert (gone.identity, gone.disconnect_reason) == ("ann", Reason.PARTICIPANT_REMOVED)
    await (await join("ann")).close()


async def test_a_deleted_room_tells_everybody(join: Joiner, path: SignalPath, lkapi: api.LiveKitAPI, room: str) -> None:
    ann, bob = await join("ann"), await join("bob")
    await lkapi.room.delete_room(api.DeleteRoomRequest(room=room))
    reasons = await asyncio.gather(ann.wait_for_disconnect(), bob.wait_for_disconnect())
    assert set(reasons) == {Reason.ROOM_DELETED}
    rooms = await lkapi.room.list_rooms(api.ListRoomsRequest(names=[room]))
    assert not rooms.rooms


async def test_an_agent_alone_is_told_that_the_room_closed(
    join: Joiner, path: SignalPath, lkapi: api.LiveKitAPI, room: str
) -> None:
    await lkapi.room.create_room(api.CreateRoomRequest(name=room, departure_timeout=1))
    agent, ann = await join("agent", kind="agent", agent=True), await join("ann")
    await ann.close()
    assert await agent.wait_for_disconnect(within=8) == Reason.ROOM_CLOSED


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (Reason.CLIENT_INITIATED, Reason.CLIENT_INITIATED),
        (Reason.USER_UNAVAILABLE, Reason.USER_UNAVAILABLE),
        (Reason.USER_REJECTED, Reason.USER_REJECTED),
        (Reason.AGENT_ERROR, Reason.AGENT_ERROR),
        (Reason.ROOM_DELETED, Reason.CLIENT_INITIATED),
    ],
    ids=Reason.Name,
)
async def test_others_learn_the_reason_a_leaver_gives(
    join: Joiner, given: rtc.DisconnectReason.ValueType, told: rtc.DisconnectReason.ValueType
) -> None:
    bob, ann = await join("bob"), await join("ann")
    await bob.wait_for_participant("ann")
    await ann.close(given)
    gone = (await bob.wait_for("participant_disconnected")).args[0]
    assert gone.disconnect_reason == told


async def test_a_leaver_may_come_back_with_the_same_token(join: Joiner, path: SignalPath) -> None:
    bob, ann = await join("bob"), await join("ann")
    sid = ann.me.sid
    await bob.wait_for_participant("ann")
    await ann.close()
    await bob.wait_for("participant_disconnected")
    back = await join("ann")
    seen = await bob.wait_for_participant("ann")
    assert seen.sid == back.me.sid != sid


async def test_a_room_of_the_same_name_is_a_new_room(join: Joiner, lkapi: api.LiveKitAPI, room: str) -> None:
    ann = await join("ann")
    first = await ann.room.sid
    await lkapi.room.delete_room(api.DeleteRoomRequest(room=room))
    await ann.wait_for_disconnect()
    await lkapi.room.create_room(api.CreateRoomRequest(name=room))
    again = await join("ann")
    assert await again.room.sid != first
    assert not again.room.remote_participants
