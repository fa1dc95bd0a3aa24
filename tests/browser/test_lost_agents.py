"""A killed agent comes back, and the page says so meanwhile; what LiveKit's own hook says is kept beside it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from roomkeeper.cli.dev.mishaps import kill_agents
from tests.browser.home import SLACK
from tests.browser.visitor import REPOSITORY

if TYPE_CHECKING:
    from tests.browser.home import Visit
    from tests.browser.house import House

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

SAID_WITHIN = 2.0 * SLACK
"""Seconds from SIGKILL to "is coming back"."""
LIVE_WITHIN = 1.0 * SLACK
"""Seconds between what the page says and the first sound of the next agent."""
BACK_WITHIN = 20.0
"""Seconds until the next agent is there: a process, its models and its first words, on two cores."""
TIMELINE = REPOSITORY / "artifacts" / "browser" / "agent-killed.json"


async def test_a_killed_agent_is_said_to_come_back_and_does(visit: Visit, house: House, stories: str) -> None:
    ada = await visit()
    await ada.record_states()
    await ada.record_sounds()
    await ada.page.reload()
    await ada.join_to_type()
    await ada.is_asked("yourself")
    # The same with LiveKit's own hook, as LiveKit's starter applications use it.
    ben = await visit(address=f"{stories}/session-provider.html?server={house.address.rstrip('/')}")
    await ben.record_states()
    await ben.record_sounds()
    await ben.page.reload()
    await ben.shows("live", BACK_WITHIN)
    both = (ada, ben)

    said_before = await ada.said("agent").count()
    port = int(house.server.http.rpartition(":")[2])
    killed_at = time.time()
    assert await asyncio.to_thread(kill_agents, house.worker.pid, port) >= len(both)
    for each in both:
        await each.shows("recovering", SAID_WITHIN)
    await ada.sees_status("The interviewer lost the connection and is coming back…")
    await ada.screenshot("15-recovering")
    for each in both:
        await each.shows("live", BACK_WITHIN)
    await expect(ada.said("agent")).not_to_have_count(said_before)  # live, and it speaks

    timelines = {}
    for name, each in (("interview page", ada), ("session provider", ben)):
        states = await each.states()
        since = [(state, round(at / 1000 - killed_at, 2)) for state, at in states if at > killed_at * 1000]
        heard = round(await each.hears(after=killed_at + since[0][1]) - killed_at, 2)
        timelines[name] = [*since, ("heard", heard)]
        assert since[0][0] == "recovering"  # and not first that it has left
        assert since[0][1] <= SAID_WITHIN
        assert since[1][0] == "live"
        assert abs(since[1][1] - heard) <= LIVE_WITHIN  # when it speaks
        assert not {"ended", "blocked", "reconnecting"} & {state for state, _ in since}
    # What came out; LiveKit's own hook takes a lost agent for an error, and that one stays.
    timelines["LiveKit's useAgent"] = [
        (said, round(at / 1000 - killed_at, 2)) for said, at in await ben.states_by_livekit() if at > killed_at * 1000
    ]
    TIMELINE.parent.mkdir(parents=True, exist_ok=True)
    TIMELINE.write_text(json.dumps(timelines, indent=2))
    print(json.dumps(timelines))  # noqa: T201 - figures for whoever runs it
    await ben.button("End it").click()
