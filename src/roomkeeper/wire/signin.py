"""Tokens of Roomkeeper's own, in the form of LiveKit's: invites for users, sign-ins for operators.

An invite grants nothing in LiveKit: it is exchanged for a participant's token at `POST /api/token`. A sign-in is an
administrator's token that lives for minutes and may be exchanged for one that lives for hours. What it is exchanged for
may not be exchanged again: whoever finds one cannot stay for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from roomkeeper.wire.tokens import Claims, VideoGrants, mint

if TYPE_CHECKING:
    from collections.abc import Mapping

INVITE: Final = "roomkeeper.invite"
"""Attribute of an invite: the name of the agent."""
ROOM: Final = "roomkeeper.room"
"""Attribute of an invite: the name of the room; not there: a room of this invite's own."""
SIGN_IN: Final = "roomkeeper.login"
"""Attribute of a sign-in."""

INVITE_TTL: Final = 24 * 3600.0
SIGN_IN_TTL: Final = 600.0
CONSOLE_TTL: Final = 8 * 3600.0
"""Seconds that an invite, a sign-in, and the token it is exchanged for live."""


@dataclass(frozen=True, slots=True)
class Invite:
    """Who is invited, and where to.

    Attributes:
        identity: Of the participant.
        agent: Name of the agent; empty: the control plane's default.
        room: Name of the room; empty: one of this invite's own.
        name: Of the participant, for people.
    """

    identity: str
    agent: str = ""
    room: str = ""
    name: str = ""


def invite(to: Invite, *, api_key: str, secret: str, now: float, ttl: float = INVITE_TTL) -> str:
    """Sign an invite.

    Args:
        to: Who is invited.
        api_key: LiveKit's API key.
        secret: Its secret.
        now: Unix seconds.
        ttl: Seconds it lives; the talk may be longer.
    """
    attributes = {INVITE: to.agent} | ({ROOM: to.room} if to.room else {})
    claims = Claims(api_key=api_key, identity=to.identity, name=to.name, attributes=attributes)
    return mint(claims, secret=secret, now=now, ttl=ttl)


def invite_in(claims: Claims) -> Invite | None:
    """Read a verified token as an invite; None if it is none: whatever grants anything is not."""
    if INVITE not in claims.attributes or not claims.identity or claims.video != VideoGrants():
        return None
    attributes: Mapping[str, str] = claims.attributes
    return Invite(claims.identity, attributes[INVITE], attributes.get(ROOM, ""), claims.name)


def sign_in(*, api_key: str, secret: str, now: float, room: str = "", ttl: float = SIGN_IN_TTL) -> str:
    """Sign an operator's way into the console; with a room, to its sessions only."""
    claims = Claims(api_key=api_key, video=VideoGrants(room_admin=True, room=room), attributes={SIGN_IN: "console"})
    return mint(claims, secret=secret, now=now, ttl=ttl)


def admin_token(*, api_key: str, secret: str, now: float, room: str = "", ttl: float = CONSOLE_TTL) -> str:
    """Sign an administrator's token; with a room, for its sessions only."""
    claims = Claims(api_key=api_key, video=VideoGrants(room_admin=True, room=room))
    return mint(claims, secret=secret, now=now, ttl=ttl)
