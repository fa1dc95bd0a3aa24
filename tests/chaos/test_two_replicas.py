"""Two replicas on one PostgreSQL, hundreds of sessions at once, one replica killed in the middle of their ends."""

from __future__ import annotations

import asyncio
import os
import random
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from livekit.protocol import models

from roomkeeper.control.store.engine import open_engine
from roomkeeper.control.store.store import Store
from roomkeeper.control.store.tables import outbox
from roomkeeper.lifecycle.replay import replay
from roomkeeper.lifecycle.state import State
from tests.chaos.matrix import database
from tests.chaos.planes import PlaneProcess, Receiver
from tests.chaos.twirp import HttpRoomServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

SESSIONS = int(os.environ.get("ROOMKEEPER_CHAOS_SESSIONS", "60"))
ENDS_A_SECOND = float(os.environ.get("ROOMKEEPER_CHAOS_ENDS", "10"))
"""What one replica is left with, beside the room server, the receiver and the database on the same machine."""
LINGER = 1.0
LONGEST_WAIT = 5.0 if "ROOMKEEPER_CHAOS_SESSIONS" in os.environ else 15.0
"""Seconds that nothing waits longer than, whoever was to do it; `make test` runs other tests on the same cores."""


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[str]:
    async with database("postgresql", tmp_path) as url:
        yield url


async def until(event: asyncio.Event, holds: Callable[[], bool], what: str, within: float) -> None:
    """Wait until something holds, looking whenever the event says that something changed."""
    try:
        async with asyncio.timeout(within):
            while not holds():
                event.clear()
                await event.wait()
    except TimeoutError:
        raise AssertionError(f"{what} did not come within {within:g} s") from None


@pytest.mark.timeout(400)
async def test_a_replica_killed_among_many_ends_loses_none_and_none_waits_long(tmp_path: Path, postgres: str) -> None:
    receiver = Receiver()
    await receiver.up()
    hooks: list[str] = []
    rooms = HttpRoomServer(hooks, random.Random(7))
    await rooms.up()
    policy = {"linger": LINGER, "agent_timeout": 30}
    planes = [PlaneProcess(tmp_path, postgres, rooms.url, receiver.url, policy) for _ in range(2)]
    try:
        for plane in planes:
            await plane.start()
            hooks.append(plane.hooks)
        names = [f"room-{number}" for number in range(SESSIONS)]
        for name in names:
            rooms.join(name, "ann")
            rooms.join(name, "agent", agent=True)
            rooms.flush()
        await until(rooms.changed, lambda: len(rooms.live_at) == SESSIONS, "live rooms", 30 + SESSIONS / 5)

        left_at = await _let_agents_leave(rooms, names, planes[0])
        clock = asyncio.get_running_loop().time
        await until(rooms.changed, lambda: len(rooms.gone_at) == SESSIONS, "every room's end", 60)
        await until(receiver.arrived, lambda: len(receiver.effects) >= SESSIONS, "every report", 60)
        over_at = clock()

        told = [rooms.ended_at[name] - left_at[name] for name in names]
        gone = [rooms.gone_at[name] - rooms.ended_at[name] - LINGER for name in names]
        assert not receiver.refused
        assert all(len(bodies) == 1 for bodies in receiver.bodies.values())
        async with open_engine(postgres) as engine:
            store = Store(engine)
            found = {name: await store.find(name) for name in names}
            wait = []
            for name, session in found.items():
                assert session is not None
                assert session.state is State.ENDED
                assert (session.generation, session.report) == (1, 1)
                assert replay(await store.journal(session.id)) == session
                [delivery] = [one for one, about in receiver.sessions.items() if about == session.id]
                wait.append(receiver.effects[delivery] - left_at[name])
            async with engine.connect() as connection:
                assert not (await connection.execute(sa.select(sa.func.count()).select_from(outbox))).scalar_one()
        figures = f"told {max(told):.2f} s, room gone {max(gone):.2f} s after its linger, reported {max(wait):.2f} s"
        print(f"{SESSIONS} sessions, at the longest: {figures}; {receiver.tries} posts")  # noqa: T201 - `-s` shows it
        assert max(*told, *gone, *wait) < LONGEST_WAIT, figures
        assert over_at - max(left_at.values()) < LONGEST_WAIT + LINGER
    finally:
        for plane in planes:
            await plane.kill()
        await rooms.down()
        await receiver.down()


async def _let_agents_leave(rooms: HttpRoomServer, names: list[str], victim: PlaneProcess) -> dict[str, float]:
    """Let every agent leave, one after the other; kill a replica when a third is gone."""
    clock = asyncio.get_running_loop().time
    left_at: dict[str, float] = {}
    begun = clock()
    for number, name in enumerate(names):
        await asyncio.sleep(max(0.0, begun + number / ENDS_A_SECOND - clock()))  # the load that is to be measured
        left_at[name] = clock()
        rooms.leave(name, "agent", models.CLIENT_INITIATED)
        rooms.flush()
        if number == len(names) // 3:
            await victim.kill()
    return left_at
