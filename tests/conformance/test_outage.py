"""The users' network, cut on request: nothing passes, and then the same session goes on."""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from tests.conformance.support.clients import Joiner
from tests.conformance.support.server import Options
from tests.conformance.support.sound import hear_tone, listen

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

    from tests.conformance.support.server import ServerProcess

pytestmark = [pytest.mark.improvement, pytest.mark.own_server]
HZ = 523.0
SECONDS = 3


async def test_a_cut_network_is_silent_for_its_time_and_the_session_goes_on(
    start_server: Callable[[Options], ServerProcess],
    http: aiohttp.ClientSession,
    room: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ROOMKEEPER_SFU_OUTAGES", "true")
    server = start_server(Options()).server
    join = Joiner(server, room)
    async with aclosing(join):
        agent, user = await join("agent", kind="agent", agent=True), await join("ann")
        await user.speak(HZ)
        track = await agent.wait_for_track("ann")
        await hear_tone(track, HZ)
        token = server.token("operator", room_admin=True, room_join=False, room="")
        headers = {"Authorization": f"Bearer {token}"}
        async with http.post(f"{server.http}/outage", json={"seconds": SECONDS}, headers=headers) as said:
            assert await said.json() == {"users": 1}
        began = time.monotonic()
        async with aclosing(listen(track)) as windows:
            async for window in windows:
                if not window.is_tone(HZ):
                    break
            async for window in windows:
                if window.is_tone(HZ):
                    break
        assert time.monotonic() - began >= SECONDS - 1
        assert "ann" in agent.room.remote_participants
        assert not agent.saw("participant_disconnected")


async def test_nobody_but_an_administrator_cuts_anybody_off(
    start_server: Callable[[Options], ServerProcess], http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_server(Options()).server
    async with http.post(f"{server.http}/outage", json={"seconds": 1}) as said:
        assert said.status == 404  # not unless asked for
    monkeypatch.setenv("ROOMKEEPER_SFU_OUTAGES", "true")
    server = start_server(Options()).server
    user = {"Authorization": f"Bearer {server.token('ann', room='r')}"}
    admin = {"Authorization": f"Bearer {server.token('operator', room_admin=True, room_join=False, room='')}"}
    for headers, body, status in (
        ({}, '{"seconds": 1}', 401),
        (user, '{"seconds": 1}', 403),
        (admin, '{"seconds": 1e9}', 400),
        (admin, "never", 400),
    ):
        async with http.post(f"{server.http}/outage", data=body, headers=headers) as said:
            assert said.status == status
