"""The operator's console: whoever signs in sees every session as it goes, and why it ended."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from playwright.async_api import expect

from roomkeeper.lifecycle.events import Noted
from roomkeeper.wire.signin import SIGN_IN_TTL, admin_token
from roomkeeper.wire.tokens import LEEWAY

if TYPE_CHECKING:
    from tests.console.conftest import Desk

pytestmark = pytest.mark.timeout(90)
REPOSITORY = Path(__file__).parents[2]
SCREENSHOTS = REPOSITORY / "artifacts" / "console"
SCHEMES: tuple[Literal["dark", "light"], ...] = ("dark", "light")
AXE = REPOSITORY / "web" / "node_modules" / "axe-core" / "axe.min.js"


async def barriers(desk: Desk) -> list[str]:
    """What keeps people out, as axe finds it in both colour schemes."""
    if not await desk.page.evaluate("'axe' in globalThis"):
        await desk.page.evaluate(AXE.read_text())  # by the debugger: the page's policy allows no foreign script
    barriers = []
    for scheme in SCHEMES:
        await desk.page.emulate_media(color_scheme=scheme)
        # Colours on their way from one to the other have no contrast to speak of.
        await desk.page.evaluate("Promise.allSettled(document.getAnimations().map((each) => each.finished))")
        found: dict[str, Any] = await desk.page.evaluate("axe.run()")
        barriers += [
            f"{each['id']} ({scheme}): {node['html']}" for each in found["violations"] for node in each["nodes"]
        ]
    return barriers


async def test_an_operator_watches_a_session_ends_it_and_reads_why(desk: Desk) -> None:
    page, house = desk.page, desk.house
    await page.goto(f"{desk.url}/console/")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert await barriers(desk) == []
    await page.goto(desk.link())
    await expect(page.get_by_text("live", exact=True).first).to_be_visible()
    assert "token" not in page.url

    user = await house.join("ann", "tea")
    await house.join("agent", "tea", agent=True)
    row = page.get_by_role("link", name=re.compile("tea"))
    await expect(row).to_contain_text("live")
    await expect(row).to_contain_text("ann")
    search = page.get_by_placeholder("user who is there")
    await search.fill("bob")
    await expect(row).to_have_count(0)
    await search.fill("ann")
    await row.click()
    await search.clear()

    session = await house.plane.store.find("tea")
    assert session is not None
    await expect(page.get_by_role("heading", name="tea")).to_be_visible()
    item = {"id": "item_1", "type": "message", "role": "assistant", "content": ["Good morning, Ann."]}
    await house.plane.store.tell(session.id, Noted(at=0, job="AJ_x", seq=1, what="item", data={"item": item}))
    house.plane.carrier.wake()
    await expect(page.get_by_text("Good morning, Ann.")).to_be_visible()
    await expect(page.get_by_role("img", name=re.compile("^ann: standard ann, from"))).to_be_visible()
    assert await barriers(desk) == []
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / "live.png")

    await page.get_by_role("button", name="End session").click()
    await page.get_by_label("What the user is told").fill("We close at five.")
    await page.get_by_role("button", name="End for everybody").click()
    await expect(page.locator("main .badge").first).to_have_text("operator_ended")
    await expect(page.get_by_role("region", name="Why")).to_contain_text("operator")
    await expect(row).to_have_count(0)  # the list shows what goes on
    await page.get_by_text("ended", exact=False).locator("visible=true").first.click()
    await expect(row).to_contain_text("operator_ended")
    await user.wait_for_disconnect()
    assert await barriers(desk) == []
    await page.screenshot(path=SCREENSHOTS / "ended.png")
    assert desk.problems == []


async def test_what_becomes_of_a_report_is_shown_without_reloading(desk: Desk) -> None:
    page, house, awake = desk.page, desk.house, desk.backend.awake
    await house.join("ann", "tea")
    await house.join("agent", "tea", agent=True)
    await page.goto(desk.link())
    await page.get_by_role("link", name=re.compile("tea")).click()
    await page.get_by_role("button", name="End session").click()
    await page.get_by_role("button", name="End for everybody").click()
    line = page.get_by_role("region", name="Report").get_by_role("row").last
    await expect(line).to_contain_text("next try", timeout=10_000)
    awake.set()
    await expect(line).to_contain_text("delivered", timeout=10_000)
    awake.clear()
    await page.get_by_role("button", name="Send again").click()
    await expect(line).to_contain_text("next try")
    awake.set()
    await expect(line).to_contain_text("delivered", timeout=10_000)
    async with page.expect_download() as downloaded:
        await page.get_by_role("button", name="Download report").click()
    download = await downloaded.value
    assert download.suggested_filename.endswith(".report.json")
    assert json.loads((await download.path()).read_text())["reason"] == "operator_ended"


async def test_the_panel_leads_to_its_session_in_the_console(desk: Desk) -> None:
    page = desk.page
    async with page.expect_response("**/api/stream"):
        await page.goto(f"{desk.url}/console/panel.html")
    await desk.house.join("ann", "tea")
    await desk.house.join("agent", "tea", agent=True)
    async with page.context.expect_page() as opened:
        await page.get_by_role("link", name=re.compile("in the console")).click()
    console = await opened.value
    await expect(console.get_by_role("heading", name="tea")).to_be_visible()
    assert "token" not in console.url


async def test_a_console_goes_on_where_its_connection_broke(desk: Desk) -> None:
    page, house = desk.page, desk.house
    await page.goto(desk.link())
    await expect(page.get_by_role("status").first).to_have_text("live")
    await page.context.set_offline(True)
    await expect(page.get_by_role("status").first).to_have_text("connecting…")
    assert await barriers(desk) == []
    await house.join("ann", "tea")
    await house.join("agent", "tea", agent=True)
    await page.context.set_offline(False)
    await expect(page.get_by_role("link", name=re.compile("tea"))).to_contain_text("ann")


async def test_a_link_signs_in_as_often_as_it_is_opened(desk: Desk) -> None:
    link = desk.link()
    for _ in range(2):
        page = await desk.stranger()
        await page.goto(link)
        await expect(page.get_by_role("status").first).to_have_text("live")


@pytest.mark.parametrize("kind", ["forged", "expired", "exchanged"])
async def test_a_link_that_is_no_longer_good_or_never_was_does_not_sign_in(desk: Desk, kind: str) -> None:
    page, server = desk.page, desk.house.server
    exchanged = admin_token(api_key=server.key, secret=server.secret, now=time.time())
    links = {
        "forged": f"{desk.url}/console/#token=forged",
        "expired": desk.link(age=SIGN_IN_TTL + LEEWAY + 1),
        "exchanged": f"{desk.url}/console/#token={exchanged}",
    }
    await page.goto(links[kind])
    await expect(page.get_by_role("alert")).to_be_visible()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert "token" not in page.url
    assert await barriers(desk) == []
