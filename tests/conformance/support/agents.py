"""Starts workers of the unmodified livekit-agents."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conformance.support.server import Server

APP = "tests.conformance.support.worker_app"
ROOT = Path(__file__).parents[3]
GREETING_HZ = 660.0
"""What the agent of the worker says."""
REGISTERED = b"registered worker"
STARTED_WITHIN = 40.0
"""Seconds for Python to import livekit-agents on a busy machine, in the worker and again in its processes."""


@asynccontextmanager
async def agent_worker(server: Server, agent_name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `worker_app` until the end of the block.

    Args:
        server: To work for.
        agent_name: Of its agents; empty for every room that asks for nobody else.

    Yields:
        Its process, registered; it leads a process group that its jobs belong to.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        APP,
        "start",
        cwd=ROOT,
        env={
            **os.environ,
            "LIVEKIT_URL": server.ws,
            "LIVEKIT_API_KEY": server.key,
            "LIVEKIT_API_SECRET": server.secret,
            "AGENT_NAME": agent_name,
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    lines: list[bytes] = []
    registered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def read(stream: asyncio.StreamReader) -> None:
        async for line in stream:
            lines.append(line)
            if REGISTERED in line and not registered.done():
                registered.set_result(None)
        if not registered.done():
            registered.set_exception(AssertionError("the worker ended:\n" + b"".join(lines[-30:]).decode()))

    reading = asyncio.create_task(read(process.stdout))
    try:
        try:
            async with asyncio.timeout(STARTED_WITHIN):
                await registered
        except TimeoutError:
            raise AssertionError("the worker did not register:\n" + b"".join(lines[-30:]).decode()) from None
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its jobs too; how a worker drains is not the server's matter
        await process.wait()
        await reading
