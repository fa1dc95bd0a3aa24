"""Everything that runs in the matrix, in processes of its own, and what goes wrong with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
from livekit import api

from tests.chaos.planes import AGENT, KEPT, STOCK, PlaneProcess
from tests.chaos.processes import Inbox, Program, WorkerProgram, agents_of, ours, signal_process
from tests.chaos.proxy import Proxy
from tests.conformance.support.server import Options, Server, ServerProcess
from tests.ports import free_port

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping
    from pathlib import Path

POLICY = {"hold.web": 3, "linger": 1, "agent_timeout": 8, "join_timeout": 30, '"recover.attempts"': 2}
FAULTS = (
    *("kill plane", "kill plane", "stop plane"),
    *("kill room server", "stop room server"),
    *("kill receiver", "stop receiver"),
    *("kill worker", "stop worker", "stop worker"),
    *("kill agent", "kill agent", "kill agent", "stop agent", "stop agent"),
)
LOSSY = (0.0, 0.05, 0.15)
ANSWERS_WITHIN = 180.0
"""Seconds for which an application asks again; a machine with all this needs some for a start."""


class House:
    """A room server, a control plane, workers, a receiver.

    Attributes:
        suffered: How often each fault happened.
        name: Begins the names of its rooms, which a server that runs already shares with others.

    Args:
        folder: For everything that is written.
        database: URL.
        replicas: How many processes of the control plane.
        strict: How the room server behaves; None: one that runs already is used, and no harm is done to it.
        chance: Seeded.
    """

    def __init__(
        self, folder: Path, database: str, *, replicas: int, strict: bool | None, chance: random.Random
    ) -> None:
        self.folder, self.database, self.chance = folder, database, chance
        for name in ("notes", "spool"):
            (folder / name).mkdir()
        self.suffered: Counter[str] = Counter()
        self.inbox = Inbox(folder)
        self.hooks: list[str] = []
        self.name = f"chaos-{secrets.token_hex(4)}"
        port = int(os.environ.get("ROOMKEEPER_TEST_WEBHOOK_PORT", "0")) if strict is None else 0
        self._proxy = Proxy(port or free_port(), self.hooks, chance, chance.choice(LOSSY), self.suffered)
        self._server: ServerProcess | None = None
        if strict is None:
            self.server = Server(*(os.environ[f"LIVEKIT_{name}"] for name in ("URL", "API_KEY", "API_SECRET")))
        else:
            options = Options(strict=strict, webhooks=(self._proxy.url,), data_dir=folder / "webhooks")
            self._server = ServerProcess(options, folder / "sfu.log")
            self.server = self._server.server
        url, report_url, keys = self.server.http, self.inbox.url, (self.server.key, self.server.secret)
        agents = (AGENT, KEPT, STOCK)
        self.planes = [
            PlaneProcess(folder, database, url, report_url, POLICY, agents=agents, keys=keys) for _ in range(replicas)
        ]
        # A worker has one address; each of them another replica's, where there are several.
        self._workers = [
            WorkerProgram(folder, kind, self.server, self.planes[number % replicas].url)
            for number, kind in enumerate(("kept", "stock"))
        ]
        self._busy: defaultdict[object, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def up(self) -> None:
        """Start everything."""
        await self.inbox.start()
        await self._proxy.up()
        if self._server is not None:
            await asyncio.to_thread(self._server.start)
        for worker in self._workers:
            await worker.start()
        for plane in self.planes:
            await plane.start()
            self.hooks.append(plane.hooks)
        for worker in self._workers:
            await worker.until_logged("registered worker")

    async def down(self) -> None:
        """Kill everything."""
        processes: tuple[Program | PlaneProcess, ...] = (*self._workers, *self.planes, self.inbox)
        for process in processes:
            await process.kill()
        if self._server is not None:
            await asyncio.to_thread(self._server.kill)
        for pid in ours(self.folder):
            signal_process(pid, signal.SIGKILL)
        await self._proxy.down()

    async def suffer(self, fault: str, seconds: float) -> None:
        """Let something go wrong for a while, unless the process suffers already; with several at once."""
        match fault.split(" ", 1)[1]:
            case "plane":
                hit = await self._hit(self.chance.choice(self.planes), fault, seconds)
            case "receiver":
                hit = await self._hit(self.inbox, fault, seconds)
            case "worker":
                hit = await self._hit(self.chance.choice(self._workers), fault, seconds)
            case "agent":
                hit = await self._hit_agent(fault, seconds)
            case _:
                hit = await self._hit_server(fault, seconds)
        if hit:
            self.suffered[fault] += 1
            with (self.folder / "faults.log").open("a") as log:
                log.write(f"{datetime.now(UTC):%H:%M:%S} {fault} for {seconds:.1f} s is over\n")

    async def _hit(self, process: PlaneProcess | Inbox | WorkerProgram, fault: str, seconds: float) -> bool:
        if self._busy[process].locked():
            return False
        async with self._busy[process]:
            if fault.startswith("stop"):
                await process.stop_for(seconds)
            else:
                await process.kill()
                await asyncio.sleep(seconds / 2)
                await process.start()
        return True

    async def _hit_server(self, fault: str, seconds: float) -> bool:
        server = self._server
        if server is None or self._busy["room server"].locked():
            return False
        async with self._busy["room server"]:
            if fault.startswith("stop"):
                server.signal(signal.SIGSTOP)
                await asyncio.sleep(seconds)
                server.signal(signal.SIGCONT)
            else:
                await asyncio.to_thread(server.kill)
                await asyncio.sleep(seconds / 2)
                await asyncio.to_thread(server.start)
        return True

    async def _hit_agent(self, fault: str, seconds: float) -> bool:
        pids = await asyncio.to_thread(agents_of, self.folder)
        if not pids:
            return False
        pid = self.chance.choice(pids)
        if fault.startswith("stop"):
            signal_process(pid, signal.SIGSTOP)
            await asyncio.sleep(seconds)
            signal_process(pid, signal.SIGCONT)
        else:
            signal_process(pid, signal.SIGKILL)
        return True

    async def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Ask any replica until one answers.

        Raises:
            TimeoutError: None did.
        """
        token = self.server.token(room_admin=True)
        headers = {"authorization": f"Bearer {token}"}
        timeout = aiohttp.ClientTimeout(total=5)
        async with asyncio.timeout(ANSWERS_WITHIN), aiohttp.ClientSession(timeout=timeout, headers=headers) as http:
            while True:
                url = self.chance.choice(self.hooks).replace("/webhooks/livekit", path)
                with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                    async with http.request(method, url, json=body) as answer:
                        if answer.status < 300:
                            found: dict[str, Any] = await answer.json()
                            return found
                        if answer.status < 500:
                            raise AssertionError(f"{path}: {answer.status} {await answer.text()}")
                await asyncio.sleep(0.2)

    async def rooms(self) -> set[str]:
        """List the rooms of this house that are there."""
        server = self.server
        async with api.LiveKitAPI(server.http, server.key, server.secret) as livekit:
            listed = (await livekit.room.list_rooms(api.ListRoomsRequest())).rooms
        return {room.name for room in listed if room.name.startswith(self.name)}

    def logs(self) -> str:
        """Return what the control plane was worried about last."""
        worries = (line for plane in self.planes for line in plane.tail(100_000).splitlines() if "info" not in line)
        return "\n".join(line[:500] for line in list(worries)[-30:])
