"""What the panel of `roomkeeper dev` does to the parts, so that anybody sees what becomes of a conversation.

The control plane serves the panel and passes its wishes on: over a UNIX socket, one line of JSON each way,
`{"do": "kill_agent"}` and `{"did": "…"}` or `{"error": "…"}`.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from roomkeeper.errors import RoomkeeperError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from roomkeeper.cli.dev.output import Terminal
    from roomkeeper.cli.dev.plan import Panel
    from roomkeeper.cli.dev.supervisor import Parts

MAX_LINE = 4096
"""Bytes of a wish."""
WAIT = 5.0
"""Seconds for a wish to come once somebody has connected."""


class NothingToDo(RoomkeeperError):
    """The mishap has nobody to happen to; start a conversation first."""


@asynccontextmanager
async def listen(path: Path, deeds: Mapping[str, Callable[[], Awaitable[str]]]) -> AsyncIterator[None]:
    """Do what comes over a socket, for the length of a `with` block.

    Args:
        path: Of the socket; only this user may connect.
        deeds: What can be done, by name; each returns what it did, in words.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, TimeoutError):
            said = json.loads(await asyncio.wait_for(reader.readline(), WAIT))
            answer = await _do(deeds, said.get("do") if isinstance(said, dict) else None)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, path, limit=MAX_LINE)
    path.chmod(0o600)  # noqa: ASYNC240 - at once, on a local disk
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - likewise


async def _do(deeds: Mapping[str, Callable[[], Awaitable[str]]], name: object) -> dict[str, str]:
    if not isinstance(name, str) or name not in deeds:
        return {"error": f"Known are {', '.join(deeds)}."}
    try:
        return {"did": await deeds[name]()}
    except RoomkeeperError as problem:
        return {"error": str(problem)}


class Mishaps:
    """What the panel can do.

    Args:
        panel: What it reaches.
        parts: The running parts.
        terminal: Where it is told what was done.
    """

    def __init__(self, panel: Panel, parts: Parts, terminal: Terminal) -> None:
        self._panel = panel
        self._parts = parts
        self._terminal = terminal

    @property
    def deeds(self) -> Mapping[str, Callable[[], Awaitable[str]]]:
        """By the names that the panel knows them by."""
        return {"kill_agent": self.kill_agent, "restart_worker": self.restart_worker}

    async def kill_agent(self) -> str:
        """Kill every agent that is in a room.

        Raises:
            NothingToDo: None is.
        """
        workers = self._parts.called(self._panel.worker.name)
        killed = sum([await asyncio.to_thread(kill_agents, worker.group, self._panel.sfu_port) for worker in workers])
        if not killed:
            raise NothingToDo
        self._terminal.notice(f"Killed {killed} agents (SIGKILL), as the panel asked.")
        return f"killed {killed}"

    async def restart_worker(self) -> str:
        """Deploy: start a new worker, then ask the old one to go."""
        old = self._parts.called(self._panel.worker.name)
        self._terminal.notice("A new worker comes and the old one goes, as the panel asked.")
        await self._parts.launch(self._panel.worker)
        for worker in old:
            self._parts.retire(worker, self._panel.leave)
        return "the new worker is ready, the old one leaves"


def kill_agents(worker: int, sfu_port: int) -> int:
    """Kill the processes of a worker that are in a room: they have a connection to the room server.

    Args:
        worker: Process id of the worker, which has one too and is spared.
        sfu_port: TCP port of the room server.

    Returns:
        How many that were.
    """
    import psutil

    killed = 0
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(worker).children(recursive=True):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                links = process.net_connections("tcp")
                if any(hasattr(link.raddr, "port") and link.raddr.port == sfu_port for link in links):
                    process.kill()
                    killed += 1
    return killed
