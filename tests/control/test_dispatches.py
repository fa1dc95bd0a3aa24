"""Dispatches as the room server really lists them: one that nobody took is replaced, and never doubled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from livekit import api

from roomkeeper.control import dispatching
from roomkeeper.control.dispatching import EPOCH, SESSION, Wanted
from roomkeeper.control.room_api import RoomApi, RoomApiFailed
from tests.control.room_servers import KINDS, room_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WANTED = Wanted(agent_name="nobody-here", session="S_1", epoch=2)


@pytest.fixture(params=KINDS)
async def server(
    request: pytest.FixtureRequest, tmp_path: Path, tea: str
) -> AsyncIterator[tuple[RoomApi, api.LiveKitAPI]]:
    async with room_server(request.param, tmp_path, tea) as found:
        where = (found.http, found.key, found.secret)
        rooms, livekit = RoomApi(*where), api.LiveKitAPI(*where)
        try:
            yield rooms, livekit
        finally:
            await rooms.close()
            await livekit.aclose()


async def test_a_dispatch_that_nobody_took_is_replaced_and_the_rooms_own_one_too(
    server: tuple[RoomApi, api.LiveKitAPI], tea: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms, livekit = server
    own = api.RoomAgentDispatch(agent_name="nobody-here", metadata="the application's own")
    await livekit.room.create_room(api.CreateRoomRequest(name=tea, agents=[own]))
    [first] = await livekit.agent_dispatch.list_dispatch(tea)
    assert await rooms.dispatch(tea, WANTED) == first.id  # a worker may still take it

    monkeypatch.setattr(dispatching, "ANSWERED_WITHIN", 0)
    second = await rooms.dispatch(tea, WANTED)
    third = await rooms.dispatch(tea, WANTED)
    assert len({first.id, second, third}) == 3
    [left] = [each for each in await livekit.agent_dispatch.list_dispatch(tea) if not each.state.deleted_at]
    assert left.id == third
    assert (left.metadata, dict(left.attributes)) == ("the application's own", {EPOCH: "2", SESSION: "S_1"})


async def test_no_dispatch_makes_a_room_that_nobody_asked_for(server: tuple[RoomApi, api.LiveKitAPI]) -> None:
    rooms, _ = server
    with pytest.raises(RoomApiFailed):
        await rooms.dispatch("nowhere", WANTED)
    assert "nowhere" not in {room.name for room in await rooms.rooms()}
