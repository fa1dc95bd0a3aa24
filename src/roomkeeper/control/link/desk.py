"""Where one worker is served: its frames become what sessions are told, in order for each job, jobs side by side.

What was received is done, also if the connection breaks right after it: a worker that says `done` and exits has said
it. An acknowledgement is sent after the commit, never before.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from starlette.websockets import WebSocketDisconnect

from roomkeeper.control.link import answers, lines
from roomkeeper.control.link.finding import NotKept
from roomkeeper.control.link.socket import Misuse
from roomkeeper.control.store.store import NoSuchSession
from roomkeeper.lifecycle.actions import Ignored
from roomkeeper.lifecycle.events import AgentAttached, AgentDone, AgentLost, AgentYielded, LinkLost, RoomStarted
from roomkeeper.lifecycle.state import State
from roomkeeper.wire.link import (
    MAX_JOBS,
    Ack,
    Attach,
    Done,
    End,
    Events,
    Fenced,
    Heartbeat,
    Hello,
    Lost,
    Refused,
    Yield,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from roomkeeper.control.link.finding import Finding
    from roomkeeper.control.link.socket import Socket
    from roomkeeper.control.store.links import LinkStore
    from roomkeeper.control.store.store import Store, Told
    from roomkeeper.lifecycle.events import Event
    from roomkeeper.lifecycle.state import Session
    from roomkeeper.wire.link import FromControl

PENDING: Final = 128
"""Frames of one worker that are being worked on; while there are more, it is not read."""


@dataclass(slots=True)
class Office:
    """What all desks share.

    Attributes:
        store: The sessions.
        links: Leases and jobs.
        finding: Says which session a job belongs to.
        desks: Who serves a job here, by job.
        wake: Called when there is something to carry out.
    """

    store: Store
    links: LinkStore
    finding: Finding
    desks: dict[str, Desk] = field(default_factory=dict)
    wake: Callable[[], None] = lambda: None


@dataclass(slots=True)
class Place:
    """A job as this connection knows it.

    Attributes:
        session: `S_…`.
        room_sid: The room it is in.
        seq: Its last line that is stored.
        gap: Where the last frame began that left a gap; None if none did.
        answered: False while its attach is being answered; what else it is to be told waits in `held`.
    """

    session: str
    room_sid: str
    seq: int = 0
    gap: int | None = None
    answered: bool = False
    fenced: bool = False
    held: list[FromControl] = field(default_factory=list)


class Desk:
    """Serves one connection of a worker.

    Args:
        hello: Its first frame.
        socket: The connection.
        office: What all desks share.
    """

    def __init__(self, hello: Hello, socket: Socket, office: Office) -> None:
        self.worker = hello.worker
        self.connection = secrets.token_hex(8)
        self._socket = socket
        self._office = office
        self._places: dict[str, Place] = {}
        self._silent: frozenset[str] = frozenset()
        self._lanes: dict[str, deque[Attach | Events | End | Lost | Yield | Done]] = {}
        self._free = asyncio.Semaphore(PENDING)
        self._group = asyncio.TaskGroup()

    @property
    def jobs(self) -> frozenset[str]:
        """The jobs that attached on this connection and are not over."""
        return frozenset(self._places)

    async def serve(self) -> None:
        """Serve until the connection ends, and then do what was received.

        Raises:
            Misuse: The worker broke the protocol.
            WebSocketDisconnect: It is gone.
        """
        ending: Misuse | WebSocketDisconnect
        async with self._group:
            try:
                await self._read()
            except (Misuse, WebSocketDisconnect) as over:
                ending = over
        raise ending

    async def leave(self) -> None:
        """Tell the sessions of this connection's jobs that it broke; jobs that are on another one by now are passed."""
        left = [job for job in self.jobs if self._office.desks.get(job) is self]
        for job in self._places:
            if self._office.desks.get(job) is self:
                del self._office.desks[job]
        for job in left:
            await self._office.store.tell(self._places[job].session, LinkLost(at=0, job=job))

    def tell(self, job: str, frame: FromControl) -> None:
        """Say something to a job; what a fence made void is kept back."""
        place = self._places[job]
        if not place.answered:
            place.held.append(frame)
            return
        if place.fenced and not isinstance(frame, Ack | Fenced | Refused):
            return
        place.fenced = place.fenced or isinstance(frame, Fenced)
        self._socket.send(frame)

    def dismiss(self) -> None:
        """End this connection: a later one of the same worker counts."""
        self._socket.stop("A later connection of this worker counts.")

    # -- reading ------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            frame = await self._socket.read()
            match frame:
                case None:
                    pass  # a newer worker says more than we understand
                case Heartbeat():
                    await self._beat(frame)
                case Hello():
                    raise Misuse("`hello` is said once.")
                case Events() if not lines.in_order(frame.events):
                    raise Misuse("`events.events` has to be in order, from line 1 on.")
                case _:
                    await self._queue(frame)

    async def _queue(self, frame: Attach | Events | End | Lost | Yield | Done) -> None:
        await self._free.acquire()
        lane = self._lanes.get(frame.job)
        if lane is None:
            lane = self._lanes[frame.job] = deque()
            self._group.create_task(self._work(frame.job, lane))
        lane.append(frame)

    async def _work(self, job: str, lane: deque[Attach | Events | End | Lost | Yield | Done]) -> None:
        while lane:
            frame = lane.popleft()
            try:
                await self._take(frame)
            except NoSuchSession:
                self._socket.send(Refused(why="its session is no longer stored", job=job))
            self._free.release()
        del self._lanes[job]

    async def _beat(self, frame: Heartbeat) -> None:
        links = self._office.links
        if not await links.beat(self.worker, self.connection):
            raise Misuse("This connection counts no longer; connect again.")
        silent = self.jobs - frozenset(frame.jobs)
        if silent != self._silent:
            await links.silence(silent - self._silent, (self._silent - silent) & self.jobs)
            self._silent = silent
        self._socket.send(Heartbeat(n=frame.n))

    async def _take(self, frame: Attach | Events | End | Lost | Yield | Done) -> None:
        if isinstance(frame, Attach):
            await self._attach(frame)
            return
        place = self._places.get(frame.job)
        if place is None:
            await self._strange(frame)
            return
        match frame:
            case Events():
                await self._events(place, frame)
            case End():
                await self._end(place, frame)
            case Yield():
                await self._move(place, AgentYielded(at=0, job=frame.job))
            case Lost():
                await self._over(place, AgentLost(at=0, job=frame.job, exit=frame.exit))
            case Done():
                await self._over(place, AgentDone(at=0, job=frame.job))

    # -- what workers say ---------------------------------------------------------------------------------------------

    async def _attach(self, frame: Attach) -> None:
        job, office = frame.job, self._office
        if job not in self._places and len(self.jobs) >= MAX_JOBS:
            self._socket.send(Refused(why=f"a worker has at most {MAX_JOBS} jobs", job=job))
            return
        session = await office.finding.session_of(frame)
        if isinstance(session, NotKept):
            self._socket.send(Refused(why=session.why, job=job))
            return
        # The lease first: a job that is in charge and whose worker dies must not be in charge for ever.
        await office.links.take(job, session=session.id, worker=self.worker, metadata=frame.metadata)
        place = self._places[job] = Place(session.id, frame.room_sid)
        office.desks[job] = self
        told = await self._move(place, AgentAttached(at=0, job=job, identity=frame.identity, epoch=frame.epoch))
        place.seq = lines.last_line(told.session, job)
        await self._answer(place, job, told)
        if _tells_of_room(told.session, frame):
            await self._move(place, RoomStarted(at=0, sid=frame.room_sid, told_by=f"job {job}"))

    async def _answer(self, place: Place, job: str, told: Told) -> None:
        office, session = self._office, told.session
        metadata = session.metadata
        if metadata is None:
            metadata = await office.links.first_metadata(session.id) or ""
        frames = answers.to_attach(session, told.actions, job, await office.store.now(), metadata)
        place.answered = True
        for frame in [*frames, Ack(job=job, seq=place.seq), *place.held]:
            self.tell(job, frame)
        place.held.clear()

    async def _events(self, place: Place, frame: Events) -> None:
        job, said = frame.job, frame.events
        insists = bool(said) and place.gap == said[0].seq

        def news(session: Session) -> Sequence[Event]:
            if lines.leaves_gap(session, job, said) and not insists:
                return ()
            return lines.events_of(session, job, said, place.room_sid)

        told = await self._office.store.tell_by(place.session, news)
        self._carry_out(told)
        # Nothing more is kept of a session whose data was deleted, and nothing more is wanted.
        purged = told.session.purged_at is not None and bool(said)
        place.seq = said[-1].seq if purged else lines.last_line(told.session, job)
        place.gap = said[0].seq if lines.leaves_gap(told.session, job, said) else None
        self.tell(job, Ack(job=job, seq=place.seq))
        for reason in lines.unknown_reasons(said):
            self.tell(job, Refused(why=f"{reason!r} is no reason to end", job=job))

    async def _end(self, place: Place, frame: End) -> None:
        reason = lines.reason_of(frame.reason)
        if reason is None:
            self.tell(frame.job, Refused(why=f"{frame.reason!r} is no reason to end", job=frame.job))
            return
        await self._move(place, lines.end_asked(frame.job, reason, frame.detail, frame.data))

    async def _over(self, place: Place, event: AgentLost | AgentDone) -> None:
        known = await self._office.links.known(event.job)
        if known is None or not known.over:
            await self._move(place, event)
            await self._office.links.close(event.job)
        # A worker's connection lasts for weeks and thousands of jobs: those that are over are kept in the store alone.
        del self._places[event.job]
        if self._office.desks.get(event.job) is self:
            del self._office.desks[event.job]
        self._socket.send(Ack(job=event.job, seq=place.seq, over=True))

    async def _strange(self, frame: Events | End | Lost | Yield | Done) -> None:
        """Answer about a job that did not attach here: one that is over is acknowledged, any other has to attach."""
        known = await self._office.links.known(frame.job) if isinstance(frame, Lost | Done) else None
        if known is not None and known.over:
            seq = lines.last_line(await self._office.store.get(known.session), frame.job)
            self._socket.send(Ack(job=frame.job, seq=seq, over=True))
        else:
            self._socket.send(Refused(why="say `attach` first", job=frame.job))

    async def _move(self, place: Place, event: Event) -> Told:
        told = await self._office.store.tell(place.session, event)
        self._carry_out(told)
        return told

    def _carry_out(self, told: Told) -> None:
        if any(not isinstance(action, Ignored) for action in told.actions):
            self._office.wake()


def _tells_of_room(session: Session, frame: Attach) -> bool:
    """Say whether a job in charge knows a room that the session has not heard of."""
    in_charge = session.agent.job == frame.job and session.state is not State.ENDED
    return in_charge and bool(frame.room_sid) and frame.room_sid not in session.sids
