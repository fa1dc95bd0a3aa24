"""Workers and the receiver as real processes, that are killed and stopped; and whose processes are ours to kill."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.conformance.support.server import Server

ROOT = Path(__file__).parents[2]
READY_WITHIN = 90.0
LOOK_EVERY = 0.05
"""Seconds between two looks at what another process writes."""


class Program:
    """A program that is killed and started again, stopped and continued.

    Args:
        module: Run as `python -m`.
        arguments: Of the program.
        environment: Beside ours.
        log: Where its output goes.
    """

    def __init__(self, module: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("LIVEKIT_")}
        self._environment |= environment
        self.log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; it is not ready yet."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=ROOT,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )

    async def until_logged(self, words: str) -> None:
        """Wait until its output has some words.

        Raises:
            RuntimeError: It ended, or took too long.
        """
        deadline = time.monotonic() + READY_WITHIN
        while words not in self.log.read_text(errors="replace"):
            if self._process is None or self._process.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._command} is not ready:\n{self.log.read_text(errors='replace')[-3000:]}")
            await asyncio.sleep(LOOK_EVERY)

    async def kill(self) -> None:
        """Kill it, as the kernel would; not its children."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None

    async def stop_for(self, seconds: float) -> None:
        """Stop it for a while; not its children."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            self._process.send_signal(signal.SIGCONT)


class WorkerProgram(Program):
    """A worker of `tests.chaos.agents`."""

    def __init__(self, folder: Path, kind: str, server: Server, plane: str) -> None:
        environment = {
            "LIVEKIT_URL": server.ws,
            "LIVEKIT_API_KEY": server.key,
            "LIVEKIT_API_SECRET": server.secret,
            "ROOMKEEPER_URL": plane,
            "ROOMKEEPER_SPOOL": str(folder / "spool"),
            "CHAOS_AGENT": kind,
            "CHAOS_NOTES": str(folder / "notes"),
        }
        super().__init__("tests.chaos.agents", ["start"], environment, folder / f"{kind}.log")


class Inbox(Program):
    """The receiver, and what its file says.

    Attributes:
        url: Where reports go.
    """

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/reports"
        self._file = folder / "received.jsonl"
        super().__init__("tests.chaos.receiver", [str(port), str(self._file)], {}, folder / "receiver.log")

    def lines(self) -> list[dict[str, Any]]:
        """Return everything it took, in order."""
        return [json.loads(line) for line in self._file.read_text().splitlines()] if self._file.exists() else []


def ours(folder: Path) -> dict[int, str]:
    """Find the processes of a folder's workers, whoever their parent is by now: their numbers, and what they run."""
    mark = f"CHAOS_NOTES={folder / 'notes'}\0".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes() + b"\0":
                    found[int(entry.name)] = (entry / "cmdline").read_text()
    return found


def agents_of(folder: Path, room: str = "") -> list[int]:
    """Find the processes of jobs that live.

    Args:
        folder: Of the house.
        room: Only those in this room; empty: all.
    """
    notes = folder / "notes"
    jobs = [each.stem for each in notes.glob("*.pid")]
    if room:
        jobs = [job for job in jobs if (notes / f"{room}.{job}.said").exists()]
    pids = {int((notes / f"{job}.pid").read_text() or 0) for job in jobs}
    return sorted(pids & ours(folder).keys()) if pids else []


def signal_process(pid: int, number: signal.Signals) -> None:
    """Signal a process, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
