"""Every end reaches the page with its reason, whoever made it and whatever the page is doing meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import pytest
from livekit import api
from playwright.async_api import expect

from roomkeeper.cli.dev.mishaps import kill_agents
from roomkeeper.wire.signin import INVITE_TTL, Invite, invite
from tests.browser.home import SLACK
from tests.browser.operator import call, dispatches, rooms

if TYPE_CHECKING:
    from tests.browser.home import Visit
    from tests.browser.house import House
    from tests.browser.visitor import Visitor
    from tests.conformance.support.relay import TcpRelay

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

AT_ONCE = 500 * SLACK
"""Milliseconds from the recorded end to the end screen."""
SOON = 2_000 * SLACK
"""Milliseconds from the load of the page, or from the network's return, to the right state."""
LINGER = 3.0
GOODBYE = 20_000
"""Milliseconds for the interviewer's last words."""
BY_POLICY = 60_000
"""Milliseconds: the greeting, what the policy waits for, and the goodbye."""
UNREACHABLE = 6.0
"""Seconds after a reload for which nothing can be reached."""
COMES_BACK = 20.0
"""Seconds for the next agent."""
LATE_WEBHOOK = 20_000
"""Milliseconds: an end that nobody told is inferred from two looks at the room."""


async def in_talk(visit: Visit) -> tuple[Visitor, dict[str, Any]]:
    """Somebody who was greeted, and what their token endpoint answered."""
    ada = await visit()
    await ada.record_states()
    await ada.page.reload()
    told = await ada.joins_to_type()
    await expect(ada.said("agent").first).to_be_visible()
    return ada, told


async def was_shown_at_once(visitor: Visitor, house: House, room: str, reason: str) -> None:
    """Assert that the end which the page shows is the one that is recorded, and came soon and straight."""
    record = await call(house, f"sessions/{room}/state")
    assert (record["state"], record["reason"]) == ("ended", reason)
    recorded = datetime.fromisoformat(record["since"]).timestamp() * 1000
    states = await visitor.states()
    assert states[-1][0] == "ended"
    assert states[-1][1] - recorded <= AT_ONCE
    assert "reconnecting" not in {state for state, _ in states}


async def test_the_agents_end_and_the_users_own_are_shown_at_once(visit: Visit, house: House) -> None:
    (told, one), (user, two) = [await in_talk(visit) for _ in range(2)]

    await told.is_asked("yourself")
    await told.types("Please stop the interview.")  # for which the interviewer has a tool, and a goodbye
    await told.sees_end("completed", re.compile("complete"), within=GOODBYE)
    await was_shown_at_once(told, house, one["room_name"], "completed")

    await user.button("End the interview").click()
    await user.button("End now").click()
    await user.sees_end("user_ended", "You ended the interview.")
    await was_shown_at_once(user, house, two["room_name"], "user_ended")


async def test_an_operator_a_room_api_and_a_removal_end_it_in_their_own_words(visit: Visit, house: House) -> None:
    talks = [await in_talk(visit) for _ in range(3)]
    (ended, one), (deleted, two), (removed, three) = talks

    answer = await call(house, f"sessions/{one['room_name']}/end", {"detail": "closed for today"})
    assert answer["reason"] == "operator_ended"
    await ended.sees_end("operator_ended", "The conversation was ended by the organizer.", within=GOODBYE)
    await was_shown_at_once(ended, house, one["room_name"], "operator_ended")

    async with house.livekit() as livekit:
        await livekit.room.delete_room(api.DeleteRoomRequest(room=two["room_name"]))
        await livekit.room.remove_participant(
            api.RoomParticipantIdentity(room=three["room_name"], identity=three["participant_identity"])
        )
    await deleted.sees_end("room_deleted", "The conversation is over.", within=LATE_WEBHOOK)
    await removed.sees_end("removed", "You were removed from the conversation.", within=LATE_WEBHOOK)
    for visitor in (deleted, removed):
        shown = [state for state, _ in await visitor.states()]
        assert "reconnecting" not in shown
        assert shown[-1] == "ended"
    await ended.screenshot("13-operator-ended")


