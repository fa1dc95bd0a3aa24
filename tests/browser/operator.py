"""What an operator does and sees meanwhile: control plane and room server by their APIs."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import TYPE_CHECKING, Any

from livekit import api

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.browser.house import House


async def call(house: House, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
    """Call the control plane's API as an administrator."""

    def send() -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - ours
            f"{house.address}api/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {house.admin_token()}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - ours
            read: dict[str, Any] = json.load(answer)
            return read

    return await asyncio.to_thread(send)


async def rooms(house: House) -> set[str]:
    """Names of the rooms that there are."""
    async with house.livekit() as livekit:
        listed = await livekit.room.list_rooms(api.ListRoomsRequest())
        return {room.name for room in listed.rooms}


async def dispatches(house: House, room: str) -> int:
    """How often an agent was sent to a room, as far as the room server knows."""
    async with house.livekit() as livekit:
        try:
            return len(await livekit.agent_dispatch.list_dispatch(room))
        except api.TwirpError as refused:
            if "does not exist" not in str(refused):
                raise
            return 0
