"""What can go wrong between two steps, by a seed: a process dies, a process is stopped, an answer is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random


class Crash(BaseException):
    """The process is killed here. No `except Exception` of the code under test may catch it."""


class Faults:
    """Decides at every point that the code under test passes.

    Attributes:
        points: Where something may go wrong, in the order passed; for the message of a failure.

    Args:
        chance: Seeded.
        crash: Probability of dying at a point.
        pause: Probability of being stopped at a point.
    """

    def __init__(self, chance: random.Random, *, crash: float, pause: float) -> None:
        self._chance = chance
        self.crash, self.pause = crash, pause
        self.points: list[str] = []
        self.paused: asyncio.Future[None] | None = None
        self.stopped = asyncio.Event()

    async def point(self, where: str) -> None:
        """Pass a point, or not.

        Raises:
            Crash: The process dies.
        """
        draw = self._chance.random()
        if draw < self.crash:
            self.points.append(f"killed at {where}")
            raise Crash(where)
        if draw < self.crash + self.pause and self.paused is None:
            self.points.append(f"stopped at {where}")
            self.paused = asyncio.get_running_loop().create_future()
            self.stopped.set()
            await self.paused

    def resume(self) -> None:
        """Let what was stopped go on."""
        if self.paused is not None:
            self.paused.set_result(None)
            self.paused = None
            self.stopped.clear()

    def kill_stopped(self) -> None:
        """Forget what was stopped: it was killed."""
        self.paused = None
        self.stopped.clear()

    def calm(self) -> None:
        """Let nothing go wrong any more."""
        self.crash = self.pause = 0.0
