"""A crew: some deeds at the same time, none held up by another, claims renewed, a database that fails survived."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from roomkeeper.control import crew as crews
from roomkeeper.control.crew import Crew

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    import pytest


class Desk:
    """Hands out numbers."""

    def __init__(self, *deeds: int) -> None:
        self.waiting = deque(deeds)
        self.renewed: list[list[int]] = []
        self.changed = asyncio.Event()
        self.failures = 0

    async def claim(self, most: int) -> list[int]:
        if self.failures:
            self.failures -= 1
            raise OperationalError(None, None, ConnectionRefusedError())
        return [self.waiting.popleft() for _ in range(min(most, len(self.waiting)))]

    async def renew(self, deeds: Collection[int]) -> None:
        self.renewed.append(sorted(deeds))
        self.changed.set()

    async def due_in(self) -> float | None:
        return None


@asynccontextmanager
async def at_work(crew: Crew[int]) -> AsyncIterator[None]:
    task = asyncio.create_task(crew.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_slow_deed_holds_up_no_other() -> None:
    desk, slow, done = Desk(1, 2, 3, 4, 5), asyncio.Event(), asyncio.Event()
    over: list[int] = []

    async def do(deed: int) -> bool:
        if deed == 1:
            await slow.wait()
        over.append(deed)
        if len(over) == 4:
            done.set()
        return False

    async with asyncio.timeout(5), at_work(Crew(desk, do, most=2)):
        await done.wait()
        assert over == [2, 3, 4, 5]
        slow.set()


async def test_never_more_at_a_time_than_allowed() -> None:
    desk, done = Desk(*range(20)), asyncio.Event()
    now = most = over = 0

    async def do(_: int) -> bool:
        nonlocal now, most, over
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        over += 1
        if over == 20:
            done.set()
        return False

    async with asyncio.timeout(5), at_work(Crew(desk, do, most=3)):
        await done.wait()
    assert most == 3


async def test_what_is_under_way_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crews, "RENEW_EVERY", 0.01)
    desk, slow = Desk(1, 2), asyncio.Event()

    async def do(_: int) -> bool:
        await slow.wait()
        return False

    async with asyncio.timeout(5), at_work(Crew(desk, do, most=2)):
        await desk.changed.wait()
        slow.set()
    assert desk.renewed[0] == [1, 2]


async def test_a_database_that_is_away_costs_only_that_moment(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(crews, "LONGEST_NAP", 0.01)
    desk, done = Desk(1), asyncio.Event()
    desk.failures = 2

    async def do(_: int) -> bool:
        done.set()
        raise OperationalError(None, None, ConnectionRefusedError())

    async with asyncio.timeout(5), at_work(Crew(desk, do, most=2)):
        await done.wait()
        done.clear()
        desk.waiting.append(2)
        await done.wait()
    assert caplog.text.count("claiming failed") + caplog.text.count("a deed failed") >= 3


async def test_whoever_is_woken_looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crews, "LONGEST_NAP", 60)
    desk, done = Desk(), asyncio.Event()

    async def do(_: int) -> bool:
        done.set()
        return False

    crew = Crew(desk, do, most=2)
    async with asyncio.timeout(5), at_work(crew):
        await asyncio.sleep(0)
        desk.waiting.append(1)
        crew.wake()
        await done.wait()


async def test_what_was_asked_for_again_meanwhile_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crews, "LONGEST_NAP", 60)
    desk, done = Desk(1), asyncio.Event()

    async def do(deed: int) -> bool:
        if deed == 2:
            done.set()
            return False
        desk.waiting.append(2)
        return True

    async with asyncio.timeout(5), at_work(Crew(desk, do, most=2)):
        await done.wait()


async def test_an_unforeseen_fault_of_one_deed_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    desk, done = Desk(1), asyncio.Event()

    async def do(deed: int) -> bool:
        if deed == 2:
            done.set()
            return False
        raise KeyError(deed)

    async with asyncio.timeout(5), at_work(Crew(desk, do, most=2)):
        desk.waiting.append(2)
        await done.wait()
    assert "a deed failed" in caplog.text
