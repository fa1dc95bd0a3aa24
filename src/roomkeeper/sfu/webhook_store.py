"""Undelivered webhooks on disk: a queue that survives the process.

SQLite from the standard library, in a thread of its own: `keep` and `forget` only take note, and one transaction writes
whatever has gathered. A webhook that is delivered before its turn to be written costs no write at all. WAL and
`synchronous=NORMAL` survive the death of the process; a power cut may cost the last few.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from roomkeeper.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

FILE_NAME: Final = "webhooks.sqlite3"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS delivery (
    seq INTEGER PRIMARY KEY,
    url TEXT NOT NULL,
    room TEXT NOT NULL,
    name TEXT NOT NULL,
    queued_at REAL NOT NULL,
    body BLOB NOT NULL
) STRICT
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook for one receiver.

    Attributes:
        seq: Its place in the order of all.
        url: The receiver.
        room: Whose order it keeps.
        name: What it tells, for the logs.
        queued_at: Unix seconds.
        body: What is posted.
    """

    seq: int
    url: str
    room: str
    name: str
    queued_at: float
    body: bytes


class WebhookStore:
    """The deliveries on disk."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._thread = ThreadPoolExecutor(1, "webhook-store")
        self._connection: sqlite3.Connection | None = None
        self._kept: dict[int, Delivery] = {}
        self._forgotten: set[int] = set()
        self._dirty = asyncio.Event()

    async def open(self) -> list[Delivery]:
        """Open the file, make it if need be, and return what is in it, in order.

        Raises:
            ConfigError: it cannot be used, or another process uses it.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._open)

    def _open(self) -> list[Delivery]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=0.0, isolation_level=None)
            try:
                # Exclusive: two processes on one file would both deliver what is in it.
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute(_SCHEMA)
                rows = connection.execute("SELECT seq, url, room, name, queued_at, body FROM delivery ORDER BY seq")
                deliveries = [Delivery(*row) for row in rows]
            except BaseException:
                connection.close()
                raise
        except (OSError, sqlite3.Error) as problem:
            raise ConfigError(f"The webhooks cannot be kept in {self._path} ({problem}).") from problem
        self._connection = connection
        return deliveries

    def keep(self, delivery: Delivery) -> None:
        """Take note of a delivery that is to survive."""
        self._kept[delivery.seq] = delivery
        self._dirty.set()

    def forget(self, seq: int) -> None:
        """Take note that a delivery is done with."""
        if self._kept.pop(seq, None) is None:
            self._forgotten.add(seq)
            self._dirty.set()

    async def run(self) -> None:
        """Write what is noted, until cancelled."""
        while True:
            await self._dirty.wait()
            await self.flush()

    async def flush(self) -> None:
        """Write what is noted so far."""
        self._dirty.clear()
        kept, self._kept = self._kept, {}
        forgotten, self._forgotten = self._forgotten, set()
        if kept or forgotten:
            work = asyncio.get_running_loop().run_in_executor(self._thread, self._write, list(kept.values()), forgotten)
            # A cancelled waiter must not take back what is half written.
            await asyncio.shield(work)

    def _write(self, kept: list[Delivery], forgotten: set[int]) -> None:
        if self._connection is None:
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "INSERT OR REPLACE INTO delivery (seq, url, room, name, queued_at, body) VALUES (?, ?, ?, ?, ?, ?)",
                [(each.seq, each.url, each.room, each.name, each.queued_at, each.body) for each in kept],
            )
            self._connection.executemany("DELETE FROM delivery WHERE seq = ?", [(seq,) for seq in forgotten])
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            # A full disk costs the safety of these webhooks, not their delivery.
            logger.exception("webhooks could not be kept")
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    async def close(self) -> None:
        """Write what is noted and close the file."""
        await self.flush()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
