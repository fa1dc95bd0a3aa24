"""A lost network is said at once, its return is used at once, and neither is ever taken for an end.

`make page` loses it for longer, in every way, and for ever.
"""

from __future__ import annotations

import asyncio
import os
import signal as signals
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from playwright.async_api import expect

from tests.browser.home import SLACK
from tests.browser.listener import listening
from tests.browser.operator import call

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from tests.browser.home import Visit
    from tests.browser.house import House
    from tests.browser.visitor import Visitor
    from tests.conformance.support.relay import TcpRelay, UdpRelay

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

SHOWN_WITHIN = 4.0 * SLACK
"""Seconds from the loss to "reconnecting"."""
BACK_WITHIN = 3.0 * SLACK
"""Seconds from the network's return to "live"."""
SEEN_WITHIN = 2.0
"""Seconds by which Playwright, which looks ever more seldom, may be late to see what a page shows."""
OUTAGES = [float(each) for each in os.environ.get("ROOMKEEPER_OUTAGES", "5").split(",")]
"""Seconds; `make page` has more of them."""
SLEEPS = [float(each) for each in os.environ.get("ROOMKEEPER_SLEEPS", "8").split(",")]
"""Seconds that the machine sleeps; the room server forgets a participant after 20."""
GONE_WITHIN = 60.0
"""Seconds, beside the hold, until somebody who does not come back has ended the session."""
GIVEN_UP_AFTER = 12.0
"""Seconds after which livekit-client has closed what it cannot mend, and unpublished the microphone."""
CONTROL_PLANE = "**/api/**"
OVER = frozenset({"ended", "ending", "blocked"})


async def asked(visit: Visit, *, alone: bool = False) -> tuple[Visitor, dict[str, Any]]:
    """Somebody who was asked the first question, and what their token endpoint answered."""
    ada = await visit(alone=alone)
    await ada.record_states()
    await ada.page.reload()
    told = await ada.joins_to_type()
    await ada.is_asked("yourself")
    return ada, told


async def shown_between(ada: Visitor, begin: float, end: float) -> set[str]:
    """Every state that the page showed within that time (`time.time()`), also if it began to before."""
    states = await ada.states()
    ends = [at for _, at in states[1:]] + [float("inf")]
    return {state for (state, at), until in zip(states, ends, strict=True) if at < end * 1000 and until > begin * 1000}


async def is_back(ada: Visitor, since: float) -> float:
    """Wait until the page shows the conversation again; returns after how many seconds it did, by its own notes."""
    await ada.shows("live", BACK_WITHIN + SEEN_WITHIN)
    at = [at for state, at in await ada.states() if state == "live"][-1]
    back = max(0.0, at / 1000 - since)
    assert back <= BACK_WITHIN, str(await ada.states())
    return back


async def lose(what: str, ada: Visitor, house: House, media: UdpRelay, signal: TcpRelay) -> None:
    """Lose a part of the visitor's network; whatever is not refused is lost without a word."""
    if what == "signal":
        signal.refusing = True
        signal.cut()
        return
    media.spared = house.media_ports()
    media.lossy = True
    if what == "everything":
        signal.lossy = True
        await ada.page.route(CONTROL_PLANE, lambda route: route.abort("timedout"))


async def mend(ada: Visitor, media: UdpRelay, signal: TcpRelay) -> None:
    """Give the network back."""
    media.lossy = signal.lossy = signal.refusing = False
    await ada.page.unroute(CONTROL_PLANE)


