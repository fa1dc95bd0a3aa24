"""`POST /api/token`: LiveKit's standard token-source request and answer.

Stores nothing and starts nothing, so that asking twice is harmless; clients do (at mount and after each disconnect).

Source: livekit-client `src/room/token-source`; contract section 5.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from livekit.protocol.agent_dispatch import RoomAgentDispatch
from livekit.protocol.room import RoomConfiguration
from starlette.responses import JSONResponse

from roomkeeper.control.problems import Problem
from roomkeeper.wire.tokens import Claims, VideoGrants, mint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from roomkeeper.control.config import ControlConfig

MAX_BODY = 64 * 1024
"""Bytes; metadata and attributes included."""

MAX_NAME = 256
"""Characters of a room name, an identity or a display name."""


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
        try:
            given = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            raise _bad("The body is not JSON.") from None
        if not isinstance(given, dict):
            raise _bad("The body must be a JSON object; `{}` will do.")
        return cls(
            room_name=_name(given, "room_name"),
            participant_identity=_name(given, "participant_identity"),
            participant_name=_name(given, "participant_name"),
            participant_metadata=_text(given, "participant_metadata"),
            participant_attributes=_attributes(given),
            room_config=_room_config(given),
        )


async def issue_token(request: Request) -> JSONResponse:
    """Answer a token request.

    Raises:
        Problem: 400 malformed, 403 not for this caller, 413 too large.
    """
    config: ControlConfig = request.app.state.config
    if not config.dev or not _is_loopback(request):
        raise Problem(HTTPStatus.FORBIDDEN, "Tokens are given out in development only, to callers on the same machine.")
    wanted = TokenRequest.parse(await _body(request))
    room_name = wanted.room_name or f"{config.agent or 'room'}-{secrets.token_hex(4)}"
    identity = wanted.participant_identity or f"user-{secrets.token_hex(4)}"
    if config.agent and not wanted.room_config.agents:
        wanted.room_config.agents.append(RoomAgentDispatch(agent_name=config.agent))
    claims = Claims(
        api_key=config.api_key,
        identity=identity,
        name=wanted.participant_name,
        metadata=wanted.participant_metadata,
        attributes=wanted.participant_attributes,
        video=VideoGrants(room_join=True, room=room_name, can_update_own_metadata=True),
        room_config=wanted.room_config,
    )
    token = mint(claims, secret=config.api_secret, now=time.time(), ttl=config.token_ttl)
    answer = {
        "server_url": config.livekit_url,
        "participant_token": token,
        "room_name": room_name,
        "participant_name": wanted.participant_name,
        "participant_identity": identity,
    }
    both = answer | {_camel(name): value for name, value in answer.items()}
    return JSONResponse(both, HTTPStatus.CREATED, {"Cache-Control": "no-store"})


def _is_loopback(request: Request) -> bool:
    return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body may have {MAX_BODY} bytes.")
    return body


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(map(str.capitalize, rest))


def _value(given: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - JSON
    value = given.get(name)
    return given.get(_camel(name)) if value is None else value


def _text(given: Mapping[str, Any], name: str) -> str:
    value = _value(given, name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _bad(f"`{name}` must be a string.")
    return _unicode(name, value)


def _name(given: Mapping[str, Any], name: str) -> str:
    value = _text(given, name)
    if len(value) > MAX_NAME:
        raise _bad(f"`{name}` may have {MAX_NAME} characters.")
    return value


def _attributes(given: Mapping[str, Any]) -> Mapping[str, str]:
    name = "participant_attributes"
    value = _value(given, name) or {}
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise _bad(f"`{name}` must be an object of strings.")
    return {_unicode(name, key): _unicode(name, text) for key, text in value.items()}


def _room_config(given: Mapping[str, Any]) -> RoomConfiguration:
    value = _value(given, "room_config") or {}
    if not isinstance(value, dict):
        raise _bad("`room_config` must be an object.")
    try:
        return json_format.ParseDict(value, RoomConfiguration(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError):
        raise _bad("`room_config` is no room configuration.") from None


def _unicode(name: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can spell lone surrogates, a token cannot
        raise _bad(f"`{name}` holds text that is not Unicode.") from None
    return text


def _bad(detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, detail)
