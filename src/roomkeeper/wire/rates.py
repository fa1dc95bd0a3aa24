"""How often somebody may do something. Pure: time is an argument."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many a second in the long run, and how many at once after a pause."""

    per_second: float
    burst: float


class TokenBucket:
    """A rate being watched: full at first, refilled by the passing of time."""

    __slots__ = ("_at", "_level", "_rate")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._level = rate.burst
        self._at: float | None = None

    def take(self, *, now: float, amount: float = 1.0) -> bool:
        """Take `amount` and return True, or leave the bucket as it is and return False.

        Args:
            now: seconds of any clock; one that goes backwards refills nothing.
            amount: how many (messages, bytes …).
        """
        if self._at is None:
            self._at = now
        elif now > self._at:
            self._level = min(self._rate.burst, self._level + (now - self._at) * self._rate.per_second)
            self._at = now
        if amount > self._level:
            return False
        self._level -= amount
        return True
