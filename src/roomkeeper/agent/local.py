"""The desk of a job: where it writes what happens, and asks its worker's parent to tell the control plane.

1. What happens goes to the spool, synchronously; the parent is only told that there is something new. So nothing here
   waits, and nothing is lost with the process.
2. Everything else goes over a socket, see `roomkeeper.agent.line`.
3. Nothing here raises into the application.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from roomkeeper.agent import spool
from roomkeeper.agent.line import Line, Parent
from roomkeeper.errors import RoomkeeperError
from roomkeeper.wire import link

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from livekit.agents import JobContext

log = logging.getLogger("roomkeeper.agent")

EPOCH_ATTRIBUTE: Final = "roomkeeper.epoch"
SESSION_ATTRIBUTE: Final = "roomkeeper.session"

Answer = link.Attached | link.Fenced


class NotWrapped(RoomkeeperError):
    """Roomkeeper does not know this server: write `server = roomkeeper.wrap(AgentServer())`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the jobs of one worker find it; travels to their processes with the entrypoint.

    Attributes:
        worker: The name of the worker, the same for its life.
        folder: Of the spools.
        socket: Address of the parent's UNIX socket.
    """

    worker: str
    folder: str
    socket: str

    @classmethod
    def of(cls, worker: str, folder: Path) -> Place:
        """Return the place of a worker: its socket lies beside the spools, unless that name is too long for one.

        Source: unix(7): `sun_path` has 108 bytes on Linux, 104 on macOS.
        """
        beside = folder / f"{worker}.sock"
        if len(os.fsencode(beside)) >= 100:  # noqa: PLR2004 - see above
            beside = Path(tempfile.gettempdir()) / f"roomkeeper-{worker}.sock"
        return cls(worker, str(folder), str(beside))

    def spool(self, job: str) -> Path:
        """The spool of a job."""
        return Path(self.folder, f"{job}{spool.SUFFIX}")


_places: WeakKeyDictionary[JobContext, Place] = WeakKeyDictionary()
_desks: WeakKeyDictionary[JobContext, Desk] = WeakKeyDictionary()


def desk_of(ctx: JobContext) -> Desk | None:
    """Return the desk of a job if it has come to one: a console's job never does."""
    return _desks.get(ctx)


def settle(ctx: JobContext, place: Place) -> None:
    """Remember where the desk of a job stands; the wrapped entrypoint does it first of all."""
    _places[ctx] = place


