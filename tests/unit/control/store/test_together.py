"""Questions that share round trips: each is answered by itself, whoever else asks, fails or is cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from roomkeeper.control.store.together import Together

if TYPE_CHECKING:
    from collections.abc import Sequence


class Trips:
    """A far place that doubles numbers, and answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.began = asyncio.Event()
        self.answered = asyncio.Event()

    async def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.asked.append(list(numbers))
        self.began.set()
        await self.answered.wait()
        if 13 in numbers:
            raise ValueError("13")
        return [2 * number for number in numbers]


async def test_who_asks_while_others_are_on_their_way_shares_the_next_trip() -> None:
    trips = Trips()
    together = Together(trips)
    first = asyncio.create_task(together.ask(1))
    await trips.began.wait()
    later = [asyncio.create_task(together.ask(number)) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    trips.answered.set()
    assert [await first, *[await each for each in later]] == [2, 4, 6, 8]
    assert trips.asked == [[1], [2, 3, 4]]


async def test_a_trip_that_fails_is_that_of_those_who_shared_it_and_of_nobody_else() -> None:
    trips = Trips()
    together = Together(trips)
    first = asyncio.create_task(together.ask(1))
    await trips.began.wait()
    later = [asyncio.create_task(together.ask(number)) for number in (13, 3)]
    await asyncio.sleep(0)
    trips.answered.set()
    assert await first == 2
    for each in later:
        with pytest.raises(ValueError, match="13"):
            await each
    assert await together.ask(5) == 10


async def test_who_is_cancelled_waits_for_the_trip_under_way_and_breaks_off_nothing() -> None:
    trips = Trips()
    together = Together(trips)
    one, two = [asyncio.create_task(together.ask(number)) for number in (1, 2)]
    await trips.began.wait()
    three = asyncio.create_task(together.ask(3))
    await asyncio.sleep(0)
    two.cancel()
    three.cancel()
    await asyncio.sleep(0)
    assert not two.done(), "its connection is still in use"
    trips.answered.set()
    results = await asyncio.gather(one, two, three, return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["int", "CancelledError", "CancelledError"]
    assert trips.asked == [[1, 2]], "what was cancelled before its trip is not asked"


async def test_when_the_loop_is_closed_nobody_waits_for_ever() -> None:
    trips = Trips()
    together = Together(trips)
    asked = [asyncio.create_task(together.ask(1))]
    await trips.began.wait()
    asked.append(asyncio.create_task(together.ask(2)))
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {asyncio.current_task(), *asked}:
        task.cancel()
    results = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5)
    assert [type(result).__name__ for result in results] == ["CancelledError", "CancelledError"]
