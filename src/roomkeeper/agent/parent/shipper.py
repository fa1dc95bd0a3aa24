"""Ships one spool: one frame at a time, from the first line that was not acknowledged on. No I/O but the file's.

1. The next frame waits for the acknowledgement of the last one, so memory is bounded by one frame, and what comes in
   the meantime goes together.
2. What is not acknowledged is read from the file again: after a reconnection at once, else after `RETRY`.
3. `Lost` or `Done` only after all lines, until the control plane says that it is over.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from roomkeeper.agent import spool
from roomkeeper.wire import link

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("roomkeeper.agent")

RETRY: Final = 5.0
"""Seconds until an unanswered frame is sent again, and between two `Lost` or `Done`."""
MAX_RETRY: Final = 300.0
"""Seconds between two attempts with a spool that the control plane refuses."""
ATTACH_WITHIN: Final = 5.0
"""Seconds that the lines of a running job wait for the answer to its `attach`."""

Frame = link.Events | link.Lost | link.Done


class Shipper:
    """One job's way out of the worker.

    Attributes:
        job: Its id.
        path: Its spool.
        acked: The last line that arrived.
        gone: True once the job's process is gone.
        exit: Its exit code, if that is known.
        over: True once nothing is left to ship: the spool may go.
    """

    def __init__(self, job: str, path: Path) -> None:
        self.job = job
        self.path = path
        self.acked = 0
        self.gone = False
        self.exit: int | None = None
        self.over = False
        self._epoch: int | None = None
        self._reader: spool.Reader | None = None
        self._sent: int | None = None
        """The last line of the frame that is on its way."""
        self._again_at = 0.0
        self._wait = RETRY
        self._attach_until: float | None = None

    @property
    def done(self) -> bool:
        """Whether the job said that it is over."""
        return self._reader is not None and self._reader.done

    @property
    def waiting(self) -> bool:
        """Whether lines are on their way."""
        return self._sent is not None

    def connected(self, *, now: float, attaching: bool) -> None:
        """A new connection is there: whatever was on its way is not any more.

        Args:
            now: Seconds.
            attaching: True if the job's `attach` is said first.
        """
        self._go_back()
        self._again_at = 0.0
        self._attach_until = now + ATTACH_WITHIN if attaching else None

    def attached(self, frame: link.Attached) -> None:
        """The job is in charge: its lines belong to this epoch, and these have arrived."""
        self._epoch = frame.epoch
        self._attach_until = None
        if self._sent is None:
            self.acked = frame.seq
            self._go_back()

    def answered(self) -> None:
        """The `attach` got another answer: the lines are told all the same."""
        self._attach_until = None

    def ack(self, frame: link.Ack, *, now: float) -> None:
        """Lines have arrived."""
        if frame.over:
            self.over = True
        progress = frame.seq > self.acked
        self.acked = max(self.acked, frame.seq)
        if self._reader is not None:
            self._reader.forget(self.acked)
        if progress:
            self._wait = RETRY
        if self._sent is not None and (progress or self.acked >= self._sent):
            if self.acked < self._sent:
                self._go_back()
            self._sent = None
            self._again_at = now

    def refused(self, *, now: float) -> None:
        """The control plane does not want it now: try again later, and later each time."""
        self._attach_until = None
        self._go_back()
        self._again_at = now + self._wait
        self._wait = min(self._wait * 2, MAX_RETRY)

    def next(self, *, now: float) -> Frame | None:
        """Return what to send now; None if there is nothing, or something is on its way.

        Args:
            now: Seconds, of a clock that only goes forward.

        Raises:
            OSError: The spool cannot be read.
        """
        if self.over or now < self._again_at or (self._attach_until is not None and now < self._attach_until):
            return None
        if self._sent is not None:
            self._go_back()
        if (reader := self._open()) is None:
            return None
        if lines := reader.read():
            self._sent = lines[-1].seq
            self._again_at = now + RETRY
            return link.Events(job=self.job, epoch=self._number(reader), events=tuple(lines))
        if reader.done or (self.gone and not spool.is_held(self.path)):
            self._again_at = now + RETRY
            return link.Done(job=self.job) if reader.done else link.Lost(job=self.job, exit=self.exit)
        return None

    def _number(self, reader: spool.Reader) -> int:
        return reader.header.epoch if self._epoch is None else self._epoch

    def _open(self) -> spool.Reader | None:
        if self._reader is None:
            try:
                self._reader = spool.Reader(self.path)
            except spool.NoSpool as error:
                if self.gone:
                    log.warning("a spool cannot be read", extra={"path": str(self.path), "error": str(error)})
                    self.over = True
                return None
            except FileNotFoundError:
                self.over = self.gone
                return None
            self._reader.go_back(self.acked)
        return self._reader

    def _go_back(self) -> None:
        self._sent = None
        if self._reader is not None:
            self._reader.go_back(self.acked)
