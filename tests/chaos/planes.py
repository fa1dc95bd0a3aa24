"""Real processes of the control plane, that are killed and stopped; and the receiver of their reports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from tests.conformance.support.server import KEY, SECRET
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REPORT_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
AGENT, KEPT, STOCK = "interviewer", "keeper", "stocker"
"""Names of agents: a light participant; jobs of a worker that Roomkeeper wraps, and of one that it does not."""
READY_WITHIN = 60.0


class PlaneProcess:
    """`roomkeeper serve` in a process of its own.

    Args:
        folder: For its settings and its log.
        database: URL.
        livekit_url: The room server.
        keys: API key and secret of it.
        report_url: Where reports go.
        policy: Of the agents' sessions.
        agents: Whose sessions are kept.
    """

    def __init__(
        self,
        folder: Path,
        database: str,
        livekit_url: str,
        report_url: str,
        policy: Mapping[str, object],
        *,
        agents: Sequence[str] = (AGENT,),
        keys: tuple[str, str] = (KEY, SECRET),
    ) -> None:
        self.port = free_port()
        self._log = folder / f"plane-{self.port}.log"
        config = folder / f"plane-{self.port}.toml"
        rules = [f"{key} = {value}" for key, value in policy.items()]
        config.write_text("\n".join(line for agent in agents for line in (f"[agents.{agent}.policy]", *rules)))
        command = [str(Path(sys.executable).with_name("roomkeeper")), "serve", "--port", str(self.port)]
        self._command = [*command, "--database", database, "--config", str(config)]
        self._environment = {
            "LIVEKIT_URL": livekit_url,
            "LIVEKIT_API_KEY": keys[0],
            "LIVEKIT_API_SECRET": keys[1],
            "ROOMKEEPER_CONTROL_REPORT_URL": report_url,
            "ROOMKEEPER_CONTROL_REPORT_SECRET": REPORT_SECRET,
        }
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def hooks(self) -> str:
        """Where it takes webhooks."""
        return f"http://127.0.0.1:{self.port}/webhooks/livekit"

    async def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            RuntimeError: It did not; with the end of its log.
        """
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env={**os.environ, **self._environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
            )
        deadline = time.monotonic() + READY_WITHIN
        async with aiohttp.ClientSession() as http:
            while True:
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    async with http.get(f"http://127.0.0.1:{self.port}/readyz") as answer:
                        if answer.status == 200:
                            return
                if self._process.returncode is not None or time.monotonic() > deadline:
                    await self.kill()
                    raise RuntimeError(f"the control plane is not ready:\n{self.tail()}")
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """Kill it, as the kernel would."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None

    async def stop_for(self, seconds: float) -> None:
        """Stop it for a while, as a suspended machine does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            if self._process is not None:
                self._process.send_signal(signal.SIGCONT)

    def tail(self, most: int = 3000) -> str:
        """Return the end of its log, so many characters."""
        return self._log.read_text(errors="replace")[-most:] if self._log.exists() else ""


class Receiver:
    """The application's backend: verifies, and does everything once for each `webhook-id`.

    Attributes:
        effects: When each id came first, on the loop's clock.
        bodies: Every different body that came under an id.
        tries: How many posts came.
        refused: Why a post was not believed.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.effects: dict[str, float] = {}
        self.bodies: dict[str, set[bytes]] = {}
        self.sessions: dict[str, str] = {}
        self.tries = 0
        self.refused: list[str] = []
        self.arrived = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where reports go."""
        return f"http://127.0.0.1:{self.port}/reports"

    async def up(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_post("/reports", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def down(self) -> None:
        """Refuse connections, and break those there are."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.tries += 1
        try:
            message = Webhook(REPORT_SECRET).verify(body, dict(request.headers))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test has to tell it
            self.refused.append(repr(error))
            return web.Response(status=401)
        name = request.headers["webhook-id"]
        self.effects.setdefault(name, asyncio.get_running_loop().time())
        self.bodies.setdefault(name, set()).add(body)
        self.sessions.setdefault(name, message["data"]["session"])
        self.arrived.set()
        return web.Response(status=204)
