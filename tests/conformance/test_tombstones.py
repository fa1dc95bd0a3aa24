"""A deleted room stays deleted for those whose token is older than the deletion."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from livekit import api, rtc

from tests.conformance.support.clients import Client
from tests.conformance.support.signal import join_request

if TYPE_CHECKING:
    import aiohttp

    from tests.conformance.support.clients import Joiner, SignalPath
    from tests.conformance.support.server import Server

GONE = (404, "requested room does not exist")


async def delete(server: Server, room: str) -> None:
    """Delete a room, and let the second of the deletion pass, since tokens tell seconds only."""
    async with api.LiveKitAPI(server.http, server.key, server.secret) as lkapi:
        await lkapi.room.delete_room(api.DeleteRoomRequest(room=room))
    await asyncio.sleep(1.01 - time.time() % 1)


async def rooms(server: Server, room: str) -> list[str]:
    """The sids of the live rooms of that name."""
    async with api.LiveKitAPI(server.http, server.key, server.secret) as lkapi:
        listed = await lkapi.room.list_rooms(api.ListRoomsRequest(names=[room]))
    return [each.sid for each in listed.rooms]


@pytest.mark.improvement
async def test_an_old_token_does_not_resurrect_a_deleted_room(
    join: Joiner, path: SignalPath, server: Server, room: str, http: aiohttp.ClientSession
) -> None:
    token = server.token("ann", room=room)
    ann = await join("ann", token=token)
    await delete(server, room)
    await ann.wait_for_disconnect()
    with pytest.raises(rtc.ConnectError):
        await Client("ann").connect(server.url, token, path)
    params = {"access_token": token, "join_request": join_request()}
    for validate in ("/rtc/validate", "/rtc/v1/validate"):
        async with http.get(f"{server.http}{validate}", params=params) as answer:
            assert (answer.status, (await answer.text()).strip()) == GONE
    assert not await rooms(server, room)


@pytest.mark.improvement
async def test_a_token_that_the_server_refreshed_is_as_old_as_its_room(join: Joiner, server: Server, room: str) -> None:
    ann = await join("ann")
    await ann.wait_for("token_refreshed")
    refreshed = ann.room._token
    assert refreshed
    await delete(server, room)
    with pytest.raises(rtc.ConnectError):
        await Client("ann").connect(server.url, refreshed)
    assert not await rooms(server, room)


@pytest.mark.improvement
async def test_a_token_issued_after_the_deletion_makes_a_new_room(
    join: Joiner, path: SignalPath, server: Server, room: str
) -> None:
    first = await (await join("ann")).room.sid
    await delete(server, room)
    assert await (await join("ann")).room.sid != first


@pytest.mark.improvement
async def test_a_room_created_again_lets_old_tokens_in(
    join: Joiner, server: Server, room: str, lkapi: api.LiveKitAPI
) -> None:
    token = server.token("ann", room=room)
    await join("ann", token=token)
    await delete(server, room)
    created = await lkapi.room.create_room(api.CreateRoomRequest(name=room))
    assert await (await join("ann", token=token)).room.sid == created.sid


async def test_strictly_an_old_token_resurrects_a_deleted_room(original: Server, room: str, path: SignalPath) -> None:
    token = original.token("ann", room=room)
    ann = Client("ann")
    await ann.connect(original.url, token, path)
    first = await ann.room.sid
    await delete(original, room)
    await ann.close()
    again = Client("ann")
    await again.connect(original.url, token, path)
    assert await again.room.sid != first
    await again.close()
