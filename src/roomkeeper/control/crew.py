"""Doing what is claimed from a table, some of it at the same time.

1. One deed that is slow holds up no other: a new one begins when one is over, not when all are.
2. A claim is short, so that little waits when a replica dies, and renewed while its deed is under way.
3. A database that is away for a moment costs that moment, and a deed that fails in an unforeseen way costs that deed.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

logger = logging.getLogger(__name__)

LONGEST_NAP = 1.0
"""Seconds between two looks when nobody wakes the crew: another replica may have put something in."""
RENEW_EVERY = 1.0
"""Seconds; a third of a lease."""

T = TypeVar("T")


class Claimant(Protocol[T]):
    """Where deeds are claimed."""

    async def claim(self, most: int) -> Sequence[T]:
        """Claim what is due, at most so many."""

    async def renew(self, deeds: Collection[T]) -> None:
        """Hold on to what is under way."""

    async def due_in(self) -> float | None:
        """Return the seconds until something will be due; None if nothing waits."""


class Crew(Generic[T]):
    """Claims and does.

    Args:
        claimant: Where deeds are claimed.
        do: Does one and settles it; returns True if there is more of the same to be done at once.
        most: Deeds under way at the same time.
    """

    def __init__(self, claimant: Claimant[T], do: Callable[[T], Awaitable[bool]], most: int) -> None:
        self._claimant = claimant
        self._do = do
        self._most = most
        self._doing: dict[asyncio.Task[None], T] = {}
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look now: something has just become due."""
        self._wake.set()

    async def once(self) -> int:
        """Do what is due now, and wait for it; returns how many deeds that were."""
        deeds = await self._claimant.claim(self._most)
        await asyncio.gather(*map(self._do, deeds))
        return len(deeds)

    async def run(self) -> None:
        """Work until cancelled; what is under way then is left to whoever claims it next."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew())
            while True:
                try:
                    await self._round(group)
                except Exception:  # whatever it was, the next round may do better
                    logger.exception("claiming failed")
                    await asyncio.sleep(LONGEST_NAP)

    async def _round(self, group: asyncio.TaskGroup) -> None:
        self._wake.clear()
        free = self._most - len(self._doing)
        deeds = await self._claimant.claim(free) if free else ()
        for deed in deeds:
            task = group.create_task(self._one(deed))
            self._doing[task] = deed
        if not deeds:
            nap = LONGEST_NAP
            if free and (due_in := await self._claimant.due_in()) is not None:
                nap = min(LONGEST_NAP, max(0.0, due_in))
            with suppress(TimeoutError):
                # Not `wait_for`: before Python 3.12 it loses a cancellation that comes with the event.
                async with asyncio.timeout(nap):
                    await self._wake.wait()

    async def _one(self, deed: T) -> None:
        again = False
        try:
            again = await self._do(deed)
        except Exception:
            logger.exception("a deed failed")  # the claim runs out, and it is done again
        finally:
            full = len(self._doing) >= self._most
            self._doing.pop(cast("asyncio.Task[None]", asyncio.current_task()))
        if again or full:
            self._wake.set()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY)
            if self._doing:
                try:
                    await self._claimant.renew(list(self._doing.values()))
                except Exception:  # likewise
                    logger.exception("claims could not be renewed")
