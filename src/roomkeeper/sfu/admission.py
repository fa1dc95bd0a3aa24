"""Who may join: tokens, join requests, and the rooms that may be made for them.

Whatever is wrong is told in the words of the original, because clients read them (facts, livekit-server B and D).
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from google.protobuf.message import DecodeError
from livekit.protocol import models, rtc
from livekit.protocol.room import CreateRoomRequest, RoomConfiguration

from roomkeeper.errors import InvalidToken
from roomkeeper.sfu.access import presented_token
from roomkeeper.sfu.limits import LimitExceeded, Limits
from roomkeeper.sfu.rooms import Rooms, TooManyRooms
from roomkeeper.wire.tokens import verify

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.requests import HTTPConnection

    from roomkeeper.sfu.live import LiveRoom
    from roomkeeper.wire.claims import Claims

NO_SUCH_ROOM = "requested room does not exist"
"""Clients compare this text exactly (facts, web client D)."""
SDKS = cast("dict[str, models.ClientInfo.SDK]", dict(models.ClientInfo.SDK.items()))
MAX_DIGITS = 9
TRUE = frozenset({"1", "true", "TRUE", "True", "t"})


@dataclass(frozen=True, slots=True)
class Refused(Exception):
    """A connection that gets an HTTP answer instead of a WebSocket."""

    status: int
    words: str


@dataclass(frozen=True, slots=True)
class Admission:
    """A verified wish to join."""

    claims: Claims
    request: rtc.JoinRequest
    single: bool


class Door:
    """Lets in whom a token lets in."""

    def __init__(self, rooms: Rooms, keys: Mapping[str, str], limits: Limits) -> None:
        self._rooms = rooms
        self._keys = keys
        self._limits = limits

    def admit(self, connection: HTTPConnection, *, single: bool) -> Admission:
        """Reads who wants to join.

        Args:
            connection: Its token and query.
            single: Whether it came to `/rtc/v1`.

        Raises:
            Refused: They may not, or not like this.
        """
        query = connection.query_params
        try:
            token = presented_token(connection)
            if not token:
                raise Refused(401, "no access token; send Authorization: Bearer or access_token")
            claims = verify(token, self._keys, now=self._rooms.stack.wall())
        except InvalidToken as error:
            raise Refused(401, f"invalid token: {error.detail}") from None
        if not claims.video.room_join:
            raise Refused(401, "no permissions to access the room")
        if not claims.identity:
            raise Refused(400, "identity cannot be empty")
        if not claims.video.room:
            raise Refused(400, "no room name")
        with limited():
            self._limits.check_name(claims.video.room, what="room name")
            self._limits.check_name(claims.identity, what="identity")
            self._limits.check_name(claims.name)
        wrapped = query.get("join_request", "")
        if wrapped:
            request = self._unwrap(wrapped)
        elif single:
            raise Refused(400, "join_request is required on /rtc/v1")
        else:
            request = _request_of(query)
        if (request.metadata or request.participant_attributes) and not claims.video.can_update_own_metadata:
            # Others trust what the token's issuer said of a participant (livekit-server `pkg/service/utils.go`).
            raise Refused(401, "no permissions to access the room")
        return Admission(claims, request, single=single or bool(wrapped))

    def _unwrap(self, text: str) -> rtc.JoinRequest:
        limit = self._limits.join_request_bytes
        try:
            wrapped = rtc.WrappedJoinRequest.FromString(_decoded(text))
            raw = wrapped.join_request
            if wrapped.compression == rtc.WrappedJoinRequest.GZIP:
                unpacker = zlib.decompressobj(wbits=31)
                raw = unpacker.decompress(raw, limit + 1)
            if len(raw) > limit:
                raise Refused(400, f"join_request is longer than {limit} bytes")
            return rtc.JoinRequest.FromString(raw)
        except (binascii.Error, ValueError, DecodeError, zlib.error):
            raise Refused(400, "join_request is malformed") from None

    def check_room(self, claims: Claims) -> None:
        """Refuses to make a room that must not be made: creation is off, or the name is buried for this token.

        Raises:
            Refused: So it is.
        """
        name = claims.video.room
        if self._rooms.find(name) is not None:
            return
        if not self._rooms.config.auto_create and not claims.video.room_create:
            raise Refused(404, NO_SUCH_ROOM)
        strict = self._rooms.config.strict
        if not strict and self._rooms.tombstones.refuses(name, claims.issued_at, claims.digest):
            raise Refused(404, NO_SUCH_ROOM)

    def room_for(self, claims: Claims) -> LiveRoom:
        """Returns the live room of a token, made as it says if there is none.

        Raises:
            Refused: There is none, and it must not be made.
        """
        self.check_room(claims)
        config = claims.room_config or RoomConfiguration()
        request = CreateRoomRequest(
            name=claims.video.room,
            empty_timeout=config.empty_timeout,
            departure_timeout=config.departure_timeout,
            max_participants=config.max_participants,
            metadata=config.metadata,
            agents=config.agents,
        )
        try:
            with limited():
                return self._rooms.open(request)
        except TooManyRooms as error:
            raise Refused(503, str(error)) from None


@contextmanager
def limited() -> Iterator[None]:
    """Refuses what exceeds a limit."""
    try:
        yield
    except LimitExceeded as error:
        raise Refused(400, error.detail) from None


def _request_of(query: Mapping[str, str]) -> rtc.JoinRequest:
    """Reads the query parameters of v0 into the join request that v1 sends."""
    attributes: dict[str, str] = {}
    if query.get("attributes"):
        try:
            decoded = json.loads(_decoded(query["attributes"]))
            attributes = {str(key): str(value) for key, value in decoded.items()}
        except (binascii.Error, ValueError, AttributeError, RecursionError):
            raise Refused(400, "attributes are malformed") from None
    info = models.ClientInfo(
        sdk=SDKS.get(query.get("sdk", "").upper(), models.ClientInfo.UNKNOWN),
        version=query.get("version", ""),
        protocol=_number(query.get("protocol", "")),
        os=query.get("os", ""),
        os_version=query.get("os_version", ""),
        device_model=query.get("device_model", ""),
        browser=query.get("browser", ""),
        browser_version=query.get("browser_version", ""),
        network=query.get("network", ""),
        client_protocol=_number(query.get("client_protocol", "")),
    )
    return rtc.JoinRequest(
        client_info=info,
        connection_settings=rtc.ConnectionSettings(
            auto_subscribe=query.get("auto_subscribe", "1") in TRUE,
            adaptive_stream=query.get("adaptive_stream", "") in TRUE,
        ),
        participant_attributes=attributes,
        reconnect=query.get("reconnect", "") in TRUE,
        participant_sid=query.get("sid", ""),
    )


def _decoded(text: str) -> bytes:
    """Decodes base64url, padded or not; foreign characters are an error, not skipped."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else 0
