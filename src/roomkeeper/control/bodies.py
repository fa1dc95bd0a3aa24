"""Bodies of requests, bounded and checked, and answers."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse

from roomkeeper.control.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

MAX_BODY: Final = 64 * 1024
"""Bytes of a request, metadata, attributes and `data` included."""

PATIENCE = 15.0
"""Seconds for a body to come in."""


async def read_body(request: Request, most: int = MAX_BODY) -> bytes:
    """Read a body.

    Raises:
        Problem: 413 it is longer than `most` bytes, 408 it does not come.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body may have {most} bytes.")
    except TimeoutError:
        detail = f"The body has not come within {PATIENCE:g} s."
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, detail, {"Connection": "close"}) from None
    return bytes(body)


async def read_object(request: Request) -> dict[str, Any]:
    """Read a JSON object; no body is an empty one.

    Raises:
        Problem: 400 it is none, 413 too large.
    """
    return parse_object(await read_body(request))


def parse_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object; no body is an empty one.

    Raises:
        Problem: 400 it is none.
    """
    try:
        given = json.loads(body or b"{}", parse_constant=_no_constant)
        json.dumps(given, ensure_ascii=False).encode()  # what could not be answered with is not let in
    except (ValueError, RecursionError):
        raise bad("The body is not JSON.") from None
    if not isinstance(given, dict):
        raise bad("The body must be a JSON object; `{}` will do.")
    return given


def text(given: Mapping[str, Any], name: str, longest: int) -> str | None:
    """Read a string of an object; None if it is not there.

    Raises:
        Problem: 400 it is none, too long, or has a character that databases do not take.
    """
    value = given.get(name)
    if value is not None and not (isinstance(value, str) and len(value) <= longest and "\x00" not in value):
        raise bad(f"`{name}` must be a string of at most {longest} characters.")
    return value


def table(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Read an object of an object; empty if it is not there.

    Raises:
        Problem: 400 it is none.
    """
    value = given.get(name)
    if value is not None and not isinstance(value, dict):
        raise bad(f"`{name}` must be an object.")
    return value or {}


def answer(content: Mapping[str, object], status: HTTPStatus = HTTPStatus.OK) -> JSONResponse:
    """Answer with JSON that nobody keeps."""
    return JSONResponse(content, status, {"Cache-Control": "no-store"})


def bad(detail: str) -> Problem:
    """Refuse a request that is malformed."""
    return Problem(HTTPStatus.BAD_REQUEST, detail)


def _no_constant(name: str) -> None:
    raise ValueError(name)
