"""Reading the journal of a session over HTTP, see `docs/agent-link.md`."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

log = logging.getLogger("roomkeeper.agent")

PAGE: Final = 1_000
"""Lines asked for at once; the most that the control plane gives."""
WITHIN: Final = 5.0
"""Seconds for all of it: a user waits."""
RETRY: Final = 0.2
"""Seconds before a page is asked for again."""


async def pages(url: str, token: str, session: str, after: int = 0) -> AsyncIterator[dict[str, Any]]:
    """Read a session's journal, page by page; ends early, and says so in the log, if that takes too long.

    Args:
        url: Base of the control plane's HTTP API.
        token: The worker's, with the `agent` grant.
        session: `S_…`.
        after: The last line that is known already.

    Yields:
        Pages as `docs/agent-link.md` has them.
    """
    address = f"{url.rstrip('/')}/api/sessions/{quote(session, safe='')}/journal"
    next_after: int | None = after
    deadline = asyncio.get_running_loop().time() + WITHIN
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http:
        while next_after is not None:
            try:
                async with asyncio.timeout_at(deadline):
                    page = await _page(http, address, next_after)
            except TimeoutError:
                log.error("the journal could not be read in time", extra={"after": next_after})  # noqa: TRY400 - it is all
                return
            yield page
            next_after = page["next"]


async def _page(http: aiohttp.ClientSession, address: str, after: int) -> dict[str, Any]:
    while True:
        try:
            async with http.get(address, params={"after": after, "limit": PAGE}) as answer:
                answer.raise_for_status()
                page: dict[str, Any] = await answer.json()
                return page
        except (aiohttp.ClientError, ValueError) as error:
            log.warning("the journal cannot be read, trying again", extra={"error": str(error)})
            await asyncio.sleep(RETRY)
