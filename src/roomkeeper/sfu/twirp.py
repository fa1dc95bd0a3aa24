"""Twirp: LiveKit's server API as `POST /twirp/livekit.<Service>/<Method>`, in JSON or protobuf.

Protobuf's service descriptors say which methods there are and of what types. JSON goes out with the proto's own names,
defaults shown and 64-bit numbers as strings; both spellings come in. A bad token is answered in plain text before any
routing; it is never echoed.

Sources: the Twirp specification v7 (twitchtv.github.io/twirp/docs/spec_v7.html); livekit-server `pkg/service/auth.go`,
`pkg/service/server.go`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from google.protobuf import json_format, message_factory
from google.protobuf.message import DecodeError, Message
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from roomkeeper.errors import InvalidToken, RoomkeeperError
from roomkeeper.sfu.access import presented_token
from roomkeeper.sfu.limits import Limits, TokenBucket
from roomkeeper.wire import tokens

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
    from starlette.types import Receive, Scope, Send

    from roomkeeper.wire.claims import Claims

logger = logging.getLogger(__name__)

STATUS: Final[Mapping[str, int]] = {
    "canceled": 408,
    "unknown": 500,
    "invalid_argument": 400,
    "malformed": 400,
    "deadline_exceeded": 408,
    "not_found": 404,
    "bad_route": 404,
    "already_exists": 409,
    "permission_denied": 403,
    "unauthenticated": 401,
    "resource_exhausted": 429,
    "failed_precondition": 412,
    "aborted": 409,
    "out_of_range": 400,
    "unimplemented": 501,
    "internal": 500,
    "unavailable": 503,
    "dataloss": 500,
}
"""HTTP status by Twirp's error code."""

PREFIX: Final = "/twirp/"
_JSON: Final = "application/json"
_PROTOBUF: Final = "application/protobuf"
_LONGEST_TIMEOUT: Final = 3600.0


class TwirpError(RoomkeeperError):
    """The call was refused or has failed."""

    def __init__(self, code: str, message: str, *, meta: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.meta = dict(meta or {})


def deny() -> NoReturn:
    """Refuse a call for want of a grant.

    Raises:
        TwirpError: always.
    """
    raise TwirpError("unauthenticated", "permissions denied")


@dataclass(frozen=True, slots=True)
class Service:
    """A service: its descriptor, and who answers each method."""

    descriptor: ServiceDescriptor
    handlers: Mapping[str, Callable[[Claims | None, Any], Awaitable[Message]]]


class Twirp:
    """The ASGI application that serves the services; mount it at `/twirp`."""

    def __init__(
        self,
        services: Sequence[Service],
        *,
        keys: Mapping[str, str],
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Serve these services.

        Args:
            services: each with a handler for every method of its descriptor.
            keys: secret by API key.
            limits: the size of a body, the rate of each API key.
            clock: unix seconds.
        """
        self._prefixes = tuple(f"{PREFIX}{service.descriptor.full_name}/" for service in services)
        self._methods = {
            f"{PREFIX}{service.descriptor.full_name}/{method.name}": (method, service.handlers[method.name])
            for service in services
            for method in service.descriptor.methods
        }
        self._keys = keys
        self._limits = limits or Limits()
        self._clock = clock
        self._rates = {key: TokenBucket(self._limits.twirp_requests) for key in ("", *keys)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            claims = self._authenticate(request)
        except InvalidToken as refused:
            response: Response = PlainTextResponse(f"invalid token: {refused.detail}", 401)
        else:
            try:
                response = await self._answer(request, claims)
            except TwirpError as error:
                response = _error_response(error)
            except ClientDisconnect:
                return
            except Exception:
                # One failed call is one 500; its words stay in the log.
                logger.exception("API call failed", extra={"path": request.url.path})
                response = _error_response(TwirpError("internal", "the call failed, see the log of the server"))
        await response(scope, receive, send)

    def _authenticate(self, request: Request) -> Claims | None:
        token = presented_token(request)
        return tokens.verify(token, self._keys, now=self._clock()) if token else None

    async def _answer(self, request: Request, claims: Claims | None) -> Response:
        if not self._rates[claims.api_key if claims else ""].take(now=self._clock()):
            raise TwirpError("resource_exhausted", "too many requests with this API key")
        path = request.url.path
        if not path.startswith(self._prefixes):
            return PlainTextResponse("404 page not found", 404)
        if request.method != "POST":
            raise _bad_route(request, f"unsupported method {request.method!r} (only POST is allowed)")
        if path not in self._methods:
            raise _bad_route(request, f"no handler for path {path!r}")
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in (_JSON, _PROTOBUF):
            raise _bad_route(request, f"unexpected Content-Type: {content_type!r}")
        method, handler = self._methods[path]
        call = _decode(await self._body(request), method, content_type)
        try:
            async with asyncio.timeout(_timeout(request)):
                answer = await handler(claims, call)
        except TimeoutError:
            raise TwirpError("deadline_exceeded", "the call took longer than X-Twirp-Timeout-Ms") from None
        return _encode(answer, content_type)

    async def _body(self, request: Request) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self._limits.body_bytes:
                        raise TwirpError("invalid_argument", f"the body exceeds {self._limits.body_bytes} bytes")
        except TimeoutError:
            raise TwirpError("deadline_exceeded", f"no body within {self._limits.body_seconds:g} s") from None
        return bytes(body)


def _timeout(request: Request) -> float | None:
    """Return the seconds that the client gives the call, or None."""
    try:
        seconds = int(request.headers.get("x-twirp-timeout-ms", "0")) / 1000
    except ValueError:
        return None
    return min(seconds, _LONGEST_TIMEOUT) if seconds > 0 else None


def _decode(body: bytes, method: MethodDescriptor, content_type: str) -> Message:
    call = message_factory.GetMessageClass(method.input_type)()
    # The libraries' words quote what was sent, hence `from None`.
    if content_type == _PROTOBUF:
        try:
            call.ParseFromString(body)
        except DecodeError:
            raise TwirpError("malformed", "the protobuf request could not be decoded") from None
        return call
    try:
        fields = json.loads(body)
        if not isinstance(fields, dict):
            raise TwirpError("malformed", "the json request could not be decoded")
        return json_format.ParseDict(fields, call, ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, RecursionError):
        raise TwirpError("malformed", "the json request could not be decoded") from None


def _encode(answer: Message, content_type: str) -> Response:
    if content_type == _PROTOBUF:
        return Response(answer.SerializeToString(), media_type=_PROTOBUF)
    text = json_format.MessageToJson(
        answer, indent=None, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return Response(text, media_type=_JSON)


def _bad_route(request: Request, words: str) -> TwirpError:
    return TwirpError("bad_route", words, meta={"twirp_invalid_route": f"{request.method} {request.url.path}"})


def _error_response(error: TwirpError) -> Response:
    body = json.dumps({"code": error.code, "msg": error.message} | ({"meta": error.meta} if error.meta else {}))
    return Response(body, STATUS[error.code], media_type=_JSON)
