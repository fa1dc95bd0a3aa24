"""An end that the page's signal does not carry, since it was cut just before, is shown all the same; no room is left.

This is where stock pages land in a room that their old token made anew: the room is deleted while their signal is away,
and they reconnect into an empty one. `ROOMKEEPER_END_RUNS` asks for more than one run in each way; `make page` for 50.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import statistics
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import pytest
import pytest_asyncio
from livekit import api
from playwright.async_api import expect

import roomkeeper
from tests.browser.home import SLACK, networks_of, visits_to
from tests.browser.house import House
from tests.browser.operator import call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from contextlib import AbstractAsyncContextManager

    from playwright.async_api import Browser

    from tests.browser.home import Chromium, Networks, Visit
    from tests.browser.visitor import Visitor
    from tests.conformance.support.relay import TcpRelay

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(0)]

RUNS = int(os.environ.get("ROOMKEEPER_END_RUNS", "1"))
"""In each way of being cut off, in each mode."""
SERVERS = {
    "default": {},
    "strict": {"strict": True},
    "no auto_create": {"auto_create": False},
    "strict, no auto_create": {"strict": True, "auto_create": False},
}
MODES = tuple(SERVERS) if RUNS > 1 else ("default",)
AWAY = (0.0, 1.0)
"""Seconds for which the signal is refused after it was cut."""
EARLIEST = 2.0
"""Seconds before the end at which it is cut at the earliest."""
SHOWN_WITHIN = 3.0 * SLACK
"""Seconds from the end, or from the signal's return if that is later, to the end screen."""
OUTLIVES = min(3.0 * SLACK, 6.0)
"""Seconds that a room may be there which somebody made anew."""
WATCHED = 8.0
"""Seconds after the end for which the rooms are watched."""
GOODBYE = 30_000
"""Milliseconds for the interviewer's last words."""


@dataclass(frozen=True)
class Home:
    """A house in one mode, and who goes there."""

    house: House
    signal: TcpRelay
    visit: Visit


class Homes(Protocol):
    """Opens homes."""

    def __call__(self, mode: str) -> AbstractAsyncContextManager[Home]:
        """Open the one of that mode; the default one is that of all tests."""


@pytest_asyncio.fixture(loop_scope="session")
async def homes(
    house: House,
    networks: Networks,
    launcher: Chromium,
    chromium: Browser,
    tmp_path_factory: pytest.TempPathFactory,
) -> Homes:
    @asynccontextmanager
    async def home(mode: str) -> AsyncIterator[Home]:
        async with contextlib.AsyncExitStack() as stack:
            here, between = house, networks
            if mode != "default":
                here = House(tmp_path_factory.mktemp("house"), relayed=True, **SERVERS[mode])
                await asyncio.to_thread(stack.enter_context, here)
                between = await stack.enter_async_context(networks_of(here))
            assert between.signal
            visit = await stack.enter_async_context(visits_to(here, between, launcher, chromium))
            yield Home(here, between.signal, visit)

    return home


async def invited(house: House) -> tuple[str, str]:
    """Make an invitation; and its room, where joining does not. Returns the page's address and the room's name."""
    room = f"talk-{uuid4().hex[:8]}"
    if not house.auto_create:
        # As an application does it that makes its rooms itself.
        made = await call(house, "sessions", {"agent": "interviewer", "room": room})
        config = roomkeeper.room_config("interviewer", session=made["session"]["id"])
        request = api.CreateRoomRequest(
            name=room,
            metadata=config.metadata,
            agents=config.agents,
            empty_timeout=config.empty_timeout,
            departure_timeout=config.departure_timeout,
        )
        async with house.livekit() as livekit:
            await livekit.room.create_room(request)
    signed = await call(house, "invites", {"identity": f"ada-{room}", "agent": "interviewer", "room": room})
    return f"{house.address}#invite={signed['invite']}", room


async def says_goodbye(home: Home) -> tuple[Visitor, str, float]:
    """Somebody who asked the interviewer to stop, which says goodbye now; the room, and since when (`time.time()`)."""
    address, room = await invited(home.house)
    ada = await home.visit(address=address)
    await ada.record_states()
    await ada.page.reload()
    await ada.join_to_type()
    await expect(ada.said("agent").first).to_be_visible()
    await ada.page.get_by_label("Type an answer").fill("Please stop the interview.")
    await ada.page.keyboard.press("Enter")
    await ada.shows("ending", GOODBYE / 1000)
    return ada, room, time.time()


async def sids(house: House, room: str) -> set[str]:
    """The rooms of that name, none or one."""
    async with house.livekit() as livekit:
        return {each.sid for each in (await livekit.room.list_rooms(api.ListRoomsRequest(names=[room]))).rooms}


async def made_anew(house: House, room: str, before: set[str]) -> float:
    """Watch a room's name for some seconds after its end; return for how many of them another room had it."""
    seen: list[float] = []
    until = time.time() + WATCHED
    while time.time() < until:
        if await sids(house, room) - before:
            seen.append(time.time())
        await asyncio.sleep(0.25)
    return seen[-1] - seen[0] if seen else 0.0


async def cut_off(home: Home, lead: float, away: float, goodbye: float) -> tuple[float, Coroutine[Any, Any, float]]:
    """One end: the signal is cut so long before it, and refused for so long.

    Returns:
        Seconds until the end screen was there, and the watch for another room of that name.
    """
    ada, room, since = await says_goodbye(home)
    before = await sids(home.house, room)
    await asyncio.sleep(max(0.0, since + goodbye - lead - time.time()))
    home.signal.refusing = away > 0
    home.signal.cut()
    await asyncio.sleep(away)
    home.signal.refusing = False
    mended = time.time()
    await ada.sees_end("completed", "The conversation is complete. Thank you.", within=GOODBYE)
    ended = datetime.fromisoformat((await call(home.house, f"sessions/{room}/state"))["since"]).timestamp()
    shown = next(at for state, at in await ada.states() if state == "ended") / 1000
    print(f"cut {ended - mended + away:.2f} s before the end, away {away} s: {shown - max(ended, mended):.2f} s")  # noqa: T201
    ada.problems.clear()  # Chromium's own, about connections that were refused
    await ada.page.context.close()
    return shown - max(ended, mended), made_anew(home.house, room, before)


@pytest.mark.parametrize("mode", MODES)
async def test_an_end_reaches_a_page_whose_signal_was_cut_just_before(homes: Homes, mode: str) -> None:
    chance = random.Random(mode)
    async with homes(mode) as home:
        # How long a goodbye takes, by one that nothing disturbs.
        ada, room, since = await says_goodbye(home)
        await ada.sees_end("completed", "The conversation is complete. Thank you.", within=GOODBYE)
        record = await call(home.house, f"sessions/{room}/state")
        goodbye = datetime.fromisoformat(record["since"]).timestamp() - since

        took: list[float] = []
        async with asyncio.TaskGroup() as watches:
            watched = []
            for away in AWAY * RUNS:
                shown, watch = await cut_off(home, chance.uniform(0, EARLIEST), away, goodbye)
                took.append(shown)
                watched.append(watches.create_task(watch))
    lasted = [each.result() for each in watched]
    print(f"{mode}: {len(took)} ends, shown after {statistics.median(took):.2f} s, at most {max(took):.2f} s")  # noqa: T201
    assert max(took) <= SHOWN_WITHIN
    assert max(lasted) <= OUTLIVES
