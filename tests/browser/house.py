"""Room server, control plane and the example's worker, as real processes on this machine.

`LIVEKIT_SERVER` names an executable of livekit-server to start in the room server's place; `LIVEKIT_URL`,
`LIVEKIT_API_KEY` and `LIVEKIT_API_SECRET` a server that runs already, without webhooks to here and without relays.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil
from livekit import api

from tests.conformance.support.relay import RELAY_HOST
from tests.conformance.support.server import Options, Server, ServerProcess
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

REPOSITORY = Path(__file__).parents[2]
WORKER = REPOSITORY / "examples" / "interviewer" / "agent.py"
RUNNING_URL = os.environ.get("LIVEKIT_URL")
"""A room server that somebody else runs."""
REFERENCE = os.environ.get("LIVEKIT_SERVER")
"""An executable of livekit-server."""
READY_WITHIN = 120.0
STOP_WITHIN = 10.0

# Enough for a reload; the agents of closed windows are free soon. Longer outages need a longer one, and patience.
HOLD = os.environ.get("ROOMKEEPER_TEST_HOLD")
SETTINGS = f"""
[agents.interviewer.policy]
hold = {{ web = {HOLD or 10} }}
linger = 3
{f'"away.after" = {HOLD}' if HOLD else ""}
"""


@dataclass
class Process:
    """One child and its log."""

    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it, in a process group of its own."""
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._child is not None, "it is not running"
        return self._child.pid

    def stop(self) -> None:
        """Ask it to stop, then make it."""
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child = None

    def printed(self) -> str:
        """What it wrote so far."""
        return self.log.read_text(errors="replace")

    def wait_until(self, what: str, is_true: object) -> None:
        """Wait until that holds.

        Raises:
            AssertionError: The process ended, or it took too long; with the end of its log.
        """
        assert self._child is not None
        assert callable(is_true)
        deadline = time.monotonic() + READY_WITHIN
        while not is_true():
            alive = self._child.poll() is None and time.monotonic() < deadline
            assert alive, f"{self.command[0]}: {what} did not come true:\n{self.printed()[-3000:]}"
            time.sleep(0.1)


class House:
    """Everything that an interview needs.

    Args:
        folder: For logs, database and spool.
        relayed: Whether browsers find the room server and its media at `RELAY_HOST` only.
        worker: Whether there is an interviewer.
        strict: Whether the room server behaves like livekit-server throughout.
        auto_create: Whether a join makes the room.

    Attributes:
        server: Where the room server is.
        process: The room server; None if somebody else runs it.
        address: Of the page.
        auto_create: As asked for.
    """

    def __init__(
        self,
        folder: Path,
        *,
        relayed: bool = False,
        worker: bool = True,
        strict: bool = False,
        auto_create: bool = True,
    ) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}/"
        self.auto_create = auto_create
        self.process: ServerProcess | None = None
        public = ""
        if RUNNING_URL:
            self.server = Server(RUNNING_URL, os.environ["LIVEKIT_API_KEY"], os.environ["LIVEKIT_API_SECRET"])
        else:
            options = Options(
                strict=strict,
                auto_create=auto_create,
                webhooks=(f"{self.address}webhooks/livekit",),
                advertise=RELAY_HOST if relayed else None,
            )
            self.process = ServerProcess(options, folder / "sfu.log", REFERENCE)
            self.server = self.process.server
            public = f"ws://{RELAY_HOST}:{self.process.port}" if relayed else ""
        settings = folder / "roomkeeper.toml"
        settings.write_text(SETTINGS)
        environment = {
            "LIVEKIT_URL": self.server.ws,
            "LIVEKIT_PUBLIC_URL": public,
            "LIVEKIT_API_KEY": self.server.key,
            "LIVEKIT_API_SECRET": self.server.secret,
            "ROOMKEEPER_CONTROL_DEV": "true",
            "ROOMKEEPER_URL": self.address.rstrip("/"),
            "ROOMKEEPER_SPOOL": str(folder / "spool"),
            "PYTHONUNBUFFERED": "1",
            "HOME": str(folder),
        }
        flags = ("--port", str(port), "--database", f"sqlite:///{folder}/control.db", "--agent", "interviewer")
        roomkeeper = str(Path(sys.executable).with_name("roomkeeper"))
        self.control = Process(
            (roomkeeper, "serve", "--config", str(settings), *flags), environment, folder / "serve.log"
        )
        self.worker = Process(
            (sys.executable, str(WORKER), "start", "--drain-timeout", "1"), environment, folder / "worker.log"
        )
        self._with_worker = worker

    def __enter__(self) -> Self:
        try:
            if self.process:
                self.process.start()
            self.control.start()
            if self._with_worker:
                self.worker.start()
            self.control.wait_until("an answer", self._answers)
            if self._with_worker:
                self.worker.wait_until("registration", lambda: "registered worker" in self.worker.printed())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.worker.stop()
        self.control.stop()
        if self.process:
            self.process.kill()

    def media_ports(self) -> frozenset[int]:
        """Ports over which the agents hear and speak."""
        worker = psutil.Process(self.worker.pid)
        processes = [worker, *worker.children(recursive=True)]
        sockets = [socket for process in processes for socket in process.net_connections("udp")]
        return frozenset(getattr(socket.laddr, "port", 0) for socket in sockets)

    def livekit(self) -> api.LiveKitAPI:
        """The room server's own API; close it after use."""
        server = self.server
        return api.LiveKitAPI(server.http, server.key, server.secret)

    def admin_token(self) -> str:
        """A token for the control plane's API."""
        server = self.server
        return api.AccessToken(server.key, server.secret).with_grants(api.VideoGrants(room_admin=True)).to_jwt()

    def expired_token(self, granted: Mapping[str, str]) -> str:
        """A token like the one that was granted, good until a minute ago."""
        server = self.server
        token = server.unsigned_token(granted["participant_identity"], room=granted["room_name"])
        return token.with_ttl(timedelta(minutes=-1)).to_jwt()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}readyz", timeout=1) as answer:  # noqa: S310 - ours
                return bool(answer.status == 200)
        except OSError:
            return False
