"""A run: conversations, a room server, two replicas, a receiver, and whatever goes wrong between them, by one seed."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from roomkeeper.control.room_api import RoomApiFailed
from roomkeeper.control.store.store import Store
from roomkeeper.control.store.tables import deliveries, outbox, sessions
from roomkeeper.errors import IllegalCall
from roomkeeper.lifecycle.events import Noted
from roomkeeper.lifecycle.replay import replay
from roomkeeper.lifecycle.state import State
from tests.chaos.conversations import ALLOWED, Conversation
from tests.chaos.faults import Crash, Faults
from tests.chaos.replica import Backend, Replica
from tests.chaos.world import FakeRoomApi, RoomServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.lifecycle.actions import AcceptJob, EndAgent, FenceJob, MuteAgent, Warn
    from roomkeeper.lifecycle.state import Session

STORM = 120.0
"""Virtual seconds in which things go wrong; then everything must come to its end."""
CALM = 600.0
"""Virtual seconds for that."""


class Clock:
    """Milliseconds, passed by the driver."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@dataclass
class Place:
    """Where a replica runs.

    Attributes:
        up_at: When it starts again; 0: it runs.
        resume_at: When it goes on, if it was stopped.
    """

    name: str
    faults: Faults
    replica: Replica | None = None
    up_at: int = 0
    resume_at: int = 0
    looked_at: int = 0
    stopped: asyncio.Task[None] | None = field(default=None, repr=False)


