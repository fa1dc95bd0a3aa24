"""`POST /api/token`: LiveKit's standard token-source request and answer.

Stores nothing and starts nothing, so that asking twice is harmless; clients do (at mount and after each disconnect).
The id of a session that has not begun follows from room, generation and agent.

Source: livekit-client `src/room/token-source`; contract section 5.
"""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import json_format
from livekit.protocol.room import RoomConfiguration
from starlette.routing import Route

from roomkeeper.control.admin import admin_in, bearer_claims
from roomkeeper.control.allowance import Allowance
from roomkeeper.control.bodies import answer, bad, parse_object, read_body
from roomkeeper.control.issuing import Guest, camel
from roomkeeper.control.problems import Problem
from roomkeeper.lifecycle.events import TokenAsked
from roomkeeper.lifecycle.state import State
from roomkeeper.wire.signin import invite_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import JSONResponse

    from roomkeeper.control.admin import Admin
    from roomkeeper.control.config import ControlConfig
    from roomkeeper.control.issuing import Issuer
    from roomkeeper.control.store.store import Store

MAX_NAME: Final = 256
"""Characters of a room name, an identity or a display name."""
ASKED_A_MINUTE: Final = 60
"""Tokens for one identity in one room; clients ask at mount and after each disconnect."""

OURS = ("roomkeeper.",)
LIVEKITS = ("lk.", "sip.")
"""Beginnings of attributes that are not the caller's to choose: nobody's, and no user's."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a client asks for; every part may be left out."""

    room_name: str = ""
    participant_identity: str = ""
    participant_name: str = ""
    participant_metadata: str = ""
    participant_attributes: Mapping[str, str] = field(default_factory=dict)
    room_config: RoomConfiguration = field(default_factory=RoomConfiguration)

    @classmethod
    def parse(cls, body: bytes) -> TokenRequest:
        """Read a request body; snake case and camel case are both understood, unknown keys ignored.

        Raises:
            Problem: 400, it is not such a request.
        """
        given = parse_object(body)
        return cls(
            room_name=_name(given, "room_name"),
            participant_identity=_name(given, "participant_identity"),
            participant_name=_name(given, "participant_name"),
            participant_metadata=_text(given, "participant_metadata"),
            participant_attributes=_attributes(given),
            room_config=_room_config(given),
        )


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a caller may have of what it asked for."""

    room: str
    agent_name: str
    guest: Guest
    config: RoomConfiguration


class Tokens:
    """The endpoint.

    Args:
        config: Who may ask, and for which agent.
        store: The sessions.
        issuer: Makes the tokens.
    """

    def __init__(self, config: ControlConfig, store: Store, issuer: Issuer) -> None:
        self._config = config
        self._store = store
        self._issuer = issuer
        self._allowance = Allowance(ASKED_A_MINUTE, 60)

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route("/token", self.endpoint, methods=["POST"])]

    async def endpoint(self, request: Request) -> JSONResponse:
        """Answer a token request.

        Raises:
            Problem: 400 malformed, 401 and 403 not for this caller, 410 the session has ended, 413 too large, 429 too
                often, 503 not yet.
        """
        claims = bearer_claims(request, {self._config.api_key: self._config.api_secret})
        wanted = TokenRequest.parse(await read_body(request))
        if claims is None:
            if not self._config.dev or not _is_loopback(request):
                detail = "Send an administrator's token or an invite; see `roomkeeper login --help`."
                raise Problem(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})
            wish = self._anybodys(wanted, wanted.room_name)
        elif (invite := invite_in(claims)) is not None:
            agent_name = invite.agent or self._config.agent
            guest = Guest(
                identity=invite.identity,
                name=invite.name or wanted.participant_name,
                metadata=wanted.participant_metadata,
                attributes=_own(wanted.participant_attributes, OURS + LIVEKITS),
            )
            room = invite.room or f"{agent_name or 'room'}-{claims.digest[:16]}"
            wish = _Wish(room, agent_name, guest, RoomConfiguration())
        else:
            wish = self._anybodys(wanted, _room_for(admin_in(claims), wanted))
        return await self._issue(wish)

    def _anybodys(self, wanted: TokenRequest, room: str) -> _Wish:
        """Give whatever was asked for: to an administrator, or to anybody on this machine."""
        named = next((each.agent_name for each in wanted.room_config.agents if each.agent_name), "")
        agent_name = named or self._config.agent
        guest = Guest(
            identity=wanted.participant_identity or f"user-{secrets.token_hex(4)}",
            name=wanted.participant_name,
            metadata=wanted.participant_metadata,
            attributes=_own(wanted.participant_attributes, OURS),
        )
        return _Wish(room or f"{agent_name or 'room'}-{secrets.token_hex(4)}", agent_name, guest, wanted.room_config)

    async def _issue(self, wish: _Wish) -> JSONResponse:
        self._allowance.require((wish.room, wish.guest.identity))
        place = await self._issuer.place(wish.room, wish.agent_name)
        if place.begun:
            told = await self._store.tell(place.session, TokenAsked(at=0, identity=wish.guest.identity))
            if told.session.state is State.ENDED:  # meanwhile
                raise await self._issuer.gone(told.session)
        return answer(self._issuer.answer(place, wish.guest, wish.config), HTTPStatus.CREATED)


def _room_for(caller: Admin | None, wanted: TokenRequest) -> str:
    if caller is None:
        raise Problem(
            HTTPStatus.FORBIDDEN, "This needs a token with `roomAdmin`, and without `roomJoin`, or an invite."
        )
    if caller.room and wanted.room_name not in {"", caller.room}:
        raise Problem(HTTPStatus.FORBIDDEN, f"This token gives out tokens of room {caller.room} only.")
    return caller.room or wanted.room_name


def _own(attributes: Mapping[str, str], others: tuple[str, ...]) -> Mapping[str, str]:
    for name in attributes:
        if name.startswith(others):
            raise bad(f"`{name}` is not an attribute that can be asked for.")
    return attributes


def _is_loopback(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:  # a name, or nothing: some proxies say so
        return False


def _value(given: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - JSON
    value = given.get(name)
    return given.get(camel(name)) if value is None else value


def _text(given: Mapping[str, Any], name: str) -> str:
    value = _value(given, name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise bad(f"`{name}` must be a string.")
    return value


def _name(given: Mapping[str, Any], name: str) -> str:
    value = _text(given, name)
    if len(value) > MAX_NAME or "\x00" in value:
        raise bad(f"`{name}` may have {MAX_NAME} characters, and no NUL.")
    return value


def _attributes(given: Mapping[str, Any]) -> Mapping[str, str]:
    name = "participant_attributes"
    value = _value(given, name) or {}
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise bad(f"`{name}` must be an object of strings.")
    return value


def _room_config(given: Mapping[str, Any]) -> RoomConfiguration:
    value = _value(given, "room_config") or {}
    if not isinstance(value, dict):
        raise bad("`room_config` must be an object.")
    try:
        return json_format.ParseDict(value, RoomConfiguration(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError):
        raise bad("`room_config` is no room configuration.") from None
