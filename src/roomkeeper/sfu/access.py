"""Where a request carries its access token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from roomkeeper.errors import InvalidToken

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

_SCHEME: Final = "bearer "


def presented_token(connection: HTTPConnection) -> str:
    """Return the token of a request: `Authorization: Bearer …`, else the query's `access_token`, else nothing.

    Source: livekit-server `pkg/service/auth.go`.

    Raises:
        InvalidToken: there is an `Authorization` header of another scheme.
    """
    header = connection.headers.get("authorization", "")
    if not header:
        return connection.query_params.get("access_token", "")
    if not header.lower().startswith(_SCHEME):
        raise InvalidToken("The authorization header must start with `Bearer `.")
    return header[len(_SCHEME) :].strip()