class Simulation:
    """One run.

    Args:
        seed: Says everything that happens.
        engine: An open database; what other runs left in it is in peace.
        clock: Goes on from run to run, since the database remembers.
        replicas: How many processes; 1 on SQLite, in the real world.
        rooms: How many conversations.
    """

    def __init__(self, seed: int, engine: AsyncEngine, clock: Clock, *, replicas: int = 2, rooms: int = 3) -> None:
        self.seed = seed
        self._engine = engine
        self._clock = clock
        self._chance = random.Random(seed)
        self._server = RoomServer()
        self._backend = Backend()
        self._conversations = {
            name: Conversation(name, self._server, clock, self._chance)
            for name in (f"room-{seed}-{number}" for number in range(rooms))
        }
        crash = self._chance.choice([0.0, 0.005, 0.02, 0.05])
        pause = self._chance.choice([0.0, 0.005, 0.02])
        self._places = [
            Place(f"r{seed}-{number}", Faults(self._chance, crash=crash, pause=pause)) for number in range(replicas)
        ]
        self._lossy = self._chance.choice([0.0, 0.1, 0.4])
        self._failing = self._chance.choice([0.0, 0.05, 0.2])
        self.sent = 0

    # -- hearing the control plane ------------------------------------------------------------------------------------

    async def tell(self, session: Session, action: AcceptJob | FenceJob | MuteAgent | EndAgent | Warn) -> None:
        """Reach an agent; see `carrier.Agents`."""
        self._conversations[session.room].hear(action)

    # -- running ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until all is over.

        Raises:
            AssertionError: Something did not hold; the message has the seed and what went wrong before it.
        """
        begun = self._clock.now
        calm_at, over_at = begun + int(STORM * 1000), begun + int((STORM + CALM) * 1000)
        try:
            while not await self._over():
                if self._clock.now >= calm_at:
                    self._calm()
                assert self._clock.now < over_at, "it did not come to an end"
                await self._step()
            await self._check()
        except (AssertionError, IllegalCall) as error:
            raise AssertionError(f"seed {self.seed}: {error}\n{await self._story()}") from error
        finally:
            for place in self._places:
                place.faults.kill_stopped()
                if place.stopped is not None:
                    place.stopped.cancel()
                    await asyncio.gather(place.stopped, return_exceptions=True)

    def _calm(self) -> None:
        for place in self._places:
            place.faults.calm()
        self._lossy = self._failing = 0.0
        self._backend.up = True

    async def _step(self) -> None:
        self._clock.now += self._chance.choice([200, 500, 1000, 2000])
        self._backend.up = self._lossy == 0 or self._chance.random() > self._lossy
        for conversation in self._conversations.values():
            conversation.act()
        self._reach_workers()
        for place in self._places:
            await self._resume(place)
            if place.stopped is None and place.up_at <= self._clock.now:
                await self._work(place)

    def _reach_workers(self) -> None:
        for room, wanted in self._server.dispatched[self.sent :]:
            self._conversations[room].dispatched(wanted.epoch)
        self.sent = len(self._server.dispatched)

    async def _resume(self, place: Place) -> None:
        if place.stopped is not None and place.resume_at <= self._clock.now:
            place.faults.resume()
            task, place.stopped = place.stopped, None
            await self._until_over(place, task)

    async def _work(self, place: Place) -> None:
        """Let a replica do everything it has to do now, in any order."""
        if place.replica is None:
            api = FakeRoomApi(self._server, place.faults, self._chance)
            arguments = (self._engine, self._clock, api, self, self._backend, place.faults, self._chance)
            place.replica = Replica(f"{place.name}-{self._clock.now}", *arguments)
            api.failing = self._failing
            if not await self._do(place, place.replica.start):
                return
        replica = place.replica
        chores: list[Callable[[], Awaitable[object]]] = [
            lambda: self._webhooks(replica),
            lambda: replica.work(5),
            replica.deliveries.deliver_due,
            *(lambda one=one: one.ship(replica.store, replica.adoption) for one in self._conversations.values()),
        ]
        if self._clock.now - place.looked_at >= 5000:
            place.looked_at = self._clock.now
            chores.append(lambda: self._look(replica))
        self._chance.shuffle(chores)
        for chore in chores:
            if not await self._do(place, chore):
                return

    async def _look(self, replica: Replica) -> None:
        try:
            await replica.reconciler.compare()
        except RoomApiFailed:
            return

    async def _webhooks(self, replica: Replica) -> None:
        """Tell what happened: dropped, doubled, in another order; never, if nobody takes it."""
        waiting, self._server.webhooks = self._server.webhooks, []
        if self._chance.random() < self._lossy:
            self._chance.shuffle(waiting)
        for number, event in enumerate(waiting):
            draw = self._chance.random()
            if draw < self._lossy / 3:
                continue
            if draw < self._lossy * 2 / 3:
                self._server.webhooks.append(event)
            rest = waiting[number:]
            self._server.webhooks += rest  # unless it is answered, it comes again
            await replica.hooks.take(event)
            del self._server.webhooks[len(self._server.webhooks) - len(rest) :]

    async def _do(self, place: Place, chore: Callable[[], Awaitable[object]]) -> bool:
        """Let a replica do something; returns False if it died or was stopped."""

        async def whole() -> None:
            await chore()

        return await self._until_over(place, asyncio.create_task(whole()))

    async def _until_over(self, place: Place, task: asyncio.Task[None]) -> bool:
        stop = asyncio.create_task(place.faults.stopped.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        await asyncio.gather(stop, return_exceptions=True)
        if not task.done():
            place.stopped = task
            place.resume_at = self._clock.now + self._chance.choice([500, 4_000, 15_000, 60_000])
            return False
        try:
            task.result()
        except Crash:
            place.replica = None
            place.up_at = self._clock.now + self._chance.choice([0, 1_000, 10_000, 45_000])
            return False
        return True

    # -- what must hold -----------------------------------------------------------------------------------------------

    async def _over(self) -> bool:
        if any(conversation.plot for conversation in self._conversations.values()):
            return False
        store = self._reader()
        for room in self._conversations:
            session = await store.find(room)
            conversation = self._conversations[room]
            if session is None and not conversation.session and not conversation.plot:
                conversation.nobody_noticed()
            elif session is None or not session.settled or not session.report or session.unreported:
                return False
        if self._server.rooms or any(
            job.spool for conversation in self._conversations.values() for job in conversation.jobs
        ):
            return False
        async with self._engine.connect() as connection:
            asked = (await connection.execute(sa.select(sa.func.count()).select_from(outbox))).scalar_one()
            late = sa.select(sa.func.count()).where(deliveries.c.delivered_at.is_(None))
            return not asked and not (await connection.execute(late)).scalar_one()

    async def _check(self) -> None:
        store = self._reader()
        for room, conversation in self._conversations.items():
            session = await store.find(room)
            if session is None and not conversation.session:
                continue  # never adopted: every word about its agent was lost
            assert session is not None
            journal = await store.journal(session.id)
            assert replay(journal) == session, f"{room}: the journal tells another story"
            assert session.state is State.ENDED
            assert session.end is not None
            reason, allowed = session.end.reason, ALLOWED[conversation.end]
            assert conversation.gave_up or reason in allowed, f"{room}: {conversation.end!r} ended as {reason}"
            assert conversation.gave_up or session.generation == 1, f"{room}: a second session"
            for job in conversation.jobs:
                lines = [event.seq for event in journal if isinstance(event, Noted) and event.job == job.id]
                assert sorted(set(lines)) == list(range(1, job.written + 1)), f"{room}: {job.id} told {lines}"
            wanted = [f"msg_{session.id}_{revision}" for revision in range(1, session.report + 1)]
            got = [name.rpartition("_")[0] for name in self._backend.effects if session.id in name]
            assert sorted(got) == sorted(wanted), f"{room}: reports {got}, not {wanted}"
        assert all(len(bodies) == 1 for bodies in self._backend.bodies.values()), "one id, two bodies"
        for there in self._server.past:
            numbers = [state["seq"] for state in there.shown]
            if there.shown and self._conversations[there.name].end != "deleted":
                assert there.shown[-1]["state"] == "ended", f"{there.name} was deleted before it was told: {numbers}"

    def _reader(self) -> Store:
        return Store(self._engine, clock=self._clock)

    async def _story(self) -> str:
        lines = [f"  {place.name}: {', '.join(place.faults.points[-12:])}" for place in self._places]
        for room, conversation in self._conversations.items():
            what = "linked" if conversation.linked else "stock"
            lines.append(f"  {room} ({what}, {conversation.end}), deliberately opened: {bool(conversation.session)}")
            async with self._engine.connect() as connection:
                query = sa.select(sessions.c.id).where(sessions.c.room == room).order_by(sessions.c.generation)
                names = (await connection.execute(query)).scalars().all()
            for name in names:
                session, journal = await self._reader().get(name), await self._reader().journal(name)
                lines.append(f"   {name}: {session.state}, {session.end}, {dict(session.timers)}")
                lines += [f"    {event.at % 10_000_000:>7} {event}"[:230] for event in journal]
        async with self._engine.connect() as connection:
            rows = (await connection.execute(sa.select(outbox))).all()
        return "\n".join([*lines, *(f"  asked: {row}" for row in rows)])
