"""What people and agents do in the simulation: who comes, who goes, how it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livekit.protocol import models

from roomkeeper.lifecycle.actions import AcceptJob, EndAgent, FenceJob, MuteAgent
from roomkeeper.lifecycle.events import (
    AgentAttached,
    AgentDone,
    AgentLost,
    EndAsked,
    GoodbyeOver,
    Noted,
    SessionOpened,
)
from roomkeeper.lifecycle.policy import Policy
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.vocabulary import Dispatcher
from tests.chaos.world import AGENT

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from roomkeeper.control.adoption import Adoption
    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.actions import Warn
    from roomkeeper.lifecycle.events import Event
    from tests.chaos.world import RoomServer

POLICY = Policy(hold_web=12, linger=1, join_timeout=20, agent_timeout=10)
LINKED_ENDS = ("completed", "user leaves", "deleted", "operator", "agent dies for good")
STOCK_ENDS = ("agent leaves", "user leaves", "deleted", "operator")
ALLOWED = {
    "completed": {Reason.COMPLETED},
    "operator": {Reason.OPERATOR_ENDED},
    # What webhooks did not tell is inferred from absence, which knows less about why.
    "user leaves": {Reason.USER_LEFT, Reason.USER_LOST, Reason.USER_NEVER_JOINED},
    "deleted": {
        *(Reason.ROOM_DELETED, Reason.ROOM_LOST, Reason.USER_LEFT, Reason.USER_LOST, Reason.USER_NEVER_JOINED),
        *(Reason.AGENT_FAILED, Reason.AGENT_UNAVAILABLE),
    },
    "agent leaves": {Reason.AGENT_LEFT, Reason.AGENT_FAILED, Reason.AGENT_UNAVAILABLE},
    "agent dies for good": {Reason.AGENT_FAILED, Reason.AGENT_UNAVAILABLE},
}


@dataclass
class Job:
    """An agent that knows Roomkeeper, and its spool.

    Attributes:
        spool: What is not acknowledged yet.
        written: How many lines it wrote.
    """

    id: str
    identity: str
    epoch: int | None
    room_sid: str
    spool: list[Event] = field(default_factory=list)
    written: int = 0
    accepted: bool = False
    over: bool = False

    def say(self, count: int) -> None:
        """Say something."""
        for _ in range(count):
            self.written += 1
            self.spool.append(Noted(at=0, job=self.id, seq=self.written, what="item", data={"text": f"{self.written}"}))


class Conversation:
    """One room: its user, its agents and its end.

    Args:
        room: Its name.
        server: Where it is.
        now: The time, milliseconds.
        chance: Seeded.
    """

    def __init__(self, room: str, server: RoomServer, now: Callable[[], int], chance: random.Random) -> None:
        self.room = room
        self._server = server
        self._now = now
        self._chance = chance
        self.linked = chance.random() < 0.6
        self.session = f"S_{room}" if chance.random() < 0.7 else ""  # else it is adopted, if that is noticed
        self.end = chance.choice(LINKED_ENDS if self.linked else STOCK_ENDS)
        self.jobs: list[Job] = []
        self.asks_operator = self.opened = self.gave_up = False
        self.workers = True
        self.plot: list[tuple[int, Callable[[], None]]] = []
        at = 0.0
        for act in self._acts():
            at += chance.uniform(0.3, 4)
            self.plot.append((now() + int(at * 1000), act))

    def _acts(self) -> list[Callable[[], None]]:
        acts: list[Callable[[], None]] = [self._user_comes, self._agent_comes, self._talk]
        for _ in range(self._chance.randrange(3)):
            acts += [self._user_goes, self._user_comes, self._talk]
        if self.linked and self.end != "agent dies for good" and self._chance.random() < 0.4:
            acts += [self._agent_dies, self._talk, self._talk, self._talk]
        return [*acts, self._ends]

    def act(self) -> None:
        """Do what is due."""
        while self.plot and self.plot[0][0] <= self._now() and (self.opened or not self.session):
            self.plot.pop(0)[1]()

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something later."""
        self.plot.append((self._now() + int(seconds * 1000), act))
        self.plot.sort(key=lambda one: one[0])

    @property
    def job(self) -> Job | None:
        """The agent that is there."""
        return next((job for job in reversed(self.jobs) if not job.over), None)

    def dispatched(self, epoch: int) -> None:
        """A dispatch reaches a worker, if there is one."""
        if self.linked and self.workers and not any(job.epoch == epoch for job in self.jobs):
            self.later(0.5, lambda: self._job_starts(epoch))

    def hear(self, action: AcceptJob | FenceJob | MuteAgent | EndAgent | Warn) -> None:
        """An agent is told something."""
        job = next((job for job in self.jobs if job.id == getattr(action, "job", "")), None)
        if job is None or job.over:
            return
        match action:
            case AcceptJob():
                job.accepted = True
            case FenceJob():
                self._job_goes(job)
            case EndAgent(goodbye=goodbye):
                if goodbye:
                    job.spool.append(GoodbyeOver(at=0, job=job.id))
                self._job_goes(job)
            case _:
                pass

    # -- acts ---------------------------------------------------------------------------------------------------------

    def _user_comes(self) -> None:
        self._server.join(self.room, "ann", session=self.session)

    def _user_goes(self) -> None:
        self._server.leave(self.room, "ann", self._chance.choice([models.CLIENT_INITIATED, models.CONNECTION_TIMEOUT]))

    def _agent_comes(self) -> None:
        if self.linked:
            self._job_starts(None)
        else:
            self._server.join(self.room, "agent", agent=True)

    def _job_starts(self, epoch: int | None) -> None:
        if self.room not in self._server.rooms:
            return
        sid = self._server.rooms[self.room].sid
        job = Job(f"AJ_{self.room}_{len(self.jobs) + 1}", f"agent-{self.room}-{len(self.jobs) + 1}", epoch, sid)
        job.spool.append(AgentAttached(at=0, job=job.id, identity=job.identity, epoch=epoch))
        self.jobs.append(job)
        self._server.join(self.room, job.identity, agent=True)

    def _talk(self) -> None:
        if self.job is not None:
            self.job.say(self._chance.randrange(1, 4))

    def _agent_dies(self) -> None:
        job = self.job
        if job is None:
            return
        job.over = True
        job.spool.append(AgentLost(at=0, job=job.id, exit=-9))
        self.later(3, lambda: self._server.leave(self.room, job.identity, models.CONNECTION_TIMEOUT))

    def _job_goes(self, job: Job) -> None:
        job.over = True
        job.spool.append(AgentDone(at=0, job=job.id))
        self._server.leave(self.room, job.identity, models.CLIENT_INITIATED)

    def _ends(self) -> None:
        match self.end:
            case "completed":
                self._completes()
            case "user leaves":
                self._user_goes()
            case "deleted":
                if self.room in self._server.rooms:
                    self._server.delete(self.room)
            case "operator":
                self.asks_operator = True
            case "agent leaves":
                self._server.leave(self.room, "agent", models.CLIENT_INITIATED)
            case _:
                self.workers = False
                self._agent_dies()

    def _completes(self) -> None:
        job = self.job
        if job is None or not job.accepted or not self._server.is_there(self.room, "ann"):
            if self.room in self._server.rooms:
                self.later(1, self._completes)  # nobody says goodbye to nobody
            else:
                self.gave_up = True  # it ended before the agent came to its end
            return
        job.say(1)
        job.spool.append(EndAsked(at=0, reason=Reason.COMPLETED, by=By.AGENT, job=job.id, detail="all asked"))
        job.spool.append(GoodbyeOver(at=0, job=job.id))
        self._job_goes(job)

    # -- towards the control plane ------------------------------------------------------------------------------------

    async def open(self, store: Store) -> None:
        """Open the session, as an application does before it gives tokens; again, if there was no answer."""
        opened = SessionOpened(
            at=0, session=self.session, room=self.room, agent_name=AGENT, dispatcher=Dispatcher.ROOM, policy=POLICY
        )
        await store.open(opened)
        self.opened = True

    def nobody_noticed(self) -> None:
        """The user of a room that was never adopted gives up."""
        self.gave_up = True
        if self.room in self._server.rooms:
            self._server.delete(self.room)

    async def ship(self, store: Store, adoption: Adoption) -> None:
        """Send what the spools hold, and what the operator asks for; what was not acknowledged is sent again."""
        if self.session and not self.opened:
            await self.open(store)
        if not (any(job.spool for job in self.jobs) or self.asks_operator):
            return
        session = await store.find(self.room)
        if session is None and self.jobs:
            session = await adoption.open_for_job(
                self.room, 1, AGENT, room_sid=self.jobs[0].room_sid
            )  # its room may be gone already
        if session is None:
            return
        if self.asks_operator:
            await store.tell(session.id, EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
            self.asks_operator = False
        for job in self.jobs:
            if job.spool:
                frame = tuple(job.spool)
                await store.tell(session.id, *frame)
                job.spool = [line for line in job.spool if not any(line is sent for sent in frame)]
