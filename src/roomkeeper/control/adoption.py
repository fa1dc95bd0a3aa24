"""Which session a fact of a room belongs to, and whether it is ours at all.

Roomkeeper touches what it adopted and nothing else: rooms whose participants carry one of our tokens (attribute
`roomkeeper.session`), rooms of an agent it is configured for, and sessions made through its API. The name of a room is
no more than a hint: an ended session's room may be re-created by an old token, and is then swept.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from roomkeeper.control.room_api import RoomApiFailed
from roomkeeper.lifecycle.events import ParticipantJoined, RoomStarted, SessionOpened
from roomkeeper.lifecycle.names import Join, Later, Open, Refuse, claim
from roomkeeper.lifecycle.policy import Policy
from roomkeeper.lifecycle.vocabulary import Dispatcher, Origin, ParticipantKind
from roomkeeper.wire.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livekit.protocol import models

    from roomkeeper.control.room_api import RoomApi
    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.events import RoomFact
    from roomkeeper.lifecycle.state import Session

SESSION = "roomkeeper.session"
"""Attribute of every participant who entered by a token of ours."""


@dataclass(frozen=True, slots=True)
class Adopters:
    """What makes a room ours.

    Attributes:
        agents: Policy by agent name; a room in which such an agent appears is adopted.
        default: Policy of a session whose agent has none of its own.
    """

    agents: Mapping[str, Policy] = field(default_factory=dict)
    default: Policy = field(default_factory=Policy)

    def policy(self, agent_name: str) -> Policy:
        """Return the policy of an agent."""
        return self.agents.get(agent_name, self.default)


class Adoption:
    """Finds the session of a fact, or opens one.

    Args:
        store: The sessions.
        rooms: The LiveKit server; who was there before a room became ours is found by looking.
        adopters: What makes a room ours.
    """

    def __init__(self, store: Store, rooms: RoomApi, adopters: Adopters) -> None:
        self._store = store
        self._rooms = rooms
        self._adopters = adopters

    async def session_of(
        self, room: str, fact: RoomFact, participant: models.ParticipantInfo | None = None
    ) -> Session | None:
        """Return the session that is to be told a fact; None if the room is not ours.

        Args:
            room: The room's name.
            fact: What happened in it.
            participant: Whom it is about.
        """
        carried = await self._carried(participant)
        latest = await self._latest(room)
        sid = _room_sid(fact)
        if latest is not None and sid in latest.sids:
            return latest
        match claim(latest, carried=carried, room_sid=sid or None):
            case Join(session=session) | Refuse(session=session) | Later(session=session):
                return session
            case Open(generation=generation):
                return await self._open(room, generation, fact)

    async def _carried(self, participant: models.ParticipantInfo | None) -> Session | None:
        name = participant.attributes.get(SESSION, "") if participant is not None else ""
        return await self._store.find(name) if name.startswith("S_") else None

    async def _latest(self, room: str) -> Session | None:
        found = await self._store.find(room)
        return found if found is not None and found.room == room else None

    async def _open(self, room: str, generation: int, fact: RoomFact) -> Session | None:
        if not isinstance(fact, ParticipantJoined):
            return None
        is_agent = fact.kind is ParticipantKind.AGENT
        if not is_agent or fact.agent_name not in self._adopters.agents:
            return None
        opened = SessionOpened(
            at=0,
            session=new_id("S_"),
            room=room,
            generation=generation,
            agent_name=fact.agent_name,
            origin=Origin.ADOPTED,
            dispatcher=Dispatcher.ROOM,
            policy=self._adopters.policy(fact.agent_name),
        )
        session = await self._store.open(opened)
        with suppress(RoomApiFailed):  # then the reconciler's next round finds them
            await self._store.tell(session.id, await self._rooms.look(room))
        return session


def _room_sid(fact: RoomFact) -> str:
    return fact.sid if isinstance(fact, RoomStarted) else getattr(fact, "room_sid", "") or ""
