"""Starts worker processes of wrapped servers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conformance.support.server import Server

ROOT = Path(__file__).parents[2]
REGISTERED = b"registered worker"
STARTED_WITHIN = 60.0
"""Seconds for Python to import livekit-agents on a busy machine, in the worker and again in its processes."""


class Worker:
    """A worker that runs; its jobs belong to its process group.

    Attributes:
        process: Its parent.
        output: What it printed.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output = bytearray()
        self._registered = asyncio.Event()

    async def read(self) -> None:
        """Collect its output until it ends."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.output += line
            if REGISTERED in line:
                self._registered.set()
        self._registered.set()

    async def registered(self) -> None:
        """Wait until it takes jobs."""
        try:
            async with asyncio.timeout(STARTED_WITHIN):
                await self._registered.wait()
        except TimeoutError:
            pass
        assert REGISTERED in self.output, f"the worker did not register:\n{self.tail}"

    def signal_group(self, number: signal.Signals) -> None:
        """Signal it and all its jobs, as a service manager does."""
        os.killpg(self.process.pid, number)

    async def ended(self, within: float = 30.0) -> int:
        """Wait for its end and return its exit code."""
        try:
            async with asyncio.timeout(within):
                return await self.process.wait()
        except TimeoutError:
            raise AssertionError(f"the worker did not end:\n{self.tail}") from None

    @property
    def jobs(self) -> list[int]:
        """The processes that have logged something of a job of theirs, in the order of their first words."""
        return list(dict.fromkeys(int(process) for process in re.findall(rb'"pid": (\d+), "job_id"', self.output)))

    @property
    def tail(self) -> str:
        """The end of its output."""
        return self.output[-4000:].decode(errors="replace")


@contextlib.asynccontextmanager
async def worker(
    program: str, server: Server, *, url: str, spool: Path, mode: str = "start", **environment: str
) -> AsyncIterator[Worker]:
    """Run a worker until the end of the block; what is left of it then is killed.

    Args:
        program: With the server in it: a module, run as `python -m`, or the path of a file.
        server: The room server.
        url: Of the control plane; empty for none.
        spool: Folder of the spools.
        mode: Command of livekit-agents.
        environment: Further variables.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *([program] if program.endswith(".py") else ["-m", program]), mode),
        cwd=ROOT,
        env={
            **os.environ,
            "LIVEKIT_URL": server.ws,
            "LIVEKIT_API_KEY": server.key,
            "LIVEKIT_API_SECRET": server.secret,
            "ROOMKEEPER_URL": url,
            "ROOMKEEPER_SPOOL": str(spool),
            **environment,
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    running = Worker(process)
    reading = asyncio.create_task(running.read())
    try:
        yield running
    except BaseException as failed:
        failed.add_note(running.tail)
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.signal_group(signal.SIGKILL)
        await process.wait()
        await reading