@pytest.mark.parametrize("seconds", OUTAGES)
@pytest.mark.parametrize("what", ["media", "signal", "everything"])
async def test_a_lost_network_is_said_its_return_is_used_and_nothing_has_ended(
    visit: Visit, house: House, media: UdpRelay, signal: TcpRelay, what: str, seconds: float
) -> None:
    ada, _ = await asked(visit)
    lost_at = time.time()
    await lose(what, ada, house, media, signal)
    took = await ada.shows("reconnecting", SHOWN_WITHIN)
    said_at = time.time()
    if what == "media":
        await ada.screenshot("11-reconnecting")
    await expect(ada.page.get_by_role("region", name="Your connection was lost")).to_contain_text("are saved")
    # What is typed meanwhile is sent when it is back.
    await ada.page.get_by_label("Type an answer").fill("I repair old clocks and sell them on the market.")
    await ada.page.keyboard.press("Enter")
    await asyncio.sleep(lost_at + seconds - time.time())
    mended_at = time.time()
    await mend(ada, media, signal)
    back = await is_back(ada, mended_at)
    states = [(state, round(at / 1000 - lost_at, 1)) for state, at in await ada.states()]
    assert await shown_between(ada, said_at, mended_at) == {"reconnecting"}, str(states)
    await expect(ada.log).to_contain_text("old clocks")
    await ada.is_asked("proud")
    assert not OVER & {state for state, _ in await ada.states()}
    ada.problems.clear()  # Chromium's own, about connections that were refused
    print(f"{what} lost for {seconds} s: shown after {took:.1f} s, live {back:.1f} s after its return")  # noqa: T201


async def test_a_microphone_is_on_again_after_a_reload_without_a_network(
    visit: Visit, house: House, media: UdpRelay, signal: TcpRelay, voice: Path
) -> None:
    ada = await visit(microphone=voice)
    await ada.record_states()
    await ada.page.reload()
    async with ada.page.expect_response("**/api/token") as response:
        await ada.start()
    told = await (await response.value).json()
    mute = ada.button("Mute")
    await expect(mute).to_have_attribute("aria-pressed", "false")
    await ada.sees_status("The interviewer is listening")
    await lose("signal", ada, house, media, signal)
    await ada.shows("reconnecting", SHOWN_WITHIN)
    await asyncio.sleep(GIVEN_UP_AFTER)
    await ada.page.reload()
    await mend(ada, media, signal)
    await expect(mute).to_have_attribute("aria-pressed", "false")
    async with listening(house.server, told["room_name"], told["participant_identity"]) as listener:
        await listener.hears_speech()
    ada.problems.clear()  # Chromium's own, about connections that were refused


@pytest.mark.parametrize("seconds", SLEEPS)
async def test_a_machine_that_slept_goes_on_where_it_was(visit: Visit, house: House, seconds: float) -> None:
    others = set(browsers())
    ada, told = await asked(visit, alone=True)
    own = [process for process in browsers() if process not in others]
    stop(own)
    try:
        await asyncio.sleep(seconds)
    finally:
        for process in own:
            process.send_signal(signals.SIGCONT)
    woken_at = time.time()
    back = await is_back(ada, woken_at)
    await ada.types("I repair old clocks and sell them on the market.")
    await ada.is_asked("proud")
    assert not OVER & {state for state, _ in await ada.states()}
    assert await shown_between(ada, woken_at + BACK_WITHIN, time.time()) == {"live"}
    assert "woke" in str(await call(house, f"sessions/{told['room_name']}/timeline"))
    ada.problems.clear()  # Chromium's own, about connections that were closed meanwhile
    print(f"asleep for {seconds} s: live {back:.1f} s after it woke")  # noqa: T201


@pytest.mark.long
async def test_a_network_that_returns_after_the_hold_shows_the_end(
    visit: Visit, house: House, media: UdpRelay, signal: TcpRelay
) -> None:
    ada, told = await asked(visit)
    await lose("everything", ada, house, media, signal)
    await ada.shows("reconnecting", SHOWN_WITHIN)
    hold = float(os.environ.get("ROOMKEEPER_TEST_HOLD", "10"))
    async with asyncio.timeout(hold + GONE_WITHIN):
        while (record := await call(house, f"sessions/{told['room_name']}/state"))["state"] != "ended":
            await asyncio.sleep(1)
    assert record["reason"] == "user_lost"
    assert not {"ending", "ended"} & {state for state, _ in await ada.states()}  # of which it has heard nothing
    await mend(ada, media, signal)
    await ada.sees_end(
        "user_lost", "The conversation ended because your connection was lost.", within=BACK_WITHIN * 1000
    )
    ada.problems.clear()  # Chromium's own, about connections that were closed meanwhile


def browsers() -> Collection[psutil.Process]:
    """Every process of every browser that these tests started."""
    return [each for each in psutil.Process().children(recursive=True) if "chrom" in each.name()]


def stop(processes: Collection[psutil.Process]) -> None:
    """Stop them, those that start others first."""
    for process in processes:
        process.send_signal(signals.SIGSTOP)
