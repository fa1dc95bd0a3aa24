"""How long rooms and participants last without what keeps them alive, and what the others are told."""

from __future__ import annotations

import asyncio
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from livekit import api, rtc
from livekit.protocol import models

from tests.conformance.support.stage import approximately

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conformance.support.clients import Client
    from tests.conformance.support.server import Kind
    from tests.conformance.support.signal import Signal
    from tests.conformance.support.stage import Outcomes, Scenario, Stage

CLIENT_APP = "tests.conformance.support.client_app"
ROOT = Path(__file__).parents[2]
Reason = rtc.DisconnectReason


async def an_empty_room_closes_after_its_empty_timeout(stage: Stage) -> None:
    created = await stage.create(empty_timeout=3, departure_timeout=60)
    await stage.closes(3, after=created)


async def a_room_with_only_a_dependent_closes_after_its_empty_timeout(stage: Stage, kind: Kind) -> None:
    created = await stage.create(empty_timeout=6, departure_timeout=60)
    dependent = await stage.signal("dependent", kind=kind)
    await stage.closes(6, after=created)
    leave = await dependent.wait_for("leave")
    assert leave.reason == models.ROOM_CLOSED


async def a_room_closes_after_its_departure_timeout(stage: Stage) -> None:
    await stage.create(empty_timeout=60, departure_timeout=3)
    left = await stage.goodbye(await stage.signal("ann"))
    await stage.closes(3, after=left)


async def a_left_room_closes_after_20_seconds_by_default(stage: Stage) -> None:
    left = await stage.goodbye(await stage.signal("ann"))
    await stage.closes(20, after=left)


async def a_participant_keeps_the_room_alive(stage: Stage, kind: Kind, *, hidden: bool = False) -> None:
    await stage.create(empty_timeout=6, departure_timeout=1)
    ann = await stage.signal("ann", kind=kind, hidden=hidden)
    await asyncio.sleep(8)  # longer than both timeouts
    assert await stage.is_live()
    left = await stage.goodbye(ann)
    await stage.closes(1, after=left)


async def an_agent_that_leaves_last_restarts_the_departure_timeout(stage: Stage) -> None:
    await stage.create(departure_timeout=5)
    ann, agent = await stage.signal("ann"), await stage.signal("agent", kind="agent")
    await stage.goodbye(ann)
    await asyncio.sleep(3)  # within the timeout
    left = await stage.goodbye(agent)
    await stage.closes(5, after=left)


async def an_agent_that_stays_does_not_hold_the_room(stage: Stage) -> None:
    await stage.create(departure_timeout=3)
    ann, agent = await stage.signal("ann"), await stage.signal("agent", kind="agent")
    left = await stage.goodbye(ann)
    await stage.closes(3, after=left)
    assert (await agent.wait_for("leave")).reason == models.ROOM_CLOSED


async def who_returns_in_time_finds_the_same_room(stage: Stage) -> None:
    await stage.create(empty_timeout=6, departure_timeout=5)
    await stage.goodbye(await stage.signal("ann"))
    await asyncio.sleep(1.5)  # within the timeout
    again = await stage.signal("ann")
    await asyncio.sleep(6)  # beyond both timeouts, had they run on
    assert await stage.is_live()
    left = await stage.goodbye(again)
    await stage.closes(5, after=left)


async def gone(watcher: Client, identity: str, within: float) -> rtc.RemoteParticipant:
    """Wait until somebody left."""
    event = await watcher.wait_for("participant_disconnected", lambda who: who.identity == identity, within=within)
    participant: rtc.RemoteParticipant = event.args[0]
    return participant


async def a_killed_client_is_lost_after_20_seconds(stage: Stage) -> None:
    watcher = await stage.join("watcher")
    token = stage.server.token("ann", room=stage.room)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", CLIENT_APP, stage.server.url, token, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 30)
    finally:
        process.kill()
        killed = time.monotonic()
        await process.wait()
    lost = await gone(watcher, "ann", within=30)
    assert lost.disconnect_reason == Reason.CONNECTION_TIMEOUT
    approximately(time.monotonic() - killed, 20.2, "the killed client was lost")


async def a_signal_that_closes_before_any_media_ends_the_participant_at_once(stage: Stage) -> None:
    watcher = await stage.signal("watcher")
    ann = await stage.signal("ann")
    await ann.ws.close()
    closed = time.monotonic()
    while await participants(stage) != {"watcher"}:
        assert time.monotonic() - closed < 2
        await asyncio.sleep(0.1)  # the room API has no event for it
    await left_with(watcher, "ann", models.SIGNAL_CLOSE)


async def participants(stage: Stage) -> set[str]:
    """Who is in the room, as the API says."""
    listed = await stage.lkapi.room.list_participants(api.ListParticipantsRequest(room=stage.room))
    return {each.identity for each in listed.participants}


async def left_with(watcher: Signal, identity: str, reason: int) -> None:
    """Wait until a participant is told to have left for that reason."""
    while True:
        update = await watcher.wait_for("update")
        for each in update.participants:
            if each.identity == identity and each.state == models.ParticipantInfo.DISCONNECTED:
                assert each.disconnect_reason == reason
                return


async def who_never_gets_media_is_removed_after_a_minute(stage: Stage) -> None:
    watcher = await stage.join("watcher")
    joined = time.monotonic()
    ann = await stage.signal("ann")
    await ann.closed(within=70)
    approximately(time.monotonic() - joined, 60, "the join failed")
    lost = await gone(watcher, "ann", within=5)
    assert lost.disconnect_reason == Reason.JOIN_FAILURE


SCENARIOS: Mapping[str, Scenario] = {
    function.__name__: function
    for function in (
        an_empty_room_closes_after_its_empty_timeout,
        a_room_closes_after_its_departure_timeout,
        a_left_room_closes_after_20_seconds_by_default,
        an_agent_that_leaves_last_restarts_the_departure_timeout,
        an_agent_that_stays_does_not_hold_the_room,
        who_returns_in_time_finds_the_same_room,
        a_killed_client_is_lost_after_20_seconds,
        a_signal_that_closes_before_any_media_ends_the_participant_at_once,
        who_never_gets_media_is_removed_after_a_minute,
    )
} | {
    "an_agent_alone_does_not_keep_the_room": partial(
        a_room_with_only_a_dependent_closes_after_its_empty_timeout, kind="agent"
    ),
    "a_recorder_alone_does_not_keep_the_room": partial(
        a_room_with_only_a_dependent_closes_after_its_empty_timeout, kind="egress"
    ),
    "a_user_keeps_the_room": partial(a_participant_keeps_the_room_alive, kind="standard"),
    "a_hidden_user_keeps_the_room": partial(a_participant_keeps_the_room_alive, kind="standard", hidden=True),
    "a_caller_keeps_the_room": partial(a_participant_keeps_the_room_alive, kind="sip"),
    "an_ingress_keeps_the_room": partial(a_participant_keeps_the_room_alive, kind="ingress"),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=[*SCENARIOS])
async def test_as_long_as_the_original(scenario: Scenario, outcomes: Outcomes) -> None:
    outcomes.of(scenario)
