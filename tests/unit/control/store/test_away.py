"""The control plane is away for ten virtual minutes: what happened meanwhile is found, and nothing is invented."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from livekit.protocol import models

from roomkeeper.lifecycle.events import AgentAttached, AgentDone, AgentLost, EndAsked, GoodbyeOver, Noted, SessionOpened
from roomkeeper.lifecycle.policy import Policy
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.replay import replay
from roomkeeper.lifecycle.state import State
from tests.chaos.faults import Faults
from tests.chaos.replica import Backend, Replica
from tests.chaos.world import AGENT, FakeRoomApi, RoomServer

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.lifecycle.actions import AcceptJob, EndAgent, FenceJob, MuteAgent, Warn
    from roomkeeper.lifecycle.events import Event
    from roomkeeper.lifecycle.state import Session
    from tests.unit.control.conftest import Clock

AWAY = 600
POLICY = Policy(hold_web=60, agent_timeout=20, linger=1)
LINES = 40


class House:
    """Rooms, a control plane that comes and goes, and agents whose workers keep their spools."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self.server, self.backend = RoomServer(), Backend()
        self.plane = self._start()
        self.told: list[str] = []

    def _start(self) -> Replica:
        chance = random.Random(1)
        faults = Faults(chance, crash=0, pause=0)
        api = FakeRoomApi(self.server, faults, chance)
        return Replica(f"r{self._clock.now}", self._engine, self._clock, api, self, self.backend, faults, chance)

    async def tell(self, session: Session, action: AcceptJob | FenceJob | MuteAgent | EndAgent | Warn) -> None:
        """Hear what agents are told."""
        self.told.append(f"{session.room} {type(action).__name__}")

    async def live(self, room: str, *, linked: bool = True) -> None:
        """Bring a session to life."""
        await self.plane.store.open(
            SessionOpened(at=0, session=f"S_{room}", room=room, agent_name=AGENT, policy=POLICY)
        )
        self.server.join(room, "ann")
        self.server.join(room, f"agent-{room}", agent=True)
        if linked:
            await self.say(room, AgentAttached(at=0, job=f"AJ_{room}", identity=f"agent-{room}"))
        await self.pass_by(2)
        assert (await self.session(room)).state is State.LIVE

    async def say(self, room: str, *events: Event) -> None:
        """Ship lines of a spool."""
        await self.plane.store.tell(f"S_{room}", *events)

    async def session(self, room: str) -> Session:
        """Read a session."""
        return await self.plane.store.get(f"S_{room}")

    async def pass_by(self, seconds: int) -> None:
        """Let time pass while the control plane runs."""
        for second in range(seconds):
            self._clock.pass_by(1)
            waiting, self.server.webhooks = self.server.webhooks, []
            for event in waiting:
                await self.plane.hooks.take(event)
            if second % 5 == 0:
                await self.plane.reconciler.compare()
            await self.plane.work(200)
            await self.plane.deliveries.deliver_due()

    def away(self, seconds: float) -> None:
        """Let time pass without it; LiveKit gives webhooks up after 15 s."""
        self._clock.pass_by(seconds)
        self.server.webhooks.clear()

    async def back(self) -> None:
        """Start it again."""
        self.plane = self._start()
        await self.plane.start()


@pytest.fixture
def house(engine: AsyncEngine, clock: Clock) -> House:
    return House(engine, clock)


def lines(job: str, first: int, last: int) -> list[Event]:
    return [Noted(at=0, job=job, seq=number, what="item") for number in range(first, last + 1)]


async def test_after_ten_minutes_away_no_talk_is_ended_that_goes_on(house: House) -> None:
    await house.live("stays")
    await house.live("returns")
    await house.live("stock", linked=False)
    house.server.leave("returns", "ann", models.CONNECTION_TIMEOUT)
    house.away(AWAY / 2)
    house.server.join("returns", "ann")
    house.away(AWAY / 2)
    await house.back()
    await house.pass_by(60)
    for room in ("stays", "returns", "stock"):
        assert (await house.session(room)).state is State.LIVE, room
        assert room in house.server.rooms


async def test_an_end_that_an_agent_journaled_meanwhile_beats_the_loss_of_its_room(house: House) -> None:
    for room in ("early", "late"):
        await house.live(room)
        house.server.delete(room)  # its agent was done; the room closed as rooms do
    house.away(AWAY)
    await house.back()
    for room, wait in (("early", 1), ("late", 24)):
        await house.pass_by(wait)
        assert (await house.session(room)).end is None, "nothing is inferred while spools may still come"
        job = f"AJ_{room}"
        asked = EndAsked(at=0, reason=Reason.COMPLETED, by=By.AGENT, job=job, detail="all asked")
        done = (GoodbyeOver(at=0, job=job), AgentDone(at=0, job=job))
        await house.say(room, *lines(job, 1, LINES), asked, *done)
    await house.pass_by(60)
    for room in ("early", "late"):
        session = await house.session(room)
        assert session.end is not None
        assert (session.state, session.end.reason) == (State.ENDED, Reason.COMPLETED)
        journal = await house.plane.store.journal(session.id)
        assert [event.seq for event in journal if isinstance(event, Noted)] == list(range(1, LINES + 1))
        assert replay(journal) == session
        assert [name for name in house.backend.effects if session.id in name]


async def test_a_hold_that_ran_out_meanwhile_ends_once_its_absence_is_proved(house: House) -> None:
    await house.live("leaves")
    house.server.leave("leaves", "ann", models.CLIENT_INITIATED)
    await house.pass_by(1)
    house.away(AWAY)
    await house.back()
    await house.pass_by(20)
    assert (await house.session("leaves")).state is State.HOLDING
    await house.pass_by(40)
    session = await house.session("leaves")
    assert session.end is not None
    assert session.end.reason is Reason.USER_LEFT
    assert "leaves" not in house.server.rooms


async def test_of_a_job_that_died_meanwhile_every_line_is_kept_and_the_user_gets_another(house: House) -> None:
    await house.live("dies")
    house.server.leave("dies", "agent-dies", models.CONNECTION_TIMEOUT)
    house.away(AWAY)
    await house.back()
    await house.pass_by(5)
    await house.say("dies", *lines("AJ_dies", 1, LINES), AgentLost(at=0, job="AJ_dies", exit=-9))
    await house.pass_by(5)
    session = await house.session("dies")
    assert session.state is State.RECOVERING
    assert [room for room, _ in house.server.dispatched] == ["dies"] * len(house.server.dispatched) != []
    await house.say("dies", AgentAttached(at=0, job="AJ_next", identity="next", epoch=session.current))
    house.server.join("dies", "next", agent=True)
    await house.pass_by(5)
    assert (await house.session("dies")).state is State.LIVE
    journal = await house.plane.store.journal(session.id)
    assert [event.seq for event in journal if isinstance(event, Noted)] == list(range(1, LINES + 1))
