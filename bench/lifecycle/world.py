"""What runs for the measurement: a room server, a control plane, and workers, each in processes of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp
from livekit import api

from roomkeeper.testing.room_server import room_server

if TYPE_CHECKING:
    from roomkeeper.testing.room_server import RoomServer

ROOT: Final = Path(__file__).parents[2]
STARTED_WITHIN: Final = 90.0
SETTINGS: Final = """
[agents.talker.policy]
linger = 1
"recover.attempts" = 10
"""


class Process:
    """A process that is ready once it printed something; leads a group with its children.

    Attributes:
        pid: Its id, and its group's.
    """

    def __init__(self, command: list[str], environment: dict[str, str], ready: str, log: Path) -> None:
        self.pid = 0
        self._command = command
        self._environment = environment
        self._ready = ready
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it is ready."""
        with self._log.open("ab") as log:
            begin = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=ROOT,
                env={**os.environ, **self._environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._process.pid
        deadline = time.monotonic() + STARTED_WITHIN
        while self._ready.encode() not in self._log.read_bytes()[begin:]:
            if self._process.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._command} is not ready:\n{self._log.read_text()[-3000:]}")
            await asyncio.sleep(0.1)

    def signal_group(self, number: signal.Signals) -> None:
        """Signal it and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    async def ended(self) -> None:
        """Wait until it ended."""
        if self._process is not None:
            await self._process.wait()

    async def stop(self) -> None:
        """Kill it and its children."""
        if self._process is not None:
            self.signal_group(signal.SIGKILL)
            await self._process.wait()


class World:
    """Everything that a conversation needs but the user.

    Attributes:
        server: The room server.
        kept: Whether Roomkeeper is there.
        workers: By name.
    """

    server: RoomServer

    def __init__(self, folder: Path, *, kept: bool, strict: bool, workers: int = 1, idle: int = 1) -> None:
        self.workers: dict[str, Process] = {}
        self._folder = folder
        self.kept = kept
        self._strict = strict
        self._names = [f"worker-{number}" for number in range(1, workers + 1)]
        self._idle = idle
        self._stack = AsyncExitStack()
        self._url = ""

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        port = _free_port()
        flags = ["--strict"] if self._strict else []
        if self.kept:
            flags += ["--webhook", f"http://127.0.0.1:{port}/webhooks/livekit"]
            self._url = f"http://127.0.0.1:{port}"
        self.server = self._stack.enter_context(room_server(*flags))
        if self.kept:
            settings = self._folder / "roomkeeper.toml"
            settings.write_text(SETTINGS)
            command = [str(Path(sys.executable).with_name("roomkeeper")), "serve", "--port", str(port)]
            command += ["--database", f"sqlite:///{self._folder}/control.db", "--config", str(settings)]
            await self._run("control", command, "control plane listens", self.server.environment)
        for name in self._names:
            self.workers[name] = await self.worker(name)

    async def worker(self, name: str) -> Process:
        """Start a worker.

        Args:
            name: That its agents tell in their attribute `worker`.
        """
        environment = {
            **self.server.environment,
            "KEPT": str(int(self.kept)),
            "IDLE": str(self._idle),
            "WORKER": name,
            "ROOMKEEPER_URL": self._url,
            "ROOMKEEPER_SPOOL": str(self._folder / "spool"),
        }
        command = [sys.executable, "-m", "bench.lifecycle.worker", "start"]
        return await self._run(name, command, "registered worker", environment)

    async def _run(self, name: str, command: list[str], ready: str, environment: dict[str, str]) -> Process:
        process = Process(command, environment, ready, self._folder / f"{name}.log")
        self._stack.push_async_callback(process.stop)
        await process.start()
        return process

    async def end(self, room: str) -> None:
        """End the session of a room."""
        async with (
            self._http() as http,
            http.post(f"/api/sessions/{room}/end", json={"reason": "operator_ended"}) as answer,
        ):
            answer.raise_for_status()

    async def report(self, room: str, within: float) -> dict[str, Any]:
        """Return the report of a room's session, once that has ended.

        Args:
            room: Its name.
            within: Seconds.
        """
        async with self._http() as http, asyncio.timeout(within):
            while True:
                async with http.get(f"/api/sessions/{room}/report") as answer:
                    if answer.ok:
                        report: dict[str, Any] = await answer.json()
                        return report
                await asyncio.sleep(0.5)

    def _http(self) -> aiohttp.ClientSession:
        token = api.AccessToken(self.server.api_key, self.server.api_secret)
        token = token.with_grants(api.VideoGrants(room_admin=True))
        return aiohttp.ClientSession(self._url, headers={"Authorization": f"Bearer {token.to_jwt()}"})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
