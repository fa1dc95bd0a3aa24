"""The room server in memory, over HTTP: the room API and signed webhooks, for hundreds of rooms at once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from livekit import api

from roomkeeper.wire.webhooks import encode, sign
from tests.chaos.world import RoomServer
from tests.conformance.support.server import KEY, SECRET
from tests.ports import free_port

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from google.protobuf.message import Message
    from livekit.protocol.webhook import WebhookEvent

POSTERS = 24
"""Webhooks under way at the same time."""
TRY_AGAIN = 0.1
"""Seconds until a webhook that nobody took is tried at another replica."""


class HttpRoomServer(RoomServer):
    """Rooms in memory behind LiveKit's public interface.

    Attributes:
        ended_at: When the metadata of a room first said `ended`, on the loop's clock.
        gone_at: When a room was deleted.

    Args:
        hooks: Where webhooks go: to any of these, to another if one does not take it.
        chance: Seeded; for which of them.
    """

    def __init__(self, hooks: Sequence[str], chance: random.Random) -> None:
        super().__init__()
        self.port = free_port()
        self._hooks = hooks
        self._chance = chance
        self._queue: asyncio.Queue[WebhookEvent] = asyncio.Queue()
        self._runner: web.AppRunner | None = None
        self._posters: list[asyncio.Task[None]] = []
        self.ended_at: dict[str, float] = {}
        self.live_at: dict[str, float] = {}
        self.gone_at: dict[str, float] = {}
        self.changed = asyncio.Event()

    @property
    def url(self) -> str:
        """The address of the room API."""
        return f"http://127.0.0.1:{self.port}"

    async def up(self) -> None:
        """Listen, and tell what happens."""
        app = web.Application()
        app.router.add_post("/twirp/{service}/{method}", self._call)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self._posters = [asyncio.create_task(self._post()) for _ in range(POSTERS)]

    async def down(self) -> None:
        """Stop."""
        for poster in self._posters:
            poster.cancel()
        await asyncio.gather(*self._posters, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    def flush(self) -> None:
        """Send what has happened."""
        waiting, self.webhooks = self.webhooks, []
        for event in waiting:
            self._queue.put_nowait(event)

    async def _post(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
            while True:
                event = await self._queue.get()
                body = encode(event)
                while True:
                    token = sign(body, api_key=KEY, secret=SECRET, now=time.time())
                    headers = {"authorization": token, "content-type": "application/webhook+json"}
                    try:
                        async with http.post(self._chance.choice(self._hooks), data=body, headers=headers) as answer:
                            if answer.status == 200:
                                break
                    except (aiohttp.ClientError, OSError):
                        pass
                    await asyncio.sleep(TRY_AGAIN)

    async def _call(self, request: web.Request) -> web.Response:
        body = await request.read()
        answer = self._answer(request.match_info["method"], body)
        self.flush()
        if answer is None:
            return web.json_response({"code": "not_found", "msg": "there is no such room"}, status=404)
        return web.Response(body=answer.SerializeToString(), content_type="application/protobuf")

    def _answer(self, method: str, body: bytes) -> Message | None:
        match method:
            case "ListRooms":
                names = api.ListRoomsRequest.FromString(body).names
                found = [room.info for room in self.rooms.values() if not names or room.name in names]
                return api.ListRoomsResponse(rooms=found)
            case "ListParticipants":
                there = self.rooms.get(api.ListParticipantsRequest.FromString(body).room)
                return None if there is None else api.ListParticipantsResponse(participants=there.people.values())
            case "UpdateRoomMetadata":
                update = api.UpdateRoomMetadataRequest.FromString(body)
                there = self.rooms.get(update.room)
                if there is None:
                    return None
                there.metadata = update.metadata
                self._note(update.room, update.metadata)
                return there.info
            case "SendData":
                return api.SendDataResponse()
            case "DeleteRoom":
                name = api.DeleteRoomRequest.FromString(body).room
                if name not in self.rooms:
                    return None
                self.delete(name)
                self.gone_at.setdefault(name, asyncio.get_running_loop().time())
                self.changed.set()
                return api.DeleteRoomResponse()
            case "RemoveParticipant":
                who = api.RoomParticipantIdentity.FromString(body)
                if not self.is_there(who.room, who.identity):
                    return None
                self.leave(who.room, who.identity, api.DisconnectReason.PARTICIPANT_REMOVED)
                return api.RemoveParticipantResponse()
            case "ListDispatch":
                return api.ListAgentDispatchResponse()
            case "CreateDispatch":
                return api.AgentDispatch(id="AD_1")
            case _:
                return None

    def _note(self, room: str, metadata: str) -> None:
        now = asyncio.get_running_loop().time()
        if '"state":"live"' in metadata:
            self.live_at.setdefault(room, now)
        if '"state":"ended"' in metadata:
            self.ended_at.setdefault(room, now)
        self.changed.set()