@pytest.mark.parametrize(
    ("policy", "reason", "words"),
    [
        ({"time_limit": 12, "time_limit.warn": [6]}, "time_limit", "The time for this conversation is over."),
        (
            {"away.after": 1, "away.checks": 1, "away.every": 1},
            "user_away",
            "The conversation ended because nobody answered.",
        ),
    ],
)
async def test_a_policy_ends_it_in_its_own_words(
    visit: Visit, house: House, policy: dict[str, object], reason: str, words: str
) -> None:
    room = f"interview-{secrets.token_hex(4)}"
    await call(house, "sessions", {"agent": "interviewer", "room": room, "policy": policy})
    invite = (await call(house, "invites", {"identity": "ada", "room": room}))["invite"]
    ada = await visit(address=f"{house.address}#invite={invite}")
    await ada.record_states()
    await ada.page.reload()
    assert (await ada.joins_to_type())["room_name"] == room
    await ada.sees_end(reason, words, within=BY_POLICY)
    shown = [state for state, _ in await ada.states()]
    assert "reconnecting" not in shown
    assert "live" in shown


async def state_of(house: House, room: str) -> str:
    """What is recorded of a room; empty as long as nobody has heard of it."""
    try:
        state: str = (await call(house, f"sessions/{room}/state"))["state"]
    except HTTPError as refused:
        if refused.code != HTTPStatus.NOT_FOUND:
            raise
        return ""
    return state


async def test_a_reload_in_any_state_shows_the_right_one_soon(visit: Visit, house: House) -> None:
    ada = await visit()
    await ada.record_states()
    await ada.page.reload()
    room = (await ada.joins_to_type())["room_name"]

    async def reload(*expected: str) -> None:
        """Load the page again; soon it says what is recorded, and that is what it should be."""
        await ada.page.reload()
        recorded, shown = "", list[tuple[str, float]]()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SOON / 1000):
                # Until the page is in the room again the session waits for it, and both may say that.
                while recorded not in expected or not shown or shown[-1][0] != recorded:
                    recorded, shown = await state_of(house, room), await ada.states()
                    await asyncio.sleep(0.05)
        assert recorded in expected
        assert shown
        assert shown[-1][0] == recorded

    await reload("waiting", "live")
    await ada.is_asked("yourself")
    await reload("live")
    # The page is away for longer: the session is held for it meanwhile.
    await ada.page.goto("about:blank")
    async with asyncio.timeout(SOON / 1000):
        while await state_of(house, room) != "holding":
            await asyncio.sleep(0.05)
    await ada.page.go_back()
    await ada.shows("live", SOON / 1000)
    before = await call(house, f"sessions/{room}")
    assert (len(before["room_sids"]), len(before["epochs"])) == (1, 1)
    port = int(house.server.http.rpartition(":")[2])
    assert await asyncio.to_thread(kill_agents, house.worker.pid, port)
    await ada.shows("recovering", SOON / 1000)
    await reload("recovering", "live")
    await ada.shows("live", COMES_BACK)
    await call(house, f"sessions/{room}/end", {})
    await reload("ending", "ended")
    await ada.sees_end("operator_ended", "The conversation was ended by the organizer.", within=GOODBYE)
    await reload("ended")
    after = await call(house, f"sessions/{room}")
    assert (after["id"], after["room_sids"]) == (before["id"], before["room_sids"])
    assert len(after["epochs"]) == 2  # one was killed
    ada.problems.clear()  # Chromium's own, about the answer 410


async def test_a_reload_while_the_room_cannot_be_reached_waits_for_it(
    visit: Visit, house: House, signal: TcpRelay
) -> None:
    ada, told = await in_talk(visit)
    before = await call(house, f"sessions/{told['room_name']}")
    signal.refusing = True
    signal.cut()
    await ada.shows("reconnecting", SOON / 1000)
    await ada.page.reload()
    await expect(ada.page.get_by_role("alert")).to_contain_text("we keep trying", timeout=SOON)
    await asyncio.sleep(UNREACHABLE)
    assert {state for state, _ in await ada.states()} <= {"connecting", "blocked"}  # with a button, trying on its own
    signal.refusing = False
    await ada.shows("live", SOON / 1000)
    await ada.is_asked("yourself")
    after = await call(house, f"sessions/{told['room_name']}")
    assert [after[each] for each in ("id", "room_sids", "epochs")] == [
        before[each] for each in ("id", "room_sids", "epochs")
    ]
    ada.problems.clear()  # Chromium's own, about connections that were refused


