"""What runs for the measurement: a control plane and a worker, each in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from roomkeeper.testing.room_server import RoomServer

AGENT = "interviewer"
STARTED_WITHIN = 60.0
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def control_plane(server: RoomServer, port: int, folder: Path) -> AsyncIterator[None]:
    """Run `roomkeeper serve` beside a room server whose webhooks go to this port."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "roomkeeper.toml").write_text(f"[agents.{AGENT}.policy]\nlinger = 1\n")
    command = [str(Path(sys.executable).with_name("roomkeeper")), "serve", "--port", str(port)]
    command += ["--database", f"sqlite:///{folder}/control.db", "--config", str(folder / "roomkeeper.toml")]
    async with _running(command, server, "control plane listens"):
        yield


@asynccontextmanager
async def worker(server: RoomServer) -> AsyncIterator[None]:
    """Run a worker of the unmodified livekit-agents."""
    async with _running([sys.executable, "-m", "bench.end.worker", "start"], server, "registered worker"):
        yield


@asynccontextmanager
async def _running(command: list[str], server: RoomServer, ready: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, **server.environment, "AGENT_NAME": AGENT},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    seen, tail = asyncio.Event(), []

    async def read(stream: asyncio.StreamReader) -> None:
        async for line in stream:
            tail.append(line.decode(errors="replace"))
            del tail[:-40]
            if ready in tail[-1]:
                seen.set()

    reading = asyncio.create_task(read(process.stdout))
    try:
        try:
            async with asyncio.timeout(STARTED_WITHIN):
                await seen.wait()
        except TimeoutError:
            raise RuntimeError(f"{command} was not ready:\n{''.join(tail)}") from None
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its jobs too
        await process.wait()
        await reading


def session_state(metadata: str) -> dict[str, object]:
    """Read what a room's metadata says of its session."""
    with contextlib.suppress(ValueError):
        value = json.loads(metadata or "{}")
        state = value.get("roomkeeper") if isinstance(value, dict) else None
        return state if isinstance(state, dict) else {}
    return {}
