"""Participants' tokens: which session a room's name stands for, and what a token of it holds."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from livekit.protocol.room import RoomConfiguration

from roomkeeper.control.adoption import token_session
from roomkeeper.control.problems import Problem
from roomkeeper.lifecycle.names import Join, Later, Open, Refuse, claim
from roomkeeper.lifecycle.policy import Kind
from roomkeeper.lifecycle.state import State, room_state
from roomkeeper.lifecycle.vocabulary import Dispatcher
from roomkeeper.wire.room_config import AGENT, SESSION, Mark, configure
from roomkeeper.wire.tokens import Claims, VideoGrants, mint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roomkeeper.control.adoption import Adopters
    from roomkeeper.control.config import ControlConfig
    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.policy import Policy
    from roomkeeper.lifecycle.state import Session


@dataclass(frozen=True, slots=True)
class Place:
    """A session that somebody may join, begun or not.

    Attributes:
        session: `S_…`.
        epoch: Of the agent that the room's configuration sends.
        metadata: The application's, for the agent.
        dispatch: Whether the room's configuration sends the agent.
        begun: True if the session is stored.
    """

    session: str
    room: str
    agent_name: str
    policy: Policy
    epoch: int = 1
    metadata: str = ""
    dispatch: bool = True
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Guest:
    """Who gets a token."""

    identity: str
    name: str = ""
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


class Issuer:
    """Finds places and makes tokens for them.

    Args:
        config: Key, secret, the server's address.
        store: The sessions.
        adopters: Policies of sessions that have not begun.
    """

    def __init__(self, config: ControlConfig, store: Store, adopters: Adopters) -> None:
        self._config = config
        self._store = store
        self._adopters = adopters

    async def place(self, room: str, agent_name: str) -> Place:
        """Say which session a room's name stands for; the same for everybody until it has ended.

        Args:
            room: The room's name.
            agent_name: The agent of a session that has not begun.

        Raises:
            Problem: 410 it has ended, 503 the room of the session before is still being closed.
        """
        found = await self._store.find(room)
        latest = found if found is not None and found.room == room else None
        match claim(latest):
            case Join(session=session):
                return place_of(session)
            case Refuse(session=session):
                raise await self.gone(session)
            case Later(session=session):
                detail = f"The room of {session.id} is still being closed; ask again in a second."
                raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "1"})
            case Open(generation=generation):
                session_id = token_session(room, generation, agent_name, secret=self._config.api_secret)
                known = await self._store.find(session_id)
                if known is None:
                    return Place(session_id, room, agent_name, self._adopters.policy(agent_name))
                if known.end is None:  # it began after the first look
                    return place_of(known)
                raise await self.gone(known)  # purged, so that it has no room's name any more

    async def gone(self, session: Session) -> Problem:
        """Make the answer to whoever comes after the end: the problem and the state in one object."""
        state = room_state(session, await self._store.now())
        # The state's detail is the application's; where there is none, the problem has none either.
        said = {name: value for name, value in state.items() if name != "detail" or value is not None}
        return Problem(HTTPStatus.GONE, str(state["message"]), more=said)

    def token(self, place: Place, guest: Guest, config: RoomConfiguration | None = None) -> str:
        """Make a participant's token.

        Args:
            place: The session.
            guest: Who gets it.
            config: What the application wants of a room that the token creates.
        """
        if self._config.stock:
            return self._stock_token(place, guest, config or RoomConfiguration())
        policy = place.policy
        ours = configure(
            config or RoomConfiguration(),
            Mark(session=place.session, agent=place.agent_name),
            metadata=place.metadata,
            epoch=place.epoch,
            dispatch=place.dispatch,
            hold=max((policy.hold_for(kind) for kind in Kind if kind in policy.counts), default=policy.hold_web),
            join_timeout=policy.join_timeout,
        )
        claims = Claims(
            api_key=self._config.api_key,
            identity=guest.identity,
            name=guest.name,
            metadata=guest.metadata,
            attributes={**guest.attributes, SESSION: place.session, AGENT: place.agent_name},
            video=VideoGrants(room_join=True, room=place.room, can_update_own_metadata=True),
            room_config=ours,
        )
        return mint(claims, secret=self._config.api_secret, now=time.time(), ttl=self._config.token_ttl)

    def _stock_token(self, place: Place, guest: Guest, config: RoomConfiguration) -> str:
        """Make what an application without Roomkeeper gives out: a join and a dispatch, no more."""
        if place.agent_name and not config.agents:
            config.agents.add(agent_name=place.agent_name, metadata=place.metadata)
        claims = Claims(
            api_key=self._config.api_key,
            identity=guest.identity,
            name=guest.name,
            metadata=guest.metadata,
            attributes=dict(guest.attributes),
            video=VideoGrants(room_join=True, room=place.room, can_update_own_metadata=True),
            room_config=config,
        )
        return mint(claims, secret=self._config.api_secret, now=time.time(), ttl=self._config.token_ttl)

    def answer(self, place: Place, guest: Guest, config: RoomConfiguration | None = None) -> dict[str, str]:
        """Make what LiveKit's clients take for the answer of a token source, in both spellings."""
        said = {
            "server_url": self._config.browser_url,
            "participant_token": self.token(place, guest, config),
            "room_name": place.room,
            "participant_name": guest.name,
            "participant_identity": guest.identity,
        }
        return {"session": place.session, **said, **{camel(name): value for name, value in said.items()}}


def place_of(session: Session) -> Place:
    """Return the place in a session that has begun."""
    return Place(
        session=session.id,
        room=session.room,
        agent_name=session.agent_name,
        policy=session.policy,
        epoch=session.current,
        metadata=session.metadata or "",
        # Whoever comes while the goodbye plays brings nobody.
        dispatch=session.dispatcher is Dispatcher.ROOM and session.state is not State.ENDING,
        begun=True,
    )


def camel(name: str) -> str:
    """Spell a name as JavaScript does."""
    head, *rest = name.split("_")
    return head + "".join(map(str.capitalize, rest))
