"""Agents that do not know Roomkeeper: their sessions end once, everybody is told, and the room goes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from roomkeeper.lifecycle.reasons import Reason
from roomkeeper.lifecycle.replay import replay
from roomkeeper.lifecycle.state import State
from tests.control.room_servers import PATIENCE, WEBHOOKS

pytestmark = pytest.mark.timeout(240)

if TYPE_CHECKING:
    from roomkeeper.lifecycle.state import Session
    from tests.conformance.support.clients import Client
    from tests.control.conftest import House


def state_in(metadata: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(metadata or "{}").get("roomkeeper", {})
    return found


async def wait_for_state(client: Client, state: str, within: float = PATIENCE) -> dict[str, Any]:
    """Wait until a participant reads that state in the room's metadata."""
    async with asyncio.timeout(within):
        while state_in(client.room.metadata).get("state") != state:
            await client.wait_for("room_metadata_changed", within=within)
    return state_in(client.room.metadata)


def told(reason: str, *inferred: str) -> set[str]:
    """Return what an end may be for: what webhooks tell, or what follows from an absence alone."""
    return {reason} if WEBHOOKS else {reason, *inferred}


async def session_in(house: House, room: str) -> Session:
    session = await house.plane.store.find(room)
    assert session is not None
    return session


async def reason_of_end(house: House, room: str) -> Reason:
    """Wait until the room's session has ended; return why."""
    async with asyncio.timeout(2 * PATIENCE):
        while (end := (await session_in(house, room)).end) is None:
            await asyncio.sleep(0.1)
    return end.reason


async def test_an_agent_that_leaves_ends_the_session_and_the_user_reads_why(house: House, tea: str) -> None:
    user = await house.join("ann", tea)
    agent = await house.join("agent", tea, agent=True)
    live = await wait_for_state(user, "live")
    assert live["session"].startswith("S_")

    await house.leave(agent)
    ended = await wait_for_state(user, "ended")
    assert ended["session"] == live["session"]
    assert ended["reason"] in told("agent_left", "agent_failed", "agent_unavailable")
    assert ended["seq"] > live["seq"]
    await user.wait_for_disconnect()
    session = await session_in(house, tea)
    assert session.state is State.ENDED
    assert replay(await house.plane.store.journal(session.id)) == session


async def test_a_room_of_somebody_else_is_never_touched(house: House, theirs: str) -> None:
    user = await house.join("ann", theirs)
    other = await house.join("bob", theirs)
    await house.leave(other)
    round_ = await house.plane.reconciler.compare()
    assert await house.plane.store.find(theirs) is None
    assert user.room.metadata == ""
    assert round_.strange >= 1  # a server that runs already may have others' rooms


async def test_a_user_who_leaves_and_returns_within_the_hold_goes_on(house: House, tea: str) -> None:
    watcher = await house.join("agent", tea, agent=True)
    user = await house.join("ann", tea)
    await wait_for_state(watcher, "live")
    await house.leave(user)
    holding = await wait_for_state(watcher, "holding")
    assert holding["until"] is not None
    await house.join("ann", tea)
    live = await wait_for_state(watcher, "live")
    assert live["session"] == holding["session"]


async def test_a_user_who_does_not_return_ends_it_and_the_agent_is_freed(house: House, tea: str) -> None:
    agent = await house.join("agent", tea, agent=True)
    user = await house.join("ann", tea)
    await wait_for_state(agent, "live")
    await house.leave(user)
    await agent.wait_for_disconnect(within=2 * PATIENCE)
    assert await reason_of_end(house, tea) in told(Reason.USER_LEFT, Reason.USER_LOST)


async def test_a_deleted_room_is_the_applications_end(house: House, tea: str) -> None:
    user = await house.join("ann", tea)
    await house.join("agent", tea, agent=True)
    await wait_for_state(user, "live")
    session = await session_in(house, tea)
    await house.plane.rooms.delete(tea, sid=session.room_sid, session=session.id)
    await user.wait_for_disconnect()
    assert await reason_of_end(house, tea) in told(Reason.ROOM_DELETED, Reason.ROOM_LOST)


async def test_a_room_that_an_old_token_makes_again_is_gone_within_seconds(house: House, tea: str) -> None:
    user = await house.join("ann", tea)
    agent = await house.join("agent", tea, agent=True)
    session = (await wait_for_state(user, "live"))["session"]
    await house.leave(agent)
    await user.wait_for_disconnect(within=PATIENCE)
    zombie = await house.join("ann-again", tea, attributes={"roomkeeper.session": session})
    await zombie.wait_for_disconnect(within=5 if WEBHOOKS else 10)
    again = await house.plane.store.find(tea)
    assert again is not None
    assert (again.id, again.generation) == (session, 1)


async def test_what_no_webhook_told_is_found_by_looking(house: House, tea: str) -> None:
    house.plane.hooks.take = lambda _: asyncio.sleep(0, result=False)  # type: ignore[method-assign,assignment]
    user = await house.join("ann", tea)
    await house.join("agent", tea, agent=True)
    live = await wait_for_state(user, "live", within=max(15, PATIENCE))
    assert live["session"].startswith("S_")