class Desk:
    """What one job uses to write its journal and to talk to the control plane.

    Made in the event loop of the job; everything is called there, and calls back there.

    Attributes:
        header: Whose desk it is.
        parent: What the parent last told.
    """

    def __init__(self, place: Place, header: spool.Header) -> None:
        self.header = header
        self.parent = Parent()
        self._loop = asyncio.get_running_loop()
        self._spool = spool.Writer(place.spool(header.job), header)
        self._complained = False
        self._listener: Callable[[link.FromControl], None] | None = None
        self._stood_still: Callable[[], None] | None = None
        self._unheard: list[link.FromControl] = []
        self._attach: link.Attach | None = None
        self._asked = 0
        self._answer: asyncio.Future[Answer | None] | None = None
        self._attached = False
        self._fenced = False
        self._lapsed = False
        self._line = Line(place.socket, header.job, self)
        self._complain()
        self._line.start()

    @classmethod
    def of_job(cls, ctx: JobContext) -> Desk:
        """Return the desk of a job, the same at every call.

        Raises:
            NotWrapped: The server was not wrapped.
        """
        desk = _desks.get(ctx)
        if desk is None:
            place = _places.get(ctx)
            if place is None:
                raise NotWrapped
            desk = _desks[ctx] = cls(place, _header(ctx, place))
        return desk

    @property
    def linked(self) -> bool:
        """Whether the control plane can be reached now."""
        return self.parent.linked

    @property
    def lapsed(self) -> bool:
        """True from when this process stood still for longer than a lease until it is attached anew.

        Somebody else may be in charge: not a frame may be played. A job that never was attached has nobody who could
        have replaced it. Cheap and exact enough to be asked before each frame,
        for it looks at the clock: after SIGCONT it is true before any other thread had its turn.
        """
        return self._lapsed or (self._attached and self._line.still() > link.LEASE)

    def append(self, kind: str, data: Mapping[str, Any] | None = None) -> int:
        """Write a line into the journal.

        Args:
            kind: What it tells; `docs/agent-link.md` has the list.
            data: What it says, a JSON object; what JSON does not know is written as its `repr`.

        Returns:
            The number of the line; 0 if neither disk nor memory had room for it.
        """
        seq = self._spool.append(kind, data or {}, at=time.time_ns() // 1_000_000)
        self._complain()
        self._line.ring()
        return seq

    async def attach(self, attach: link.Attach, within: float = 1.0) -> Answer | None:
        """Ask to be in charge.

        The parent asks again by itself whenever the link was down or the process stood still; those answers, and one
        that comes too late, go to the listener.

        Args:
            attach: Who asks.
            within: Seconds to wait.

        Returns:
            The answer; None if there was none in time, or it does not want to keep this job: the agent runs.
        """
        self._attach = attach
        self._answer = answer = self._loop.create_future()
        self._ask()
        try:
            return await asyncio.wait_for(answer, within)
        except TimeoutError:
            return None
        finally:
            self._answer = None

    def listen(
        self, callback: Callable[[link.FromControl], None], stood_still: Callable[[], None] | None = None
    ) -> None:
        """Be told what the control plane says to this job, also what it said before this call.

        Args:
            callback: Takes `Attached`, `EndNow`, `Fenced`, `Mute`, `Unmute` and `Warning`; and `Refused`, if it was
                attached before.
            stood_still: Called when the process stood still for longer than a lease; `lapsed` is true then.
        """
        self._listener = callback
        self._stood_still = stood_still
        unheard, self._unheard = self._unheard, []
        for frame in unheard:
            self._tell(frame)

    def done(self) -> None:
        """The job is over and everything is written: its process may go without being called lost."""
        self.append(spool.DONE)

    def close(self) -> None:
        """Let go of spool and socket; only for a desk whose process goes on."""
        self._line.stop()

    def left(self) -> None:
        """The line is down for good: of a job in a thread, whose process goes on, nothing is to stay open."""
        self._spool.close()

    # From here on: called in the loop by the thread of the line.

    def take(self, frame: link.FromControl, n: int) -> None:
        """A frame came from the parent."""
        if isinstance(frame, link.Attached) and (self._fenced or (self._lapsed and n != self._asked)):
            return  # a fence is final; and an answer to a question from before a standstill says nothing
        if isinstance(frame, link.Refused):
            self._take_refused(frame, n)
            return
        if isinstance(frame, Answer):
            self._attached = True
            self._fenced = self._lapsed = isinstance(frame, link.Fenced)
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(frame)
                return
        if self._listener is None:
            self._unheard.append(frame)
        else:
            self._tell(frame)

    def _take_refused(self, frame: link.Refused, n: int) -> None:
        """Whoever is not kept has nobody who could be in charge in its place; other refusals are the parent's."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)
        if n and n == self._asked and self._attached and not self._fenced:
            self._attached = self._lapsed = False
            if self._listener is not None:
                self._tell(frame)

    def take_parent(self, parent: Parent) -> None:
        """The parent told where the control plane is."""
        self.parent = parent

    def note_lapse(self) -> None:
        """Of the thread itself, before it notes its own turn: from here on `lapsed` does not depend on the clock."""
        self._lapsed = self._attached

    def lapse(self) -> None:
        """The process stood still for longer than a lease."""
        if self._attached and self._stood_still is not None:
            try:
                self._stood_still()
            except Exception:
                log.exception("a listener failed")
        self._ask()

    def _ask(self) -> None:
        if self._attach is not None:
            self._asked += 1
            self._line.send(link.write(self._attach), self._asked)

    def _tell(self, frame: link.FromControl) -> None:
        assert self._listener is not None  # noqa: S101 - for the type checker: callers have looked
        try:
            self._listener(frame)
        except Exception:
            log.exception("a listener failed")

    def _complain(self) -> None:
        """Say once that the disk takes nothing, and once that it does again."""
        failure = self._spool.failure
        if (failure is not None) == self._complained:
            return
        self._complained = failure is not None
        if failure is not None:
            log.error("the spool takes no more: free the disk or set ROOMKEEPER_SPOOL", extra={"error": str(failure)})
        else:
            log.warning("the spool takes lines again")


def _header(ctx: JobContext, place: Place) -> spool.Header:
    job = ctx.job
    epoch = job.attributes.get(EPOCH_ATTRIBUTE, "")
    return spool.Header(
        job=job.id,
        room=job.room.name,
        room_sid=job.room.sid,
        identity=ctx.local_participant_identity,
        agent_name=job.agent_name,
        epoch=int(epoch) if epoch.isdecimal() else 0,
        session=job.attributes.get(SESSION_ATTRIBUTE, ""),
        metadata=job.metadata,
        worker=place.worker,
    )
