"""The operator's console: whoever signs in sees every session as it goes, and why it ended."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
import sqlalchemy as sa
from playwright.async_api import expect

from roomkeeper.control.store.tables import outbox
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


async def test_an_agent_that_waits_for_nobody_is_idle(desk: Desk) -> None:
    page, house = desk.page, desk.house
    await page.goto(desk.link())
    await house.join("agent", "tea", agent=True)
    row = page.get_by_role("link", name=re.compile("tea"))
    await expect(row).to_contain_text(re.compile(r"idle \d+ s"))
    await expect(page.get_by_text(re.compile("1 agents without users"))).to_be_visible()
    await page.get_by_role("radio", name="idle 1").check(force=True)
    await expect(row).to_be_visible()
    assert await barriers(desk) == []
    await house.join("ann", "tea")
    await expect(row).to_have_count(0)
    await expect(page.get_by_role("radio", name="idle 0")).to_be_checked()


async def test_whoever_comes_is_shown_although_the_state_stays(desk: Desk) -> None:
    page, house = desk.page, desk.house
    await house.join("ann", "tea")
    await house.join("agent", "tea", agent=True)
    await page.goto(desk.link())
    row = page.get_by_role("link", name=re.compile("tea"))
    await row.click()
    await expect(page.locator("main .badge").first).to_have_text("live")
    await expect(page.get_by_role("img", name=re.compile("^ann: standard ann, from"))).to_be_visible()
    await house.join("bob", "tea")
    await expect(row).to_contain_text("ann, bob")
    await expect(page.get_by_role("img", name=re.compile("^bob: standard bob, from"))).to_be_visible()


async def test_a_session_is_found_by_the_id_of_its_room_and_heard_of_by_its_own(desk: Desk) -> None:
    page, house = desk.page, desk.house
    await house.join("ann", "tea")
    await house.join("agent", "tea", agent=True)
    await house.join("bob", "coffee")
    await house.join("agent-2", "coffee", agent=True)
    await page.goto(desk.link())
    tea, coffee = (page.get_by_role("link", name=re.compile(name)) for name in ("tea", "coffee"))
    await expect(tea).to_contain_text("ann")
    session = await house.plane.store.find("tea")
    assert session is not None
    assert session.room_sid is not None
    await page.get_by_placeholder("user who is there").fill(session.room_sid)
    await expect(coffee).to_have_count(0)
    await expect(tea).to_be_visible()
    await page.evaluate("(sid) => { location.hash = `#/${sid}`; }", session.room_sid)
    await expect(page.get_by_role("heading", name="tea")).to_be_visible()
    await house.join("cid", "tea")
    await expect(page.get_by_role("img", name=re.compile("^cid: standard cid, from"))).to_be_visible(timeout=5_000)


async def test_what_was_given_up_is_marked_and_sent_again(desk: Desk) -> None:
    page, house = desk.page, desk.house
    await house.join("ann", "tea")
    await house.join("agent", "tea", agent=True)
    await page.goto(desk.link())
    row = page.get_by_role("link", name=re.compile("tea"))
    await expect(row).to_contain_text("live")
    session = await house.plane.store.find("tea")
    assert session is not None
    given_up = {"kind": "PutState", "body": "{}", "due_at": 0, "asked_at": 0, "tries": 7, "parked_at": 1, "error": "no"}
    async with house.plane.engine.begin() as connection:
        await connection.execute(sa.insert(outbox).values(session=session.id, key="given up", **given_up))
    await page.get_by_role("radio", name="parked").check(force=True)
    await expect(row.get_by_role("img", name="1 given up")).to_be_visible()
    await row.click()
    report = page.get_by_role("region", name="Report")
    await expect(report.get_by_role("row", name=re.compile("PutState"))).to_contain_text("7")
    assert await barriers(desk) == []
    await page.screenshot(path=SCREENSHOTS / "parked.png")
    await report.get_by_role("button", name="Send again").click()
    await expect(report.get_by_text("PutState")).to_have_count(0)


async def test_of_a_purged_session_what_is_left_is_shown(desk: Desk) -> None:
    page, house = desk.page, desk.house
    await house.join("ann", "tea")
    await house.join("agent", "tea", agent=True)
    await page.goto(desk.link())
    await page.get_by_role("link", name=re.compile("tea")).click()
    await page.get_by_role("button", name="End session").click()
    await page.get_by_role("button", name="End for everybody").click()
    await expect(page.get_by_role("button", name="Download report")).to_be_visible()
    session = await house.plane.store.find("tea")
    assert session is not None
    server = house.server
    bearer = {"Authorization": f"Bearer {admin_token(api_key=server.key, secret=server.secret, now=time.time())}"}
    gone = await page.request.delete(f"{desk.url}/api/sessions/{session.id}?force=true", headers=bearer)
    assert gone.ok
    await expect(page.get_by_role("region", name="Why")).to_contain_text("What was said was deleted on")
    await expect(page.get_by_role("heading", name=session.id)).to_be_visible()
    await expect(page.get_by_role("button", name=re.compile("Download|End session|Send again"))).to_have_count(0)
    await page.get_by_role("radio", name="all").check(force=True)
    await expect(page.get_by_role("link", name=re.compile(session.id))).to_contain_text("was deleted")
    assert await barriers(desk) == []


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