async def test_after_the_end_no_load_of_the_page_makes_a_room_or_calls_an_agent(visit: Visit, house: House) -> None:
    ada, told = await in_talk(visit)
    room = told["room_name"]
    await call(house, f"sessions/{room}/end", {})
    words = "The conversation was ended by the organizer."
    await ada.sees_end("operator_ended", words, within=GOODBYE)

    await ada.page.reload()
    await ada.sees_end("operator_ended", words, within=SOON)
    await ada.page.get_by_text("Read the transcript").click()
    await expect(ada.log).to_contain_text("Hello")

    # A tab that remembers where it was, but not that it is over.
    await ada.page.evaluate("room => sessionStorage.removeItem(`roomkeeper.room.${room}`)", room)
    await ada.page.reload()
    await ada.sees_end("operator_ended", words, within=SOON)
    ada.problems.clear()  # Chromium's own, about the answer 410

    await asyncio.sleep(LINGER)  # an agent that was called would need about that long
    assert room not in await rooms(house)
    assert await dispatches(house, room) == 0


async def test_an_invitation_says_at_once_whether_it_is_over_or_has_expired(visit: Visit, house: House) -> None:
    room = f"interview-{secrets.token_hex(4)}"
    made = await call(house, "invites", {"identity": "ada", "room": room})
    address = f"{house.address}#invite={made['invite']}"
    ada = await visit(address=address)
    await ada.joins_to_type()
    await expect(ada.said("agent").first).to_be_visible()
    await call(house, f"sessions/{room}/end", {"detail": "closed for today"})
    words = "The conversation was ended by the organizer."

    await ada.sees_end("operator_ended", words, within=GOODBYE)

    # A window that was never in it.
    bob = await visit(address=address)
    await bob.sees_end("operator_ended", words, within=SOON)
    for visitor in (ada, bob):
        await expect(visitor.page.locator(".detail")).to_have_text("closed for today")
        await expect(visitor.button("Start a new interview")).to_have_count(0)
    bob.problems.clear()  # Chromium's own, about the answer 410
    assert len(bob.token_requests) == 1

    # The window that remembers its end takes other invitations.
    to = Invite(identity="ada", room=f"{room}-late")
    late = invite(to, api_key=house.server.key, secret=house.server.secret, now=time.time() - 2 * INVITE_TTL)
    await ada.page.goto(f"{house.address}#invite={late}")
    await expect(ada.page.get_by_role("alert")).to_contain_text("You could not be let in")
    assert await ada.barriers() == []
    ada.problems.clear()  # Chromium's own, about the answer 401
    good = await call(house, "invites", {"identity": "ada", "room": f"{room}-next"})
    await ada.page.goto(f"{house.address}#invite={good['invite']}")
    await expect(ada.button("Start the interview")).to_be_visible()
    assert not {each for each in await rooms(house) if each.startswith(f"{room}-")}


async def test_an_end_during_a_lost_network_is_shown_when_it_returns_at_the_latest(visit: Visit, house: House) -> None:
    ada, told = await in_talk(visit)
    await ada.page.context.set_offline(offline=True)
    await ada.sees_status("Your connection was lost. Reconnecting…")
    await call(house, f"sessions/{told['room_name']}/end", {})
    async with asyncio.timeout(GOODBYE / 1000):
        while told["room_name"] in await rooms(house):
            await asyncio.sleep(0.2)
    await ada.page.context.set_offline(offline=False)
    await ada.sees_end("operator_ended", "The conversation was ended by the organizer.", within=SOON)
    ada.problems.clear()  # Chromium's own, about the network that was gone
    assert told["room_name"] not in await rooms(house)
