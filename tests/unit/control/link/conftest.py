"""The agent link over real sockets, on both databases, with a clock that a test moves and without a room server."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute

from roomkeeper.control.adoption import Adopters, Adoption
from roomkeeper.control.link.journal import Journal
from roomkeeper.control.link.links import Links
from roomkeeper.control.problems import EXCEPTION_HANDLERS
from roomkeeper.control.store.links import LinkStore
from roomkeeper.control.store.store import Store
from roomkeeper.lifecycle.actions import AcceptJob, EndAgent, FenceJob, MuteAgent, Warn
from roomkeeper.lifecycle.events import Noted, ParticipantJoined, RoomSeen, RoomStarted, SessionOpened
from roomkeeper.lifecycle.policy import Policy
from roomkeeper.lifecycle.vocabulary import Dispatcher, ParticipantKind
from roomkeeper.wire import link
from tests.unit.control.link.scripted import INTERVIEWER, KEY, SECRET, Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from livekit.protocol import models
    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.lifecycle.actions import Action
    from roomkeeper.lifecycle.state import Session
    from tests.unit.control.conftest import Clock

KEYS = {KEY: SECRET}
WORDS = (AcceptJob, FenceJob, MuteAgent, EndAgent, Warn)


@dataclass
class Rooms:
    """The room server, as far as the link asks it."""

    rooms: dict[str, models.Room] = field(default_factory=dict)

    async def find(self, room: str) -> models.Room | None:
        return self.rooms.get(room)

    async def look(self, room: str) -> RoomSeen:
        found = self.rooms.get(room)
        return RoomSeen(at=0, sid=found.sid if found is not None else None)


@asynccontextmanager
async def served(links: Links, journal: Journal) -> AsyncIterator[str]:
    """Serve the link and the journal; give the address."""
    app = Starlette(
        routes=[WebSocketRoute(link.PATH, links.endpoint), Mount("/api", routes=journal.routes())],
        exception_handlers=EXCEPTION_HANDLERS,
    )
    settings = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_level="error",
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=link.MAX_FRAME,
    )
    server = uvicorn.Server(settings)
    task = asyncio.create_task(server.serve())
    while not server.started:  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@dataclass
class Replica:
    """One replica of the control plane, as far as the link is concerned."""

    links: Links
    store: Store
    engine: AsyncEngine
    rooms: Rooms
    address: str
    woken: int = 0
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def worker(self, name: str = "worker-1") -> Worker:
        """Connect a worker that has said hello; it is gone at the end of the test."""
        worker = await self._stack.enter_async_context(Worker(self.address, name))
        await worker.hello()
        return worker

    async def open(self, session: str = "S_1", room: str = "tea", **more: Any) -> str:  # noqa: ANN401 - of SessionOpened
        """Open a session with a user in its room, who waits for an agent."""
        given = {"agent_name": INTERVIEWER, "dispatcher": Dispatcher.ROOMKEEPER, **more}
        await self.store.open(SessionOpened(at=0, session=session, room=room, **given))
        await self.store.tell(
            session, RoomStarted(at=0, sid="RM_1"), ParticipantJoined(at=0, sid="PA_ann", identity="ann")
        )
        return session

    async def agent_joins(self, job: str = "AJ_1", session: str = "S_1") -> None:
        """Let the agent of a job be seen in the room."""
        await self.store.tell(
            session,
            ParticipantJoined(
                at=0, sid=f"PA_{job}", identity=f"agent-{job}", kind=ParticipantKind.AGENT, agent_name=INTERVIEWER
            ),
        )

    async def live(self, worker: Worker, job: str = "AJ_1", session: str = "S_1", **more: Any) -> link.Attached:  # noqa: ANN401
        """Bring a session to life: user and agent are there, the job is attached."""
        await self.open(session, **more)
        attached = await worker.attached(job)
        await self.agent_joins(job, session)
        return attached

    async def carry_out(self, session: str, actions: tuple[Action, ...]) -> None:
        """Do what the carrier does with what jobs are to be told."""
        for action in actions:
            if isinstance(action, WORDS):
                await self.links.tell(await self.store.get(session), action)

    async def session(self, name: str = "S_1") -> Session:
        return await self.store.get(name)

    async def notes(self, session: str = "S_1") -> list[tuple[str, int, str]]:
        """Return which lines of which jobs are in the journal, in order."""
        journal = await self.store.journal(session)
        return [(event.job, event.seq, event.what) for event in journal if isinstance(event, Noted)]

    async def told(self, session: str = "S_1") -> list[str]:
        """Return what the session was told, by the names of the events."""
        return [type(event).__name__ for event in await self.store.journal(session)]


@asynccontextmanager
async def replica(
    engine: AsyncEngine, clock: Clock | None, name: str = "one", adopters: Adopters | None = None
) -> AsyncIterator[Replica]:
    """Run a replica on a database."""
    store, rooms = Store(engine, clock=clock), Rooms()
    policy = Policy(hold_web=60, linger=1)
    adoption = Adoption(store, cast("Any", rooms), adopters or Adopters(agents={INTERVIEWER: policy}), SECRET)
    links = Links(LinkStore(engine, store, name), store, cast("Any", rooms), adoption, KEYS)
    async with served(links, Journal(store, engine, KEYS)) as address:
        made = Replica(links, store, engine, rooms, address)

        def wake() -> None:
            made.woken += 1

        links.woken(wake)
        await links.watch()
        async with made._stack:
            yield made


@pytest.fixture
async def one(engine: AsyncEngine, clock: Clock) -> AsyncIterator[Replica]:
    async with replica(engine, clock) as made:
        yield made
