"""What runs for the measurement: a room server, a control plane, and workers, each in processes of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
import jwt
from livekit import api

from bench.lifecycle.network import HOST, network
from bench.lifecycle.receiver import SECRET, Receiver
from bench.lifecycle.tab import Watcher
from bench.lifecycle.user import User
from roomkeeper.testing.room_server import RoomServer, room_server
from tests.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.lifecycle.network import Network
    from bench.lifecycle.tab import Tab

ROOT: Final = Path(__file__).parents[2]
AGENT: Final = "talker"
STARTED_WITHIN: Final = 90.0
SETTINGS: Final = """
[control]
report_url = {url}
report_secret = {secret}

[agents.talker.policy]
linger = 1
"recover.attempts" = 10
"away.after" = "none"
"""
KEEPS: Final = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
"""Variables that name a room server to measure on, in place of one of our own."""


class Process:
    """A process that is ready once it printed something; leads a group with its children.

    Attributes:
        pid: Its id, and its group's.
    """

    def __init__(self, command: list[str], environment: Mapping[str, str], ready: str, log: Path) -> None:
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
    """Everything that a conversation needs but the user. An async context manager.

    Args:
        folder: For settings, spools and logs.
        kept: Whether Roomkeeper is there.
        strict: Whether the room server is to be as livekit-server is.
        workers: How many.
        idle: Processes that each of them keeps warm.
        lossy: Whether the users' network can be lost.

    Attributes:
        server: The room server.
        kept: As above.
        workers: By name.
        control: The control plane.
        network: The users', if it can be lost.
        reports: What the control plane delivered.
    """

    server: RoomServer
    control: Process

    def __init__(
        self, folder: Path, *, kept: bool, strict: bool, workers: int = 1, idle: int = 1, lossy: bool = False
    ) -> None:
        self.workers: dict[str, Process] = {}
        self.kept = kept
        self.network: Network | None = None
        self.reports = Receiver()
        self._folder = folder
        self._strict = strict
        self._names = [f"worker-{number}" for number in range(1, workers + 1)]
        self._idle = idle
        self._lossy = lossy
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
        port = free_port()
        if self.kept:
            self._url = f"http://127.0.0.1:{port}"
        await self._start_server()
        if self.kept:
            await self._stack.enter_async_context(self.reports)
            settings = self._folder / "roomkeeper.toml"
            settings.write_text(SETTINGS.format(url=json.dumps(self.reports.url), secret=json.dumps(SECRET)))
            command = [str(Path(sys.executable).with_name("roomkeeper")), "serve", "--port", str(port)]
            command += ["--database", f"sqlite:///{self._folder}/control.db", "--config", str(settings)]
            self.control = await self._run("control", command, "control plane listens", self.server.environment)
        for name in self._names:
            self.workers[name] = await self.worker(name)

    async def _start_server(self) -> None:
        if all(name in os.environ for name in KEEPS):
            self.server = RoomServer(*(os.environ[name] for name in KEEPS))
            return
        flags = ["--strict"] if self._strict else []
        if self.kept:
            flags += ["--webhook", f"{self._url}/webhooks/livekit"]
        udp_port = 0
        if self._lossy:
            settings, udp_port = self._folder / "sfu.toml", free_port(hosts=(LOOPBACK, HOST))
            settings.write_text(f'[sfu]\nadvertise = ["{HOST}"]\n')
            flags += ["--config", str(settings), "--udp-port", str(udp_port)]
        self.server = self._stack.enter_context(room_server(*flags))
        if self._lossy:
            port = urlsplit(self.server.url).port or 0
            self.network = await self._stack.enter_async_context(network(port, udp_port))

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
            "CALLS": str(self._folder),
            "ROOMKEEPER_URL": self._url,
            "ROOMKEEPER_SPOOL": str(self._folder / f"spool-{name}"),  # as on machines of their own
        }
        command = [sys.executable, "-m", "bench.lifecycle.worker", "start"]
        return await self._run(name, command, "registered worker", environment)

    async def _run(self, name: str, command: list[str], ready: str, environment: dict[str, str]) -> Process:
        process = Process(command, environment, ready, self._folder / f"{name}.log")
        self._stack.push_async_callback(process.stop)
        await process.start()
        return process

    def user(self, room: str, identity: str = "ann") -> User:
        """Return a user with a token that the application made, as livekit-agents has it."""
        return User(self.server.url, self._plain_token(room, identity))

    async def guest(
        self,
        room: str,
        identity: str = "ann",
        *,
        kind: str = "standard",
        stays: bool = False,
        policy: Mapping[str, object] = {},
    ) -> User:
        """Return a user of a session that the control plane opens; without one, as `user`.

        Args:
            room: Of a new session, or of one that goes on.
            identity: The user's.
            kind: LiveKit's kind of participant.
            stays: Whether it comes back when the SDK has given up.
            policy: Of a new session.
        """
        url = self.network.url if self.network is not None else self.server.url
        token = await self.token(room, identity, policy=policy)
        if kind != "standard":
            claims = jwt.decode(token, options={"verify_signature": False})
            token = jwt.encode(claims | {"kind": kind}, self.server.api_secret, algorithm="HS256")
        return User(url, token, stays=stays)

    async def token(self, room: str, identity: str = "ann", *, policy: Mapping[str, object] = {}) -> str:
        """Return the token of such a guest."""
        return await self._our_token(room, identity, policy) if self.kept else self._plain_token(room, identity)

    def watcher(self, room: str, tab: Tab) -> Watcher:
        """Return who watches a tab's user, as a recorder does: hidden, and of no account."""
        sees = api.VideoGrants(room_join=True, room=room, can_publish=False, hidden=True, recorder=True)
        token = api.AccessToken(self.server.api_key, self.server.api_secret).with_identity("watcher")
        return Watcher(self.server.url, token.with_kind("egress").with_grants(sees).to_jwt(), tab)

    def _plain_token(self, room: str, identity: str) -> str:
        config = api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name=AGENT)])
        token = api.AccessToken(self.server.api_key, self.server.api_secret).with_identity(identity)
        token = token.with_grants(api.VideoGrants(room_join=True, room=room)).with_room_config(config)
        return token.with_ttl(timedelta(hours=1)).to_jwt()

    async def _our_token(self, room: str, identity: str, policy: Mapping[str, object]) -> str:
        async with self._http() as http:
            wanted = {"agent": AGENT, "room": room, "user": {"identity": identity}, "policy": dict(policy)}
            async with http.post("/api/sessions", json=wanted) as answer:
                if answer.ok:
                    return str((await answer.json())["token"]["participant_token"])
            request = {"room_name": room, "participant_identity": identity}
            async with http.post("/api/token", json=request) as answer:
                answer.raise_for_status()
                return str((await answer.json())["participant_token"])

    def calls(self, room: str) -> list[str]:
        """Return which of the application's own callbacks ran in a room's job."""
        path = self._folder / f"{room}.calls"
        return path.read_text().split() if path.exists() else []

    async def end(self, room: str, reason: str = "operator_ended") -> None:
        """End the session of a room."""
        async with self._http() as http, http.post(f"/api/sessions/{room}/end", json={"reason": reason}) as answer:
            answer.raise_for_status()

    async def report(self, room: str, within: float) -> dict[str, Any]:
        """Return the report of a room's session, once that was delivered.

        Args:
            room: Its name.
            within: Seconds.

        Raises:
            TimeoutError: It was not.
        """
        async with asyncio.timeout(within):
            return await self.reports.of(room)

    def _http(self) -> aiohttp.ClientSession:
        token = api.AccessToken(self.server.api_key, self.server.api_secret)
        token = token.with_grants(api.VideoGrants(room_admin=True))
        return aiohttp.ClientSession(self._url, headers={"Authorization": f"Bearer {token.to_jwt()}"})
