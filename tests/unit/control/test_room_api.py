"""Looking at a room: its sid and its people are asked for one after the other, and belong together all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from livekit.protocol import models

from roomkeeper.control.room_api import RoomApi, RoomApiFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Info = models.ParticipantInfo


class Rooms(RoomApi):
    """Answers as a server does that makes the room again before each of some answers."""

    def __init__(self, *, remade: int) -> None:
        super().__init__("http://127.0.0.1:1", "key", "a-secret-of-enough-length-for-hs256-x")
        self.made, self._remade = 1, remade

    async def find(self, room: str) -> models.Room | None:
        """Find the room of the moment."""
        return models.Room(name=room, sid=f"RM_{self.made}")

    async def people(self, room: str) -> list[Info]:
        """List who is in the room of the moment, which may be another one already."""
        if self._remade:
            self._remade -= 1
            self.made += 1
        return [Info(sid=f"PA_{self.made}", identity="ann", state=Info.ACTIVE)]


@pytest.fixture
async def rooms(request: pytest.FixtureRequest) -> AsyncIterator[Rooms]:
    api = Rooms(remade=request.param)
    yield api
    await api.close()


@pytest.mark.parametrize("rooms", [0, 1, 2], indirect=True)
async def test_a_look_never_has_the_sid_of_one_room_and_the_people_of_another(rooms: Rooms) -> None:
    seen = await rooms.look("tea")
    assert seen.sid == f"RM_{rooms.made}"
    assert [person.sid for person in seen.people] == [f"PA_{rooms.made}"]


@pytest.mark.parametrize("rooms", [100], indirect=True)
async def test_a_room_that_never_stays_the_same_cannot_be_looked_at(rooms: Rooms) -> None:
    with pytest.raises(RoomApiFailed):
        await rooms.look("tea")
