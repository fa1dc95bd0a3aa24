"""Ways to see that a process serves."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from roomkeeper.errors import RoomkeeperError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from roomkeeper.cli.dev.child import Child

INTERVAL = 0.1
"""Seconds between two tries."""

TRY = 2.0
"""Seconds for one try."""

MAX_TEXT = 500
"""Bytes of an answer that are worth printing."""


class NotReady(RoomkeeperError):
    """Everything is stopped, since a part did not get ready."""


def answers(url: str) -> Callable[[Child], Awaitable[None]]:
    """Wait until a GET of the URL is answered with 200.

    The probe raises:
        NotReady: The answer was 503, so waiting will not help; its text says why.
    """

    async def probe(child: Child) -> None:
        while True:
            status, text = await asyncio.to_thread(_get, url)
            if status == HTTPStatus.OK:
                return
            if status == HTTPStatus.SERVICE_UNAVAILABLE:
                raise NotReady(text.strip())
            await asyncio.sleep(INTERVAL)

    return probe


def says(message: str) -> Callable[[Child], Awaitable[None]]:
    """Wait until the process logs this message."""

    async def probe(child: Child) -> None:
        await child.said(message)

    return probe


def _get(url: str) -> tuple[int, str]:
    """Ask without the proxies of the environment: the address is on this machine. Status 0: nobody answers yet."""
    target = urlsplit(url)
    connection = HTTPConnection(target.hostname or "", target.port, timeout=TRY)
    try:
        connection.request("GET", target.path or "/")
        response = connection.getresponse()
        return response.status, response.read(MAX_TEXT).decode(errors="replace")
    except (OSError, HTTPException):
        return 0, ""
    finally:
        connection.close()
