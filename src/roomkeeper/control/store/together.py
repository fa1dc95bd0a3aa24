"""Asking in common: whoever has a question while others are on their way shares the next round trip with all who have.

Who asks alone waits for nobody. Under load one round trip answers dozens: a busy replica pays less for each thing it
does than an idle one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

Q = TypeVar("Q")
A = TypeVar("A")
T = TypeVar("T")


class Together(Generic[Q, A]):
    """Questions that are answered in common, one round trip after the other.

    Args:
        answer: Answers some questions, in their order. What it raises is raised for each of them.
        most: Questions in one round trip.
    """

    def __init__(self, answer: Callable[[Sequence[Q]], Awaitable[Sequence[A]]], most: int = 100) -> None:
        self._answer = answer
        self._most = most
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._round_trips: asyncio.Task[None] | None = None
        self._over: asyncio.Future[None] | None = None

    async def ask(self, question: Q) -> A:
        """Ask a question; who is cancelled before it is sent does not ask it, and later waits until it was answered."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._round_trips is None or self._round_trips.done():
            self._round_trips = asyncio.create_task(self._ask_all())
        try:
            return await answer
        except asyncio.CancelledError:
            if self._over is not None:
                await asyncio.wait({self._over})
            raise

    async def _ask_all(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            asked = [each for each in asked if not each[1].done()]
            if asked:
                await self._ask(asked)

    async def _ask(self, asked: list[tuple[Q, asyncio.Future[A]]]) -> None:
        over = self._over = asyncio.get_running_loop().create_future()
        try:
            answers = await self._answer([question for question, _ in asked])
        except asyncio.CancelledError:  # the loop is closed
            for _, waits in asked + self._waiting:
                waits.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it is raised for each who asked
            for _, waits in asked:
                if not waits.done():
                    waits.set_exception(error)
        else:
            for (_, waits), answer in zip(asked, answers, strict=True):
                if not waits.done():
                    waits.set_result(answer)
        finally:
            over.set_result(None)
            self._over = None


async def to_its_end(work: asyncio.Future[T]) -> T:
    """Wait for what goes to the database, also when cancelled; then raise that.

    Breaking off a query means asking the server to, and that may hit whatever the connection does next.
    """
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait({work})
        if not work.cancelled():
            work.exception()  # it is nobody's any more
        raise
