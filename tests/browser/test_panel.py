"""The panel of `roomkeeper dev`: whatever its buttons break, the interview beside them goes on."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.house import REPOSITORY
from tests.browser.visitor import SCREENSHOTS
from tests.install.running import Dev, Ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from playwright.async_api import Browser, Page

pytestmark = [pytest.mark.timeout(170), pytest.mark.asyncio(loop_scope="session")]
GREETING = re.compile("interview", re.IGNORECASE)
BACK_WITHIN = 60_000
"""Milliseconds: the machine is shared with the browser and the agents."""


ALONE_FOR = 8.0
"""Seconds without an agent after which none comes: with Roomkeeper one is there after two."""


@pytest.fixture
def flags() -> tuple[str, ...]:
    """Of `roomkeeper dev`."""
    return ()


@pytest.fixture
def panel(tmp_path: Path, flags: tuple[str, ...]) -> Iterator[str]:
    """A running `roomkeeper dev`; gives the address of its panel."""
    roomkeeper = shutil.which("roomkeeper", path=REPOSITORY / ".venv" / "bin")
    assert roomkeeper, "run `make setup` first"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("LIVEKIT_", "ROOMKEEPER_"))}
    with Dev([roomkeeper, "dev", *Ports().flags, *flags], env | {"HOME": str(tmp_path)}, tmp_path) as dev:
        dev.wait_until_ready()
        found = re.search(r"buttons that break it: (\S+)", dev.printed)
        assert found, dev.printed
        yield found[1]
        print(dev.printed[-6_000:])  # noqa: T201 - pytest shows it with a failure


@pytest_asyncio.fixture(loop_scope="session")
async def page(chromium: Browser) -> AsyncIterator[Page]:
    """A page that is closed whatever a test comes to: one that is left open goes on with its conversation."""
    async with await chromium.new_context(viewport={"width": 1400, "height": 860}, locale="en-US") as context:
        yield await context.new_page()


async def presses(page: Page, name: str, then: str) -> None:
    """Press a button of the panel, and wait until the newest line of what happens says this."""
    await page.get_by_role("button", name=name, exact=True).click()
    await expect(page.locator(".happened li").first).to_contain_text(then, timeout=BACK_WITHIN)


async def test_whatever_its_buttons_break_the_interview_goes_on(panel: str, page: Page) -> None:
    await page.goto(panel)
    interview = page.frame_locator("iframe")
    await interview.get_by_role("button", name="Join without a microphone and type").click(timeout=BACK_WITHIN)
    newest = page.locator(".happened li").first
    await expect(newest.locator(".badge")).to_have_text("live", timeout=BACK_WITHIN)
    await expect(interview.get_by_role("log")).to_contain_text(
        re.compile("interview", re.IGNORECASE), timeout=BACK_WITHIN
    )

    await presses(page, "Kill agent", "live")
    await expect(page.locator(".happened")).to_contain_text("killed (SIGKILL)")
    await presses(page, "Refresh", "live")
    await expect(interview.get_by_role("log")).to_contain_text(GREETING)
    await presses(page, "Cut network", "1 cut off for 8 seconds")
    await expect(interview.get_by_role("status").first).to_contain_text(re.compile("connection", re.IGNORECASE))
    await expect(interview.get_by_role("status").first).not_to_contain_text("connection", timeout=BACK_WITHIN)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / "panel.png")
    await presses(page, "Restart worker", "the old one leaves")
    await presses(page, "End", "operator_ended")
    await expect(interview.get_by_text("ended by the organizer").first).to_be_visible(timeout=BACK_WITHIN)


@pytest.mark.parametrize("flags", [("--stock",)])
async def test_without_roomkeeper_the_same_interview_is_left_alone_by_a_killed_agent(panel: str, page: Page) -> None:
    await page.goto(panel)
    await expect(page.get_by_role("heading", name="Without Roomkeeper")).to_be_visible()
    interview = page.frame_locator("iframe")
    await interview.get_by_role("button", name="Join without a microphone and type").click(timeout=BACK_WITHIN)
    status = interview.get_by_role("status").first
    await expect(status).to_have_text("The interviewer is listening", timeout=BACK_WITHIN)
    await page.get_by_role("button", name="Kill agent", exact=True).click()
    await expect(status).not_to_have_attribute("data-state", "live", timeout=BACK_WITHIN)
    await asyncio.sleep(ALONE_FOR)
    await expect(status).not_to_have_attribute("data-state", "live")
