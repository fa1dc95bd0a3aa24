"""Ships one spool: `attach` first, then its lines a frame at a time, then `lost` or `done`. No I/O but the file's.

1. On each connection the job is attached before anything else is said about it; a dead one from its spool's header.
   The `ack` after the answer says from where the lines go on.
2. A frame waits for the `ack` of the last one, so memory is bounded by one frame, and what comes in the meantime goes
   together. What is not acknowledged is read from the file again: after a reconnection at once, else after `RETRY`.
3. `Lost` or `Done` only after all lines, until the control plane says that it is over.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from roomkeeper.agent import spool
from roomkeeper.wire import link

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("roomkeeper.agent")

RETRY: Final = 5.0
"""Seconds until an unanswered frame is sent again, and between two `Lost` or `Done`."""
MAX_RETRY: Final = 300.0
"""Seconds between two attempts with a job that the control plane refuses."""
REFUSED_FOR: Final = 24 * 3600.0
"""Seconds after its last line that the spool of a dead job which is refused is kept: settings may be corrected."""

Frame = link.Attach | link.Events | link.Lost | link.Done


class Shipper:
    """One job's way out of the worker.

    Attributes:
        job: Its id.
        path: Its spool.
        gone: True once the job's process is gone.
        adopted: True if that is so because its worker is.
        exit: Its exit code, if that is known.
        attached: True once the control plane knows the job on this connection.
        muted: Whether the job was last told to fall silent: somebody takes its session over.
        over: True once nothing is left to ship: the spool may go.
    """

    def __init__(self, job: str, path: Path) -> None:
        self.job = job
        self.path = path
        self.gone = False
        self.adopted = False
        self.exit: int | None = None
        self.attached = False
        self.muted = False
        self.over = False
        self._attach: link.Attach | None = None
        self._n = 0
        self._asked: deque[int] = deque()
        """The numbers of the `attach` frames that are on their way."""
        self._answered = False
        self._epoch = 0
        self._reader: spool.Reader | None = None
        self._acked = 0
        self._sent: int | None = None
        """The last line of the frame that is on its way."""
        self._again_at = 0.0
        self._wait = RETRY

    @property
    def live(self) -> bool:
        """Whether the job is in a conversation, as far as is known here."""
        return self._attach is not None and not self.gone and not (self._reader is not None and self._reader.done)

    @property
    def waiting(self) -> bool:
        """Whether something is on its way."""
        return self._sent is not None or bool(self._asked)

    @property
    def is_refused(self) -> bool:
        """Whether the control plane did not want it when it was last asked."""
        return self._wait > RETRY

    def asks(self, attach: link.Attach, n: int) -> None:
        """The job asks to be in charge.

        Args:
            attach: How.
            n: For the how manieth time.
        """
        self._attach, self._n = attach, n
        self.attached = self._answered = False
        self._again_at = 0.0

    def connected(self) -> None:
        """A new connection is there: what was on its way is not any more."""
        self.attached = self._answered = False
        self._asked.clear()
        self._go_back(self._acked)
        self._again_at = 0.0

    def answered(self, frame: link.Attached | link.Fenced) -> int:
        """The control plane knows the job.

        Returns:
            The number of the `attach` that it answers; 0 if it was not asked.
        """
        if isinstance(frame, link.Attached):
            self._epoch = frame.epoch
        self._answered = True
        return self._asked.popleft() if self._asked else 0

    def ack(self, frame: link.Ack, *, now: float) -> None:
        """Lines up to there are stored."""
        self.over = self.over or frame.over
        if self._answered and not self.attached:
            self.attached = True
            self._wait = RETRY
            self._go_back(frame.seq)
            self._again_at = now
        elif self._sent is not None and frame.seq != self._acked:
            self._wait = RETRY
            if frame.seq < self._sent:
                self._go_back(frame.seq)
            self._sent = None
            self._again_at = now
        self._acked = frame.seq
        if self._reader is not None:
            self._reader.forget(self._acked)

    def refused(self, *, now: float) -> int:
        """The control plane does not want it now: try again later, and later each time.

        Returns:
            The number of the `attach` that is refused; 0 if it was something else.
        """
        n = 0
        if self._asked:
            n = self._asked.popleft()
            if self.gone and time.time() - self._written_at() > REFUSED_FOR:
                log.warning("a spool that nobody wanted is deleted", extra={"path": str(self.path)})
                self.over = True
        else:
            self.attached = self._answered = False
        self._go_back(self._acked)
        self._again_at = now + self._wait
        self._wait = min(self._wait * 2, MAX_RETRY)
        return n

    def next(self, *, now: float) -> Frame | None:
        """Return what to send now; None if there is nothing, or something is on its way.

        Args:
            now: Seconds, of a clock that only goes forward.

        Raises:
            OSError: The spool cannot be read.
        """
        if self.over or now < self._again_at or (reader := self._open()) is None:
            return None
        if self._attach is None and self.gone and self.exit == 0 and reader.is_empty():
            self.over = True  # a job in which no session was started, and which ended in order: nothing of ours
            return None
        if not self.attached:
            return self._ask(reader, now)
        if self._sent is not None:
            self._go_back(self._acked)
        if lines := reader.read():
            self._sent = lines[-1].seq
            self._again_at = now + RETRY
            return link.Events(job=self.job, epoch=self._epoch, events=tuple(lines))
        if reader.done or (self.gone and not spool.is_held(self.path)):
            self._again_at = now + RETRY
            return link.Done(job=self.job) if reader.done else link.Lost(job=self.job, exit=self.exit)
        return None

    def _ask(self, reader: spool.Reader, now: float) -> link.Attach | None:
        attach = self._attach
        if attach is None and self.gone:
            attach = _attach_of(reader.header)
        if attach is not None:
            self._asked.append(self._n)
            self._again_at = now + 2 * RETRY
        return attach

    def _open(self) -> spool.Reader | None:
        if self._reader is None:
            try:
                self._reader = spool.Reader(self.path)
            except spool.NoSpool as error:
                if self.gone:
                    log.warning("a spool cannot be read", extra={"path": str(self.path), "error": str(error)})
                    self.over = True
            except FileNotFoundError:
                self.over = self.gone
        return self._reader

    def _go_back(self, seq: int) -> None:
        self._sent = None
        if self._reader is not None:
            self._reader.go_back(seq)

    def _written_at(self) -> float:
        try:
            return self.path.stat().st_mtime
        except OSError:
            return 0.0


def _attach_of(header: spool.Header) -> link.Attach:
    """Return how a job would attach that is dead, and perhaps never did."""
    return link.Attach(
        job=header.job,
        room=header.room,
        room_sid=header.room_sid,
        identity=header.identity,
        agent_name=header.agent_name,
        epoch=header.epoch or None,
        session=header.session,
        metadata=header.metadata,
    )
