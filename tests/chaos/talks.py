"""Conversations of the matrix: light people, with agents that are light people too, or jobs of real workers."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

import aiohttp
from livekit import api

from bench.sfu.light.participant import Participant
from tests.chaos.planes import AGENT, KEPT, STOCK
from tests.chaos.processes import agents_of, signal_process

if TYPE_CHECKING:
    import random

    from tests.chaos.house import House

ENDINGS = ("agent ends", "agent ends", "user leaves", "room deleted", "operator ends", "everybody vanishes")
AGENTS = (AGENT, AGENT, KEPT, KEPT, STOCK)
TRIES = 3
"""How often somebody tries to join."""


class Talk:
    """One conversation.

    Attributes:
        agent: Who talks: a light participant that Roomkeeper does not know, a stock job, or a job that is kept.
        session: Its id, once it is open.

    Args:
        house: Where.
        room: Its name.
        chance: Seeded.
    """

    def __init__(self, house: House, room: str, chance: random.Random) -> None:
        self.house, self.room = house, room
        self.agent, self.ending = chance.choice(AGENTS), chance.choice(ENDINGS)
        self._pauses = (chance.uniform(0, 3), chance.uniform(1, 6))
        self.session = ""
        self._people: dict[str, Participant] = {}

    @property
    def is_kept(self) -> bool:
        """Whether its agent keeps a journal."""
        return self.agent == KEPT

    async def run(self) -> None:
        """Talk, and end; a room server that is away costs whatever it costs."""
        plan = {"ends": self.ending == "agent ends", "ends_after": self._pauses[1]}
        wish = {"agent": self.agent, "room": self.room, "user": {"identity": "ann"}, "metadata": plan}
        opened = await self.house.ask("POST", "/api/sessions", wish | {"idempotency_key": self.room})
        self.session = str(opened["session"]["id"])
        await asyncio.sleep(self._pauses[0])
        server = self.house.server
        if self.agent == AGENT:
            user = server.unsigned_token("ann", room=self.room).with_attributes({"roomkeeper.session": self.session})
            await self._join("ann", user.to_jwt())
            agent = server.unsigned_token("agent", room=self.room, kind="agent", agent=True)
            await self._join("agent", agent.with_attributes({"lk.agent_name": AGENT}).to_jwt())
        elif opened["token"] is not None:  # else it has ended while nobody answered
            await self._join("ann", opened["token"]["participant_token"])
        await asyncio.sleep(self._pauses[1])
        await self._end()

    async def _end(self) -> None:
        match self.ending:
            case "agent ends":
                await self._leave("agent")  # jobs end by themselves
            case "user leaves":
                await self._leave("ann")
            case "operator ends":
                await self.house.ask("POST", f"/api/sessions/{self.session}/end", {"detail": "enough"})
            case "room deleted":
                server = self.house.server
                with contextlib.suppress(aiohttp.ClientError, api.TwirpError, OSError, TimeoutError):
                    async with api.LiveKitAPI(server.http, server.key, server.secret) as livekit:
                        await livekit.room.delete_room(api.DeleteRoomRequest(room=self.room))
            case _:
                for pid in await asyncio.to_thread(agents_of, self.house.folder, self.room):
                    signal_process(pid, signal.SIGKILL)
                await self.clear()

    async def clear(self) -> None:
        """Let go of everybody."""
        for identity in list(self._people):
            await self._leave(identity)

    async def _join(self, identity: str, token: str) -> None:
        for _ in range(TRIES):
            person = Participant()
            try:
                await person.join(self.house.server.ws, token, within=10)
            except Exception:  # noqa: BLE001 - a server that dies just now; whatever it is, a page tries again
                await person.leave()
                await asyncio.sleep(1)
            else:
                self._people[identity] = person
                return

    async def _leave(self, identity: str) -> None:
        if (person := self._people.pop(identity, None)) is not None:
            await person.leave()
