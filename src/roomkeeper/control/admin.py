"""Who calls the API, and which sessions they reach.

An administrator is a LiveKit API token with `roomAdmin` and neither `room` nor `roomJoin`; with `room`, it reaches the
sessions of that room only. A participant is whoever holds a token that may join a room; it reaches its own session: the
one it carries, else the latest of its room. What is out of reach is answered like what does not exist.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias

from roomkeeper.control.adoption import SESSION
from roomkeeper.control.problems import Problem
from roomkeeper.errors import InvalidToken
from roomkeeper.wire.tokens import LEEWAY, verify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import HTTPConnection, Request

    from roomkeeper.lifecycle.state import Session
    from roomkeeper.wire.tokens import Claims

WEEK: Final = 7 * 24 * 3600.0
"""Seconds after its expiry for which a participant's token still reads the state: a page that wakes up learns why."""

_SCHEME: Final = "bearer "
_ASK: Final = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True, slots=True)
class Admin:
    """Somebody who runs the sessions.

    Attributes:
        room: The only room this one reaches; empty: all.
        expires_at: Unix seconds.
    """

    room: str = ""
    expires_at: float = field(default=math.inf, compare=False)

    def reaches(self, session: Session, latest: Session | None) -> bool:
        """Say whether a session is this caller's business."""
        return self.room in {"", session.room}


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who may join one room.

    Attributes:
        session: The id that the token carries; empty if the token was not made by Roomkeeper.
        expires_at: Unix seconds.
    """

    identity: str
    room: str
    session: str
    expires_at: float

    def reaches(self, session: Session, latest: Session | None) -> bool:
        """Say whether a session is this caller's own.

        Args:
            session: The one asked for.
            latest: The latest session of this caller's room.
        """
        if session.room != self.room:
            return False
        if self.session:
            return session.id == self.session
        # A session that began when the token was no longer good for joining is somebody else's.
        return latest is not None and session.id == latest.id and session.opened_at / 1000 <= self.expires_at + LEEWAY


Caller: TypeAlias = Admin | Member


def caller_of(request: Request, keys: Mapping[str, str], *, grace: float = 0.0) -> Caller:
    """Find out who calls.

    Args:
        request: With `Authorization: Bearer …`; tokens in addresses end in logs, and are not looked at.
        keys: Secret by API key.
        grace: Seconds for which an expired participant token is still good.

    Raises:
        Problem: 401 no token or none of ours, 403 a token for something else.
    """
    claims = needed_claims(request, keys, grace=grace)
    video = claims.video
    if video.room_join and video.room and claims.identity:
        return Member(claims.identity, video.room, claims.attributes.get(SESSION, ""), claims.expires_at)
    admin = admin_in(claims)
    if admin is not None:
        if admin.expires_at + LEEWAY <= time.time():  # no grace for administrators
            raise Problem(HTTPStatus.UNAUTHORIZED, "The token was refused. It has expired.", _ASK)
        return admin
    raise Problem(HTTPStatus.FORBIDDEN, "The token grants neither `roomAdmin` nor joining a room.")


def needed_claims(request: HTTPConnection, keys: Mapping[str, str], *, grace: float = 0.0) -> Claims:
    """Read the token that must come with a request.

    Raises:
        Problem: 401 none did, it is none of ours, or it is out of its time.
    """
    claims = bearer_claims(request, keys, grace=grace)
    if claims is None:
        raise Problem(HTTPStatus.UNAUTHORIZED, "Send a LiveKit token as `Authorization: Bearer …`.", _ASK)
    return claims


def bearer_claims(request: HTTPConnection, keys: Mapping[str, str], *, grace: float = 0.0) -> Claims | None:
    """Read the token that came with a request; None if none did.

    Raises:
        Problem: 401 it is none of ours, or out of its time.
    """
    header = request.headers.get("authorization", "")
    if not header.lower().startswith(_SCHEME):
        return None
    try:
        return _verified(header[len(_SCHEME) :].strip(), keys, time.time(), grace)
    except InvalidToken as error:
        raise Problem(HTTPStatus.UNAUTHORIZED, f"The token was refused. {error.detail}", _ASK) from None


def admin_in(claims: Claims) -> Admin | None:
    """Read a verified token as an administrator's; None if it is none."""
    video = claims.video
    return Admin(video.room, claims.expires_at) if video.room_admin and not video.room_join else None


def admin_of(request: Request, keys: Mapping[str, str]) -> Admin:
    """Find out which administrator calls.

    Raises:
        Problem: 401 and 403 as `caller_of`, 403 also for participants.
    """
    caller = caller_of(request, keys)
    if not isinstance(caller, Admin):
        raise Problem(HTTPStatus.FORBIDDEN, "This needs a token with `roomAdmin`, and without `roomJoin`.")
    return caller


def _verified(token: str, keys: Mapping[str, str], now: float, grace: float) -> Claims:
    try:
        return verify(token, keys, now=now)
    except InvalidToken:
        if not grace:
            raise
        claims = verify(token, keys, now=now, leeway=grace)
        if claims.expires_at > now:  # not expired, so not valid yet: no grace for that
            raise
        return claims
