"""The folder of the spools: whose they are, by locks that the kernel lets go of when a process dies.

1. A worker holds `<worker>.lock` for its life. A spool names its worker in the header.
2. Who gets the lock of another worker's name adopts its spools: that worker is dead. Two never adopt the same.
3. A lock goes when the last spool of its worker is gone.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from roomkeeper.agent import spool
from roomkeeper.errors import RoomkeeperError

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

log = logging.getLogger("roomkeeper.agent")

STILLBORN: Final = 60.0
"""Seconds after which a spool without a header is waste: its job died before it wrote one."""

NEWBORN: Final = 10.0
"""Seconds that a worker has from making its lock to holding it."""


class SpoolUnusable(RoomkeeperError):
    """The folder of the spools cannot be used: make it writable, or name another one in ROOMKEEPER_SPOOL."""


class Folder:
    """The folder of one worker, and what it took over from dead ones.

    Attributes:
        path: Of the folder.
        worker: Whose it is.
    """

    def __init__(self, path: Path, worker: str) -> None:
        self.path = path
        self.worker = worker
        self._locks: dict[str, int] = {}
        self._owners: dict[Path, str] = {}

    def open(self) -> None:
        """Make the folder, readable by nobody else, and show that the worker lives.

        Raises:
            SpoolUnusable: It cannot be made, or not be written to.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = self._lock(self.worker)
        except OSError as error:
            raise SpoolUnusable(str(error)) from error
        if fd is None:
            raise SpoolUnusable(f"Another process is called {self.worker}.")
        self._locks[self.worker] = fd

    def close(self) -> None:
        """Let go of all locks; spools that are still there are for the next worker."""
        for path in self._spools():
            self._owner(path)
        for worker in list(self._locks):
            self._release(worker)

    def orphans(self, known: AbstractSet[Path]) -> list[Path]:
        """Return spools of dead workers, and make them this worker's own.

        Args:
            known: Spools that are taken care of already.

        Raises:
            OSError: The folder cannot be read.
        """
        found = []
        for path in sorted(self._spools() - known):
            owner = self._owner(path)
            if owner is not None and owner != self.worker and self._adopt(owner):
                found.append(path)
        if found:
            log.warning("adopting what dead workers left", extra={"spools": len(found)})
        self._look_at_locks()
        for worker in self._locks.keys() - {self.worker} - set(self._owners.values()):
            self._release(worker)
        return found

    def _look_at_locks(self) -> None:
        """Take over also from dead workers that left no spool, so that their locks go."""
        for path in self.path.glob("*.lock"):
            if path.stem not in self._locks and _age(path) > NEWBORN:
                self._adopt(path.stem)

    def _spools(self) -> set[Path]:
        there = set(self.path.glob(f"*{spool.SUFFIX}"))
        self._owners = {path: owner for path, owner in self._owners.items() if path in there}
        return there

    def _owner(self, path: Path) -> str | None:
        """Return the worker of a spool; None if it is none, is just being made, or is no spool of ours."""
        if path not in self._owners:
            try:
                self._owners[path] = spool.Reader(path).header.worker
            except spool.NoSpool:
                self._sweep(path)
                return None
            except OSError:
                return None
        return self._owners[path]

    def _sweep(self, path: Path) -> None:
        """Delete what a job left that died while it wrote the header."""
        try:
            small = path.stat().st_size < spool.FRAME_BYTES
            if small and _age(path) > STILLBORN and b"\n" not in path.read_bytes() and not spool.is_held(path):
                path.unlink()
        except OSError as error:
            log.warning("a spool cannot be looked at", extra={"path": str(path), "error": str(error)})

    def _adopt(self, worker: str) -> bool:
        if worker in self._locks:
            return True
        if not worker or Path(worker).name != worker:
            return False
        try:
            fd = self._lock(worker)
        except OSError as error:
            log.warning("a lock cannot be looked at", extra={"worker": worker, "error": str(error)})
            return False
        if fd is None:
            return False
        self._locks[worker] = fd
        return True

    def _lock(self, worker: str) -> int | None:
        fd = os.open(self._path_of_lock(worker), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        except OSError:
            os.close(fd)
            raise
        return fd

    def _release(self, worker: str) -> None:
        """Let go of a lock, and delete it if no spool is left to show an owner for, and so the socket of a dead one."""
        if worker not in self._owners.values():
            for name in (f"{worker}.lock", f"{worker}.sock"):
                (self.path / name).unlink(missing_ok=True)
        os.close(self._locks.pop(worker))

    def _path_of_lock(self, worker: str) -> Path:
        return self.path / f"{worker}.lock"


def _age(path: Path) -> float:
    """Seconds since a file was written; none if it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
