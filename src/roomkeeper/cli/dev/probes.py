"""Ways to see that a process serves."""

from __future__ import annotations

import asyncio
import http.client
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from roomkeeper.cli.dev.child import Child

INTERVAL = 0.1
"""Seconds between two tries."""

TRY = 2.0
"""Seconds for one try."""


def answers(url: str) -> Callable[[Child], Awaitable[None]]:
    """Wait until a GET of the URL is answered with 200."""

    async def probe(child: Child) -> None:
        while await asyncio.to_thread(_status, url) != http.HTTPStatus.OK:  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(INTERVAL)

    return probe


def says(message: str) -> Callable[[Child], Awaitable[None]]:
    """Wait until the process logs this message."""

    async def probe(child: Child) -> None:
        await child.said(message)

    return probe


def _status(url: str) -> int | None:
    """Ask without the proxies of the environment: the address is on this machine."""
    target = urlsplit(url)
    connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=TRY)
    try:
        connection.request("GET", target.path or "/")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
