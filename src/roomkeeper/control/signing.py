"""`POST /api/login` and `POST /api/invites`: tokens for the console, and for users to come."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.routing import Route

from roomkeeper.control.admin import admin_of, bearer_claims
from roomkeeper.control.bodies import answer, bad, read_object, text
from roomkeeper.control.problems import Problem
from roomkeeper.lifecycle.state import stamp
from roomkeeper.wire.signin import CONSOLE_TTL, INVITE_TTL, SIGN_IN, Invite, admin_token, invite

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import JSONResponse

    from roomkeeper.control.config import ControlConfig

MAX_NAME: Final = 256
LONGEST_INVITE: Final = 90 * 24 * 3600
"""Seconds."""


class Signing:
    """The endpoints.

    Args:
        config: Key and secret.
    """

    def __init__(self, config: ControlConfig) -> None:
        self._config = config
        self._keys = {config.api_key: config.api_secret}

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/login", self.login, methods=["POST"]),
            Route("/invites", self.invite, methods=["POST"]),
        ]

    async def login(self, request: Request) -> JSONResponse:
        """Exchange a sign-in for a token of some hours.

        Raises:
            Problem: 401, 403 it is no sign-in.
        """
        admin = admin_of(request, self._keys)
        claims = bearer_claims(request, self._keys)
        if claims is None or SIGN_IN not in claims.attributes:
            raise Problem(
                HTTPStatus.FORBIDDEN, "Only the token of a link that `roomkeeper login` printed is exchanged."
            )
        now = time.time()
        token = admin_token(api_key=self._config.api_key, secret=self._config.api_secret, now=now, room=admin.room)
        expires_at = stamp(int((now + CONSOLE_TTL) * 1000))
        return answer({"token": token, "expires_at": expires_at, "room": admin.room or None})

    async def invite(self, request: Request) -> JSONResponse:
        """Make an invite for a user.

        Raises:
            Problem: 400 malformed, 401, 403.
        """
        admin = admin_of(request, self._keys)
        given = await read_object(request)
        identity = text(given, "identity", MAX_NAME)
        ttl = given.get("ttl", INVITE_TTL)
        if not identity:
            raise bad("`identity` must name the participant.")
        if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl <= LONGEST_INVITE:
            raise bad(f"`ttl` must be seconds, at most {LONGEST_INVITE}.")
        room = text(given, "room", MAX_NAME) or admin.room
        if admin.room and room != admin.room:
            raise Problem(HTTPStatus.FORBIDDEN, f"This token invites to room {admin.room} only.")
        to = Invite(identity, text(given, "agent", MAX_NAME) or "", room, text(given, "name", MAX_NAME) or "")
        now = time.time()
        signed = invite(to, api_key=self._config.api_key, secret=self._config.api_secret, now=now, ttl=ttl)
        return answer({"invite": signed, "expires_at": stamp(int((now + ttl) * 1000))}, HTTPStatus.CREATED)
