"""A lost network is said at once, its return is used at once, and neither is ever taken for an end."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

if TYPE_CHECKING:
    from tests.browser.conftest import Visit
    from tests.browser.visitor import Visitor
    from tests.conformance.support.relay import TcpRelay, UdpRelay

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

SHOWN_WITHIN = 4.0
"""Seconds from the loss to "reconnecting"."""
BACK_WITHIN = 3.0
"""Seconds from the network's return to "live"."""
NEXT_TRY = 5.0
"""Seconds until livekit-client tries a signal connection again that was refused a few times."""
OUTAGES = [float(each) for each in os.environ.get("ROOMKEEPER_OUTAGES", "5").split(",")]
"""Seconds; `make page` has more of them."""
OVER = frozenset({"ended", "ending", "blocked"})


async def shows(ada: Visitor, state: str, within: float) -> float:
    """Wait until the page shows that state; return how many seconds it took."""
    begun = time.monotonic()
    await expect(ada.page.get_by_role("status")).to_have_attribute("data-state", state, timeout=within * 1000)
    return time.monotonic() - begun


async def asked(visit: Visit) -> Visitor:
    """Somebody who was asked the first question."""
    ada = await visit()
    await ada.record_states()
    await ada.page.reload()
    await ada.join_to_type()
    await ada.is_asked("yourself")
    return ada


@pytest.mark.parametrize("seconds", OUTAGES)
async def test_media_that_stops_is_no_conversation(visit: Visit, network: UdpRelay, seconds: float) -> None:
    ada = await asked(visit)
    network.lossy = True
    took = await shows(ada, "reconnecting", SHOWN_WITHIN)
    await ada.screenshot("11-reconnecting")
    await expect(ada.page.get_by_role("region", name="Your connection was lost")).to_contain_text("are saved")
    await asyncio.sleep(seconds - took)
    await expect(ada.page.get_by_role("status")).to_have_attribute("data-state", "reconnecting")
    network.lossy = False
    back = await shows(ada, "live", BACK_WITHIN)
    await ada.types("I repair old clocks and sell them on the market.")
    await ada.is_asked("proud")
    assert not OVER & {state for state, _ in await ada.states()}
    print(f"media lost for {seconds} s: shown after {took:.1f} s, live {back:.1f} s after its return")  # noqa: T201


async def test_a_signal_that_is_cut_interrupts_nothing_that_is_said(visit: Visit, signal: TcpRelay) -> None:
    ada = await asked(visit)
    signal.refusing = True
    signal.cut()
    await shows(ada, "reconnecting", SHOWN_WITHIN)
    # What is typed meanwhile is sent when it is back.
    await ada.page.get_by_label("Type an answer").fill("I repair old clocks and sell them on the market.")
    await ada.page.keyboard.press("Enter")
    await asyncio.sleep(1)
    signal.refusing = False
    await shows(ada, "live", NEXT_TRY + BACK_WITHIN)
    await expect(ada.log).to_contain_text("old clocks")
    await ada.is_asked("proud")
    assert not OVER & {state for state, _ in await ada.states()}
    ada.problems.clear()  # Chromium's own, about the connection that was refused
