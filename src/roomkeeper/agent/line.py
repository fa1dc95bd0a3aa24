"""The job's end of the UNIX socket beside the spools: a thread that connects, beats, and reads.

The thread beats: a blocked event loop is not a dead process, while SIGSTOP stops every thread.

Lines of JSON. Job → parent: `job {job, pid}` first, `attach {…, n}` as on the agent link, an empty line for "I live,
look at my spool". Parent → job: `parent {url, token, linked}` whenever one of them changes, and every frame of the
agent link that names the job; `attached`, `fenced` and `refused` repeat the `n` of the `attach` that they answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import selectors
import socket
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from roomkeeper.wire import link

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("roomkeeper.agent")

BEAT: Final = 0.5
"""Seconds between two signs of life."""


@dataclass(frozen=True, slots=True)
class Parent:
    """What the parent last told.

    Attributes:
        url: Base of the control plane's HTTP API, empty if there is none.
        token: For the journal; worth an hour at least when it is told, and told anew in time.
        linked: Whether the agent link is up.
        told: False as long as it told nothing.
    """

    url: str = ""
    token: str = ""
    linked: bool = False
    told: bool = field(default=False, compare=False)


class Owner(Protocol):
    """Whose line it is. All but `note_lapse` and `left` are called in the loop."""

    parent: Parent

    def take(self, frame: link.FromControl, n: int) -> None:
        """A frame came, perhaps as the answer to the n-th `attach`."""

    def take_parent(self, parent: Parent) -> None:
        """The parent told where the control plane is."""

    def note_lapse(self) -> None:
        """Of the thread itself: the process stood still for longer than a lease."""

    def lapse(self) -> None:
        """Likewise, in the loop."""

    def left(self) -> None:
        """Of the thread itself: this was its last turn."""


class Line:
    """The job's end of the UNIX socket: a thread that connects, beats, and reads, for as long as the process lives."""

    def __init__(self, address: str, job: str, desk: Owner) -> None:
        self._address = address
        self._hello = json.dumps({"type": "job", "job": job, "pid": os.getpid()}).encode() + b"\n"
        self._desk = desk
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="roomkeeper", daemon=True)
        self._wake, self._waker = socket.socketpair()
        for end in (self._wake, self._waker):
            end.settimeout(0)
        self._sending = threading.Lock()
        self._socket: socket.socket | None = None
        self._waiting: bytes = b""
        """The last attach: only the last one matters, and it is sent again on every connection."""
        self._beat_at = _clock()
        self._stopped = False

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Hang up for good."""
        self._stopped = True
        with contextlib.suppress(OSError):  # it has stopped by itself
            self._waker.send(b"\n")
        self._thread.join()

    @property
    def _over(self) -> bool:
        """Whether there is nobody left to tell anything: the loop of a job in a thread is closed when it is over."""
        return self._stopped or self._loop.is_closed()

    def still(self) -> float:
        """Seconds since the thread's last turn."""
        return _clock() - self._beat_at

    def ring(self) -> None:
        """Tell the parent that there is a new line; if that is not possible now, the next beat does."""
        if not self._sending.acquire(blocking=False):
            return
        try:
            if self._socket is not None:
                os.write(self._socket.fileno(), b"\n")  # not `send`: that waits for room, up to the timeout
        except OSError:
            pass  # the parent is gone or far behind: it looks at the file anyway
        finally:
            self._sending.release()

    def send(self, frame: str, n: int) -> None:
        """Send a frame, numbered, in the thread."""
        self._waiting = json.dumps({**json.loads(frame), "n": n}).encode() + b"\n"
        with contextlib.suppress(BlockingIOError):  # it has enough to wake up for
            self._waker.send(b"\n")

    def _run(self) -> None:
        try:
            self._connect()
        finally:
            self._wake.close()
            self._waker.close()
            self._desk.left()

    def _connect(self) -> None:
        """Connect, again and again."""
        while not self._over:
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                    connection.settimeout(BEAT)
                    connection.connect(self._address)
                    connection.sendall(self._hello)
                    self._socket = connection
                    self._talk(connection)
            except OSError:
                log.debug("no connection to the worker's parent", exc_info=True)
            finally:
                with self._sending:
                    self._socket = None
            self._tell(self._desk.take_parent, replace(self._desk.parent, linked=False))
            if not self._over:
                time.sleep(BEAT)
                self._beat()

    def _talk(self, connection: socket.socket) -> None:
        """Beat and read until the parent is gone."""
        sent = b""
        unread = b""
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while not self._over:
                ready = {key.fileobj for key, _ in selector.select(BEAT)}
                self._beat()
                if self._wake in ready:
                    self._wake.recv(4096)
                with self._sending:
                    connection.sendall(b"\n")
                    if self._waiting is not sent:
                        sent = self._waiting
                        connection.sendall(sent)
                if connection in ready:
                    chunk = connection.recv(65_536)
                    if not chunk:
                        return
                    *lines, unread = (unread + chunk).split(b"\n")
                    for line in lines:
                        self._read(line)

    def _beat(self) -> None:
        """Note that the process runs, and whether it stood still before this turn."""
        stood_still = self.still() > link.LEASE
        if stood_still:
            self._desk.note_lapse()
        self._beat_at = _clock()
        if stood_still:
            self._tell(self._desk.lapse)

    def _read(self, line: bytes) -> None:
        """Take a line; one that cannot be read is passed over, for the beats must go on."""
        try:
            self._take(line)
        except (ValueError, TypeError, KeyError, AttributeError, link.InvalidFrame) as error:
            log.warning("the worker's parent said something strange", extra={"error": repr(error)})

    def _take(self, line: bytes) -> None:
        said: Any = json.loads(line)
        if said.get("type") == "parent":
            told = Parent(url=said["url"], token=said["token"], linked=said["linked"], told=True)
            self._tell(self._desk.take_parent, told)
        elif (frame := link.read_from_control(line)) is not None:
            self._tell(self._desk.take, frame, int(said.get("n") or 0))

    def _tell(self, callback: Callable[..., None], *args: object) -> None:
        if not self._over:
            with contextlib.suppress(RuntimeError):  # the loop was closed in this very moment
                self._loop.call_soon_threadsafe(callback, *args)


def _clock() -> float:
    """Seconds that also pass while the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
