"""A room server in memory, in virtual time: what the control plane sees and does of LiveKit, and nothing else."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from livekit.protocol import models
from livekit.protocol.webhook import WebhookEvent

from roomkeeper.control.adoption import SESSION
from roomkeeper.control.facts import AGENT_NAME, seen
from roomkeeper.control.room_api import KEY, RoomApiFailed, carried_session

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from roomkeeper.control.dispatching import Wanted
    from roomkeeper.lifecycle.events import RoomSeen
    from tests.chaos.faults import Faults

AGENT = "interviewer"
T = TypeVar("T")


@dataclass
class Room:
    """A room that is there.

    Attributes:
        shown: Every state that was written into it, in order.
    """

    name: str
    sid: str
    people: dict[str, models.ParticipantInfo] = field(default_factory=dict)
    metadata: str = ""
    shown: list[dict[str, Any]] = field(default_factory=list)

    @property
    def info(self) -> models.Room:
        """As it is listed."""
        return models.Room(name=self.name, sid=self.sid, metadata=self.metadata)


class RoomServer:
    """Rooms, who is in them, and what is told about them.

    Attributes:
        rooms: By name.
        past: Rooms that are gone.
        webhooks: What is to be told, in order.
    """

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self.past: list[Room] = []
        self.webhooks: list[WebhookEvent] = []
        self.dispatched: list[tuple[str, Wanted]] = []
        self._numbers = itertools.count(1)

    def join(self, room: str, identity: str, *, agent: bool = False, session: str = "") -> str:
        """Let somebody in, with a token of a session or without; returns their sid."""
        there = self.rooms.get(room)
        if there is None:
            there = self.rooms[room] = Room(room, f"RM_{room}_{next(self._numbers)}")
            self._tell("room_started", there)
        for person in [person for person in there.people.values() if person.identity == identity]:
            self._gone(there, person, models.DUPLICATE_IDENTITY)
        sid = f"PA_{room}_{next(self._numbers)}"
        kind = models.ParticipantInfo.AGENT if agent else models.ParticipantInfo.STANDARD
        person = models.ParticipantInfo(sid=sid, identity=identity, kind=kind, state=models.ParticipantInfo.ACTIVE)
        if agent:
            person.attributes[AGENT_NAME] = AGENT
        if session:
            person.attributes[SESSION] = session
        there.people[sid] = person
        self._tell("participant_joined", there, person)
        return sid

    def leave(self, room: str, identity: str, reason: models.DisconnectReason) -> None:
        """Let somebody go; the room stays."""
        there = self.rooms.get(room)
        for person in list(there.people.values()) if there is not None else []:
            if there is not None and person.identity == identity:
                self._gone(there, person, reason)

    def delete(self, room: str) -> None:
        """End a room."""
        there = self.rooms.pop(room)
        for person in list(there.people.values()):
            self._gone(there, person, models.ROOM_DELETED)
        self.past.append(there)
        self._tell("room_finished", there)

    def is_there(self, room: str, identity: str) -> bool:
        """Say whether somebody is in a room."""
        there = self.rooms.get(room)
        return there is not None and any(person.identity == identity for person in there.people.values())

    def _gone(self, room: Room, person: models.ParticipantInfo, reason: models.DisconnectReason) -> None:
        del room.people[person.sid]
        person.disconnect_reason = reason
        self._tell("participant_left", room, person)

    def _tell(self, what: str, room: Room, person: models.ParticipantInfo | None = None) -> None:
        event = WebhookEvent(event=what, id=f"EV_{room.sid}_{next(self._numbers)}", room=room.info)
        if person is not None:
            event.participant.CopyFrom(person)
        self.webhooks.append(event)


class FakeRoomApi:
    """`RoomApi` on a room server in memory; every call may be lost before or after it had its effect.

    Args:
        server: The rooms.
        faults: Say when the caller dies.
        chance: Seeded; for answers that do not come.
    """

    def __init__(self, server: RoomServer, faults: Faults, chance: random.Random) -> None:
        self._server = server
        self._faults = faults
        self._chance = chance
        self.failing = 0.0

    async def look(self, room: str) -> RoomSeen:
        """List a room."""

        def look() -> RoomSeen:
            there = self._server.rooms.get(room)
            return seen(there.sid, there.people.values()) if there else seen(None, ())

        return await self._call("look", look)

    async def people(self, room: str) -> list[models.ParticipantInfo]:
        """List who is there."""

        def people() -> list[models.ParticipantInfo]:
            there = self._server.rooms.get(room)
            return list(there.people.values()) if there else []

        return await self._call("people", people)

    async def rooms(self) -> list[models.Room]:
        """List all."""
        return await self._call("rooms", lambda: [room.info for room in self._server.rooms.values()])

    async def find(self, room: str) -> models.Room | None:
        """Find one."""
        return await self._call("find", lambda: self._server.rooms[room].info if room in self._server.rooms else None)

    async def write_state(self, room: str, sid: str, state: Mapping[str, object]) -> bool:
        """Show a state in a room."""

        def write() -> bool:
            there = self._server.rooms.get(room)
            if there is None or there.sid != sid:
                return False
            there.metadata = json.dumps({KEY: state})
            there.shown.append(dict(state))
            return True

        return await self._call("write", write)

    async def delete(self, room: str, *, sid: str | None, session: str) -> models.Room | None:
        """Delete the room that is meant."""

        def delete() -> models.Room | None:
            there = self._server.rooms.get(room)
            if there is None:
                return None
            if (there.sid != sid) if sid is not None else (carried_session(there.metadata) != session):
                return None
            self._server.delete(room)
            return there.info

        return await self._call("delete", delete)

    async def remove(self, room: str, identity: str) -> None:
        """Remove somebody."""
        await self._call("remove", lambda: self._server.leave(room, identity, models.PARTICIPANT_REMOVED))

    async def dispatch(self, room: str, wanted: Wanted, *, metadata: str | None = None) -> str:
        """Send an agent."""

        def dispatch() -> str:
            self._server.dispatched.append((room, wanted))
            return f"AD_{len(self._server.dispatched)}"

        return await self._call("dispatch", dispatch)

    async def stop_egress(self, egress: str) -> None:
        """Stop a recording."""
        await self._call("stop", lambda: None)

    async def _call(self, name: str, effect: Callable[[], T]) -> T:
        await self._faults.point(f"{name}, before")
        draw = self._chance.random()
        if draw < self.failing / 2:
            raise RoomApiFailed("unavailable")
        answer = effect()
        await self._faults.point(f"{name}, after")
        if draw < self.failing:
            raise RoomApiFailed("the answer was lost")
        return answer
