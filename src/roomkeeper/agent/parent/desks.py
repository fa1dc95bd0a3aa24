"""The parent's end of the jobs' sockets: who is there, who lives, what to tell them. `agent/local.py` has the words.

Only processes of the same user get in: the socket lies in a folder that nobody else may enter, and is theirs alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING, Any, Final, Protocol

from roomkeeper.wire import link

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("roomkeeper.agent")

MAX_BEHIND: Final = 1024 * 1024
"""Bytes that a job may leave unread before its connection is given up; it connects again when it can."""


class Owner(Protocol):
    """Who is told what jobs say."""

    def came(self, job: str) -> None:
        """A job connected."""

    def left(self, job: str) -> None:
        """A job's connection is gone."""

    def asks(self, attach: link.Attach, n: int) -> None:
        """A job asks to be in charge, for the n-th time."""

    def rang(self, job: str) -> None:
        """A job lives, and may have written."""


class Desks:
    """A UNIX socket that the jobs of this worker connect to.

    Attributes:
        alive_at: When each connected job last gave a sign of life, seconds of the loop's clock.
    """

    def __init__(self, address: Path, owner: Owner) -> None:
        self.alive_at: dict[str, float] = {}
        self._address = address
        self._owner = owner
        self._writers: dict[str, asyncio.StreamWriter] = {}
        self._pids: dict[str, int] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._parent = b""

    async def open(self) -> None:
        """Begin to listen.

        Raises:
            OSError: The socket cannot be made.
        """
        self._address.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(self._address))
            self._address.chmod(0o600)
        except OSError:
            listener.close()
            raise
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=link.MAX_FRAME)

    async def close(self) -> None:
        """Hang up."""
        self._server.close()
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        with contextlib.suppress(OSError):
            self._address.unlink(missing_ok=True)

    def tell_parent(self, *, url: str, token: str, linked: bool) -> None:
        """Tell every job, also those to come, where the control plane is.

        Args:
            url: Base of its HTTP API.
            token: For the journal.
            linked: Whether the agent link is up.
        """
        self._parent = _line({"type": "parent", "url": url, "token": token, "linked": linked})
        for job in list(self._writers):
            self._write(job, self._parent)

    def kill(self, job: str) -> None:
        """Kill the process of a job that is there. A job in a thread of this process is spared."""
        pid = self._pids.get(job)
        if pid is not None and pid != os.getpid():
            log.warning("killing a job that stands still and was replaced", extra={"job": job, "pid": pid})
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def tell(self, job: str, frame: link.FromControl, n: int = 0) -> None:
        """Pass a frame of the control plane on; a job that is not there does not need it.

        Args:
            job: Whom.
            frame: What.
            n: Which `attach` it answers.
        """
        if job in self._writers:
            self._write(job, _line({**json.loads(link.write(frame)), "n": n}))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker: it runs in one
        self._serving.add(task)
        job = ""
        try:
            said = json.loads(await reader.readline())
            job = str(said["job"])
            self._writers[job] = writer
            self._pids[job] = int(said["pid"])
            self._alive(job)
            self._write(job, self._parent)
            self._owner.came(job)
            while line := await reader.readline():
                self._alive(job)
                if line != b"\n":
                    self._read(job, line)
                self._owner.rang(job)
        except (OSError, ValueError, KeyError, TypeError, link.InvalidFrame) as error:
            log.warning("a job's connection broke", extra={"job": job, "error": str(error)})
        except asyncio.CancelledError:  # by `close`: asyncio's streams would report a cancelled connection as an error
            pass
        finally:
            if self._writers.get(job) is writer:
                del self._writers[job], self._pids[job]
                self.alive_at.pop(job, None)
                self._owner.left(job)
            self._serving.discard(task)
            writer.transport.abort()

    def _alive(self, job: str) -> None:
        self.alive_at[job] = asyncio.get_running_loop().time()

    def _read(self, job: str, line: bytes) -> None:
        frame = link.read_from_worker(line)
        if isinstance(frame, link.Attach) and frame.job == job:
            self._owner.asks(frame, int(json.loads(line)["n"]))

    def _write(self, job: str, line: bytes) -> None:
        writer = self._writers[job]
        if writer.transport.get_write_buffer_size() > MAX_BEHIND:
            writer.transport.abort()
        elif not writer.is_closing():
            writer.write(line)


def _line(said: dict[str, Any]) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"
