"""Which session a fact of a room belongs to, and whether it is ours at all.

Roomkeeper touches what it adopted and nothing else:

| ours by | the session's id | its name may be used again |
|---|---|---|
| the mark of our room configuration in the room's metadata | the mark's, else a new one | never; `after_end` for SIP |
| the attribute `roomkeeper.session` of a token of ours | the attribute's | never |
| an agent that is configured, in the room or over its link | a new one | `after_end` |
| `POST /api/sessions` | known already | never |

The name of a room is no more than a hint: an ended session's room may be re-created by an old token, and is then swept.
A participant may change its attributes while it joins, so one that names a session nobody knows, or one whose room was
forgotten, is believed only if it is the one that follows from room, generation and agent (`derived_id`), and never for
another room.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from roomkeeper.control.room_api import RoomApiFailed
from roomkeeper.control.store.store import IdTaken
from roomkeeper.lifecycle.events import ParticipantJoined, RoomStarted, SessionOpened
from roomkeeper.lifecycle.names import Join, Later, Open, Refuse, claim
from roomkeeper.lifecycle.policy import Kind, Policies, Policy, plain, read_policy
from roomkeeper.lifecycle.vocabulary import Dispatcher, Origin, ParticipantKind
from roomkeeper.wire.ids import derived_id, new_id
from roomkeeper.wire.room_config import AGENT, SESSION, Mark, mark_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livekit.protocol import models

    from roomkeeper.control.room_api import RoomApi
    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.events import RoomFact, RoomSeen
    from roomkeeper.lifecycle.state import Session

__all__ = ["AGENT", "SESSION", "Adopters", "Adoption", "token_session"]

_ORIGIN = {Kind.WEB: Origin.TOKEN, Kind.SIP: Origin.SIP, Kind.OTHER: Origin.TOKEN}


@dataclass(frozen=True, slots=True)
class Adopters:
    """What makes a room ours.

    Attributes:
        agents: Policy by agent name; a room in which such an agent appears is adopted.
        default: Policy of a session whose agent has none of its own.
        policies: The same by kind; None: all kinds are treated alike.
    """

    agents: Mapping[str, Policy] = field(default_factory=dict)
    default: Policy = field(default_factory=Policy)
    policies: Policies | None = None

    def policy(self, agent_name: str, kind: Kind = Kind.WEB, overrides: Mapping[str, object] | None = None) -> Policy:
        """Return the policy of a session.

        Args:
            agent_name: The agent in charge.
            kind: How its users come.
            overrides: What the call that opens it says.

        Raises:
            ConfigError: An override that cannot be used.
        """
        if self.policies is not None:
            return self.policies.resolve(agent_name, kind, overrides)
        policy = self.agents.get(agent_name, self.default)
        return read_policy(plain(policy), overrides) if overrides else policy


def token_session(room: str, generation: int, agent_name: str, *, secret: str) -> str:
    """Return the id of the session that tokens of a room are for before anybody has joined; nothing stores it."""
    return derived_id("S_", room, generation, agent_name, secret=secret)


class Adoption:
    """Finds the session of a fact, or opens one.

    Args:
        store: The sessions.
        rooms: The LiveKit server; who was there before a room became ours is found by looking.
        adopters: What makes a room ours.
        secret: Of the API key; ids of sessions follow from it.
    """

    def __init__(self, store: Store, rooms: RoomApi, adopters: Adopters, secret: str = "") -> None:
        self._store = store
        self._rooms = rooms
        self._adopters = adopters
        self._secret = secret

    async def session_of(
        self, room: str, fact: RoomFact, participant: models.ParticipantInfo | None = None, metadata: str = ""
    ) -> Session | None:
        """Return the session that is to be told a fact; None if the room is not ours.

        Args:
            room: The room's name.
            fact: What happened in it.
            participant: Whom it is about.
            metadata: The room's.
        """
        mark = mark_in(metadata)
        attributes = participant.attributes if participant is not None else {}
        carried = await self._known(room, attributes.get(SESSION, "")) or await self._known(
            room, mark.session if mark is not None else ""
        )
        sid = _room_sid(fact)
        if carried is not None and carried.purged_at is not None:
            if self._was_of(carried, room, mark):
                await self._delete(room, sid, carried)
                return None
            carried = None
        latest = await self._latest(room)
        if latest is not None and sid in latest.sids:
            return latest
        match claim(latest, carried=carried, room_sid=sid or None):
            case Join(session=session) | Refuse(session=session) | Later(session=session):
                return session
            case Open(generation=generation):
                opened = await self._opening(room, generation, fact, attributes, mark)
                return await self._open(opened, sid, look=isinstance(fact, ParticipantJoined)) if opened else None

    async def open_for_job(
        self, room: str, generation: int, agent_name: str, *, room_sid: str = "", session: str = "", metadata: str = ""
    ) -> Session | None:
        """Open the session of a job that says over its worker's link that it wants to be kept; None if it is not ours.

        Args:
            room: The room's name.
            generation: Which session of that name.
            agent_name: The agent this job is; where agents are configured, only theirs open sessions.
            room_sid: The room that the job is in, or was.
            session: The id that its dispatch carries; only holders of the API secret write dispatches.
            metadata: The room's; empty if the room is gone.
        """
        mark = mark_in(metadata)
        if mark is not None and mark.agent is not None:
            named = mark.session or session or new_id("S_")
            opened = self._opened(named, room, generation, mark.agent, mark.kind, _ORIGIN[mark.kind])
        elif session or agent_name in self._adopters.agents or not self._adopters.agents:
            kind, origin = await self._kind_of(room), Origin.TOKEN if session else Origin.ADOPTED
            opened = self._opened(session or new_id("S_"), room, generation, agent_name, kind, origin)
        else:
            return None
        return await self._open(opened, room_sid)

    async def _known(self, room: str, session: str) -> Session | None:
        found = await self._store.find(session) if session.startswith("S_") else None
        # A purged session has forgotten its room's name.
        return found if found is not None and (found.room == room or found.purged_at is not None) else None

    def _was_of(self, purged: Session, room: str, mark: Mark | None) -> bool:
        """Say whether a room is that of a session that has forgotten it; a participant's word alone would not do."""
        derived = token_session(room, purged.generation, purged.agent_name, secret=self._secret)
        return purged.id in {mark.session if mark is not None else "", derived}

    async def _delete(self, room: str, sid: str, purged: Session) -> None:
        """Delete a room that an old token made again; its session is told nothing, it has forgotten everything."""
        with suppress(RoomApiFailed):  # then the next word about it, or the reconciler's next round
            await self._rooms.delete(room, sid=sid or None, session=purged.id)

    async def _latest(self, room: str) -> Session | None:
        found = await self._store.find(room)
        return found if found is not None and found.room == room else None

    async def _opening(
        self, room: str, generation: int, fact: RoomFact, attributes: Mapping[str, str], mark: Mark | None
    ) -> SessionOpened | None:
        """Make the event that opens a session for a room; None if nothing makes the room ours."""
        if not isinstance(fact, ParticipantJoined | RoomStarted):
            return None
        joined = fact if isinstance(fact, ParticipantJoined) else None
        if mark is not None and mark.agent is not None:
            kind = mark.kind if joined is None else _kind(joined) or mark.kind
            return self._opened(mark.session or new_id("S_"), room, generation, mark.agent, kind, _ORIGIN[kind])
        if joined is None:
            return None
        agent_name = attributes.get(AGENT, "")
        session = token_session(room, generation, agent_name, secret=self._secret)
        if self._secret and attributes.get(SESSION) == session:
            kind = _kind(joined) or Kind.WEB
            return self._opened(session, room, generation, agent_name, kind, Origin.TOKEN)
        if joined.kind is ParticipantKind.AGENT and joined.agent_name in self._adopters.agents:
            kind = await self._kind_of(room)
            return self._opened(new_id("S_"), room, generation, joined.agent_name, kind, Origin.ADOPTED)
        return None

    def _opened(
        self, session: str, room: str, generation: int, agent_name: str, kind: Kind, origin: Origin
    ) -> SessionOpened:
        return SessionOpened(
            at=0,
            session=session,
            room=room,
            generation=generation,
            agent_name=agent_name,
            origin=origin,
            dispatcher=Dispatcher.ROOM,
            policy=self._adopters.policy(agent_name, kind),
        )

    async def _open(self, opened: SessionOpened, sid: str = "", *, look: bool = True) -> Session:
        # Whoever opens it and dies leaves a session that knows its room: its end deletes that, and no other follows.
        known = (RoomStarted(at=0, sid=sid, told_by="adoption"),) if sid else ()
        try:
            session = await self._store.open(opened, *known)
        except IdTaken:  # One room configuration was given to several rooms: its id is the first one's.
            session = await self._store.open(replace(opened, session=new_id("S_")), *known)
        if look:
            with suppress(RoomApiFailed):  # then the reconciler's next round finds them
                await self._store.tell(session.id, await self._rooms.look(session.room))
        return session

    async def _kind_of(self, room: str) -> Kind:
        """Say how the people came whose agent makes a room ours; callers are rarely alone with web users."""
        try:
            seen: RoomSeen = await self._rooms.look(room)
        except RoomApiFailed:
            return Kind.WEB
        return Kind.SIP if any(person.kind is ParticipantKind.SIP for person in seen.people) else Kind.WEB


def _kind(joined: ParticipantJoined) -> Kind | None:
    """Say how somebody comes; None for agents and the like, who are no users."""
    match joined.kind:
        case ParticipantKind.STANDARD:
            return Kind.WEB
        case ParticipantKind.SIP:
            return Kind.SIP
        case ParticipantKind.AGENT | ParticipantKind.EGRESS:
            return None
        case _:
            return Kind.OTHER


def _room_sid(fact: RoomFact) -> str:
    return fact.sid if isinstance(fact, RoomStarted) else getattr(fact, "room_sid", "") or ""
