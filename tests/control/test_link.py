"""The agent link in whole: a room server, control planes as processes, and workers that follow a script."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from roomkeeper.control.store.engine import open_engine
from roomkeeper.control.store.store import Store
from roomkeeper.lifecycle.events import (
    ControlStarted,
    DispatchAnswered,
    LeaseExpired,
    LinkLost,
    Noted,
    ParticipantRemoved,
)
from roomkeeper.lifecycle.reasons import Reason
from roomkeeper.lifecycle.replay import replay
from roomkeeper.lifecycle.state import State
from roomkeeper.wire import link
from roomkeeper.wire.tokens import Claims, VideoGrants
from tests.conformance.support.clients import Client
from tests.control.room_servers import KEY, KINDS, SECRET, lose_rooms, room_server
from tests.control.serving import Serve
from tests.control.test_stock_agents import session_in, wait_for_state
from tests.unit.control.link.conftest import served
from tests.unit.control.link.scripted import Worker, item, line, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from roomkeeper.lifecycle.events import Event, SessionOpened
    from tests.conformance.support.server import Server
    from tests.control.conftest import House

ADMIN = Claims(video=VideoGrants(room_admin=True))


@pytest.fixture
async def address(house: House) -> AsyncIterator[str]:
    """Serve the link of the control plane in this process."""
    async with served(house.plane.links, house.plane.journal) as address:
        yield address


@asynccontextmanager
async def linked(address: str, name: str = "worker-1", *jobs: str) -> AsyncIterator[Worker]:
    """A worker that says hello, and names its jobs every second."""
    async with Worker(address, name, secret=SECRET, key=KEY) as worker:
        await worker.hello()
        beating = asyncio.create_task(_beat(worker, *jobs))
        try:
            yield worker
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)


async def _beat(worker: Worker, *jobs: str) -> None:
    while True:
        await worker.say(link.Heartbeat(n=0, jobs=jobs))
        await asyncio.sleep(link.HEARTBEAT)


def lines_of(journal: list[SessionOpened | Event], *kinds: type) -> list[str]:
    """Return the events of some kinds, in order, by name."""
    return [type(event).__name__ for event in journal if isinstance(event, kinds)]


@pytest.mark.parametrize("house", KINDS[:1], indirect=True)
async def test_a_silent_workers_agent_is_removed_before_the_next_is_sent_for(
    house: House, address: str, tea: str
) -> None:
    user = await house.join("ann", tea)
    async with linked(address, "worker-1", "AJ_1") as worker:
        ghost = await house.join("agent-AJ_1", tea, agent=True)
        live = await wait_for_state(user, "live")
        attached = await worker.attached(room=tea, identity="agent-AJ_1", room_sid=await user.room.sid)
        assert attached.session == live["session"]
        await worker.ship([item(1)])
        worker.vanish()
    await ghost.wait_for_disconnect(within=15)
    house.clients.remove(ghost)
    await wait_for_state(user, "recovering")
    async with linked(address, "worker-2", "AJ_2") as worker:
        later = await worker.attached("AJ_2", tea, session=attached.session, epoch=2, room_sid=await user.room.sid)
        assert (later.epoch, later.resumed) == (2, True)
        await house.join("agent-AJ_2", tea, agent=True)
        await wait_for_state(user, "live")
    journal = await house.plane.store.journal(attached.session)
    order = lines_of(journal, LinkLost, LeaseExpired, ParticipantRemoved, DispatchAnswered)
    assert order[:4] == ["LinkLost", "LeaseExpired", "ParticipantRemoved", "DispatchAnswered"]
    before = None
    while before != (session := await session_in(house, tea)):  # something may happen between two queries
        before, journal = session, await house.plane.store.journal(session.id)
    assert replay(journal) == session


@pytest.fixture
async def server(tmp_path: Path, tea: str) -> AsyncIterator[Server]:
    async with room_server(KINDS[0], tmp_path, tea) as found:
        yield found


@pytest.fixture
def planes(tmp_path: Path, database_url: str, server: Server) -> Iterator[Callable[[str], Serve]]:
    """Make control planes on one database; all are dead at the end."""
    with ExitStack() as stack:

        def make(name: str) -> Serve:
            plane = Serve(tmp_path / name, database_url, server.http, KEY, SECRET)
            stack.callback(plane.kill)
            return plane.start()

        yield make


async def journal_of(database: str, session: str) -> list[SessionOpened | Event]:
    async with open_engine(database) as engine:
        return await Store(engine).journal(session)


async def ask(plane: Serve, method: str, path: str, body: object = None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token(ADMIN, secret=SECRET, key=KEY)}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.request(method, f"{plane.address}/api/sessions/{path}", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        said: dict[str, Any] = await answer.json()
        return said


async def until(plane: Serve, session: str, state: str, within: float = 30.0) -> dict[str, Any]:
    """Wait until a session is in a state; another process moves it."""
    async with asyncio.timeout(within):
        while (said := await ask(plane, "GET", f"{session}/state"))["state"] != state:
            await asyncio.sleep(0.1)
    return said


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_an_end_in_a_spool_beats_a_lost_room_after_a_killed_control_plane(
    planes: Callable[[str], Serve],
    database_url: str,
    server: Server,
    tea: str,
) -> None:
    """Everything is gone at once: the control plane, the room, the worker. The spool says that all was well."""
    plane = planes("one")
    user = Client("ann")
    await user.connect(server.ws, server.token("ann", room=tea))
    async with linked(plane.address, "worker-1", "AJ_1") as worker:
        attached = await worker.attached(room=tea, room_sid=await user.room.sid)
        await worker.ship([item(1)])
        plane.kill()
        assert (await worker.closed())[0] == 1006
    await user.close()
    await lose_rooms(server, tea)
    plane.start()
    async with linked(plane.address, "worker-2") as heir:
        again = await heir.attach(room=tea, room_sid="RM_gone")
        assert isinstance(again[0], link.Attached)
        assert again[0].seq == 1
        assert await heir.ship([item(2), line(3, "end", reason="completed", detail="all asked")]) == 3
        assert (await heir.over(link.Lost(job="AJ_1"))).over
    ended = await until(plane, attached.session, "ended")
    assert (ended["reason"], ended["detail"]) == ("completed", "all asked")
    report = await ask(plane, "GET", f"{attached.session}/report")
    assert ([each["id"] for each in report["items"]], report["gaps"]) == (["item_1", "item_2"], [])
    plane.kill()
    journal = await journal_of(database_url, attached.session)
    assert lines_of(journal, ControlStarted, LeaseExpired) == ["ControlStarted"]
    assert len([event for event in journal if isinstance(event, Noted)]) == 3


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_any_replica_reaches_a_job_and_any_replica_takes_its_worker(
    planes: Callable[[str], Serve],
    database_url: str,
    tea: str,
) -> None:
    one, two = planes("one"), planes("two")
    async with linked(two.address, "worker-1", "AJ_1") as worker:
        first = await worker.attached(room=tea, agent_name="interviewer")
        await worker.ship([item(1)])
        two.kill()
        assert (await worker.closed())[0] == 1006
    async with linked(one.address, "worker-1", "AJ_1") as worker:
        again = await worker.attached(room=tea)
        assert (again.session, again.epoch, again.seq) == (first.session, 1, 1)
        await asyncio.sleep(link.LEASE + 1)  # longer than a lease, and than a dead replica is waited for
        assert await worker.ship([item(2)]) == 2
        await asyncio.to_thread(two.start)  # the worker's heart beats on meanwhile
        began = time.monotonic()
        await ask(two, "POST", f"{first.session}/end", {"reason": "operator_ended", "detail": "closing time"})
        ending = await worker.hear(link.EndNow)
        assert (ending.reason, ending.detail) == ("operator_ended", "closing time")
        assert time.monotonic() - began < 3.0
        assert (await worker.over(link.Done(job="AJ_1"))).over
    ended = await until(one, first.session, "ended")
    assert ended["reason"] == Reason.OPERATOR_ENDED
    one.kill()
    two.kill()
    journal = await journal_of(database_url, first.session)
    session = replay(journal)
    assert (session.state, session.current, session.losses) == (State.ENDED, 1, ())
    assert lines_of(journal, LeaseExpired) == []
