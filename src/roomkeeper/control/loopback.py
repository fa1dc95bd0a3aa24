"""Serving this machine only, as `roomkeeper dev` does: it gives to whoever asks."""

from __future__ import annotations

import ipaddress
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from roomkeeper.control.problems import problem_response

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK_ORIGINS: Final = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, 9.2.1)."""


class LoopbackOnly:
    """Serve this machine only: `dev` gives to whoever asks.

    Refused are requests whose `Host` is not this machine's (a name that was rebound to 127.0.0.1 by its DNS), and
    changes that a page of somewhere else asks a browser for: it could not read the answer, but need not.

    Args:
        app: The application.
        origins: Where pages come from that may call, besides this machine.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str] = ()) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 421 (RFC 9110, 15.5.20) or 403."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            hosts, origin = headers.getlist("host"), headers.get("origin")
            if len(hosts) != 1 or not is_loopback_host(hosts[0]):
                detail = "Open the address that `roomkeeper dev` printed: this server answers for this machine only."
                await problem_response(HTTPStatus.MISDIRECTED_REQUEST, detail)(scope, receive, send)
                return
            if origin is not None and scope["method"] not in SAFE and not self._may_call(origin):
                detail = f"Pages of {origin} may not change anything here."
                await problem_response(HTTPStatus.FORBIDDEN, detail)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _may_call(self, origin: str) -> bool:
        return origin in self._origins or re.fullmatch(LOOPBACK_ORIGINS, origin) is not None


def is_loopback_host(authority: str) -> bool:
    """Tell whether `host` or `host:port` names this machine."""
    try:
        host = urlsplit(f"//{authority}").hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
