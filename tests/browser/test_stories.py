"""Every state of the page, and the hook where LiveKit's own patterns are used."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.home import LONG, SLACK
from tests.browser.visitor import SCREENSHOTS

if TYPE_CHECKING:
    from tests.browser.home import Visit
    from tests.browser.house import House

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]

STATES = frozenset(
    {"connecting", "waiting", "live", "reconnecting", "recovering", "holding", "ending", "ended", "blocked"}
)
ENDS = frozenset({"ended-completed", "ended-user_lost", "ended-agent_failed", "ended-unexplained"})
SCENARIOS = ("signal-reconnect", "resume-reconnect", "full-reconnect", "node-failure", "migration", "server-leave")
"""Of livekit-client's `simulateScenario`; those that interrupt."""
SLOW_SCENARIOS = ("disconnect-signal-on-resume", "disconnect-signal-on-resume-no-messages")
SHOWN_WITHIN = 4_000 * SLACK
"""Milliseconds."""
QUIET_SCENARIOS = ("speaker", "leave-full-reconnect", "fail-on-v1-path")
"""Those that nobody notices. `force-tcp` and `force-tls` would go past the relay, the bandwidth is for video."""


async def test_every_state_is_free_of_barriers_in_light_and_dark_and_in_both_languages(
    visit: Visit, stories: str
) -> None:
    ada = await visit(phone=True, address=f"{stories}/index.html")
    links = await ada.page.locator("li a:first-child").evaluate_all("each => each.map(a => a.hash.slice(1))")
    # Ends differ in their words only.
    names = [name for name in links if not name.startswith("ended-") or name in ENDS]
    assert len(names) > len(STATES)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[str]] = {}
    shown: set[str] = set()
    for index, name in enumerate(names):
        await ada.page.goto(f"{stories}/index.html?lang={'en' if index < len(names) / 2 else 'de'}#{name}")
        for scheme in ("dark", "light"):
            await ada.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            if barriers := await ada.barriers():
                found[f"{name} ({scheme})"] = barriers
        await ada.page.screenshot(path=SCREENSHOTS / f"story-{name}.png")
        # The parts alone say the same state, with nothing of the page around them.
        await ada.page.evaluate("name => location.hash = `parts/${name}`", name)
        status = ada.page.locator("main > [role=status]")
        shown.add(await status.get_attribute("data-state") or "")
    assert found == {}
    assert shown == STATES


async def test_the_hook_works_in_a_room_that_LiveKitRoom_connects(visit: Visit, house: House, stories: str) -> None:  # noqa: N802
    server = house.address.rstrip("/")
    ada = await visit(address=f"{stories}/live-kit-room.html?server={server}")
    await ada.sees_status("The agent is listening")
    await ada.button("End it").click()
    ends = ada.page.get_by_role("list", name="Ends").get_by_role("listitem")
    await expect(ends).to_have_text(["user_ended"])


async def test_the_hook_works_in_LiveKits_SessionProvider_through_every_scenario(  # noqa: N802
    visit: Visit, house: House, stories: str
) -> None:
    server = house.address.rstrip("/")
    ada = await visit(address=f"{stories}/session-provider.html?server={server}")
    await ada.record_states()
    await ada.page.reload()
    await ada.sees_status("The agent is listening")
    for scenario in QUIET_SCENARIOS:
        await ada.page.evaluate("scenario => globalThis.room.simulateScenario(scenario)", scenario)
    assert (await ada.states())[-1][0] == "live"
    for scenario in SCENARIOS + (SLOW_SCENARIOS if LONG else ()):
        began = time.time() * 1000
        await ada.page.evaluate("scenario => globalThis.room.simulateScenario(scenario)", scenario)
        await ada.page.wait_for_function("shownStates.some(([state]) => state === 'reconnecting')")
        await expect(ada.page.get_by_role("status")).to_have_attribute("data-state", "live")
        states = await ada.states()
        assert {"ended", "blocked"}.isdisjoint(state for state, _ in states)
        shown = next(at for state, at in states if state == "reconnecting") - began
        back = states[-1][1] - began - shown
        print(f"{scenario}: shown after {shown / 1000:.1f} s, live {back / 1000:.1f} s later")  # noqa: T201
        assert shown <= SHOWN_WITHIN
        await ada.page.evaluate("shownStates.length = 0")
    await ada.button("End it").click()
    await expect(ada.page.get_by_role("heading", level=1)).to_have_text("The conversation is over")
    await expect(ada.page.get_by_text("You ended the conversation.")).to_be_visible()
    await ada.screenshot("14-session-provider")
    ada.problems.clear()  # livekit-client's own, about what was simulated
