"""Errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import ExceptionHandler


class Problem(HTTPException):
    """A request that is answered with an error; the detail says what to do.

    Args:
        status: The HTTP status.
        detail: What is wrong and what would be right.
        headers: Further headers.
        more: Further members (RFC 9457, 3.2); they replace the standard ones of the same name.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(status, detail, headers)
        self.more = more or {}


def problem_response(
    status: int, detail: str, headers: Mapping[str, str] | None = None, more: Mapping[str, object] | None = None
) -> Response:
    """Build the answer.

    Args:
        status: The HTTP status; its phrase is the title (RFC 9457, 4.2.1, `about:blank`).
        detail: What is wrong with this request and what would be right.
        headers: Further headers, such as `Allow`.
        more: Further members.
    """
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    never_kept = {"Cache-Control": "no-store"}
    return JSONResponse(body | dict(more or {}), status, never_kept | dict(headers or {}), "application/problem+json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - the table below says so
    more = error.more if isinstance(error, Problem) else None
    return problem_response(error.status_code, error.detail, error.headers, more)


async def _failed(request: Request, error: Exception) -> Response:
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, "This is a bug in Roomkeeper; its log has the details.")


async def _unread(request: Request, error: Exception) -> Response:
    return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody is there to read it


EXCEPTION_HANDLERS: Mapping[type[Exception], ExceptionHandler] = {
    HTTPException: _refused,
    ClientDisconnect: _unread,
    Exception: _failed,
}
