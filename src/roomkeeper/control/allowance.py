"""How often somebody may do something."""

from __future__ import annotations

import math
import time
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING

from roomkeeper.control.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable


class Allowance:
    """How often something may be done, by whom.

    Args:
        most: Times …
        within: … in this many seconds.
        clock: Seconds, of a clock that only grows.
    """

    def __init__(self, most: int, within: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._within = within
        self._clock = clock
        self._taken: dict[object, deque[float]] = {}
        self._swept = 0.0

    def take(self, who: object) -> bool:
        """Do it once more, if that is not too often; each `who` has an allowance of their own."""
        now = self._clock()
        self._forget(now)
        mine = self._taken.setdefault(who, deque())
        while mine and mine[0] <= now - self._within:
            mine.popleft()
        if len(mine) >= self._most:
            return False
        mine.append(now)
        return True

    def spent(self, who: object) -> bool:
        """Say whether it was done too often already, without doing it."""
        now = self._clock()
        return sum(at > now - self._within for at in self._taken.get(who, ())) >= self._most

    def require(self, who: object) -> None:
        """Do it once more.

        Raises:
            Problem: 429 too often.
        """
        if not self.take(who):
            raise self.refusal()

    def refusal(self) -> Problem:
        """Say that it was too often, and when to come back."""
        seconds = math.ceil(self._within)
        detail = f"That was too often: {self._most} times within {seconds} s are allowed."
        return Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, {"Retry-After": str(seconds)})

    def _forget(self, now: float) -> None:
        """Forget whoever did nothing for long; not at every call, there may be many of them."""
        if now - self._swept < self._within:
            return
        self._swept = now
        for who, taken in list(self._taken.items()):
            if not taken or taken[-1] <= now - self._within:
                del self._taken[who]
