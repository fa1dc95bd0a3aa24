"""`roomkeeper serve` as processes of their own, to be killed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = """
[policy]
linger = 1
agent_timeout = 30

[policy.hold]
web = 30

[agents.interviewer]
"""


@dataclass
class Serve:
    """A control plane; `start()` and `kill()` may alternate, the address stays.

    Attributes:
        folder: Where it runs.
        database: URL.
        livekit_url: The room server, whose key and secret follow.
        log: The last lines of what it said.
    """

    folder: Path
    database: str
    livekit_url: str
    key: str
    secret: str
    port: int = field(default_factory=free_port)
    log: deque[str] = field(default_factory=lambda: deque(maxlen=500))
    process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Serve:
        """Start it, and wait until it listens."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "roomkeeper.toml").write_text(SETTINGS)
        env = {name: value for name, value in os.environ.items() if not name.startswith(("LIVEKIT_", "ROOMKEEPER_"))}
        env |= {"LIVEKIT_URL": self.livekit_url, "LIVEKIT_API_KEY": self.key, "LIVEKIT_API_SECRET": self.secret}
        argv = [sys.executable, "-m", "roomkeeper.cli", "serve", "--port", str(self.port), "--database", self.database]
        self.process = subprocess.Popen(argv, cwd=self.folder, env=env, stderr=subprocess.PIPE, text=True)
        listening = threading.Event()
        threading.Thread(target=self._read, args=(self.process, listening), daemon=True).start()
        assert listening.wait(30), list(self.log)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return self

    def kill(self) -> None:
        """Kill it, as the kernel would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _read(self, process: subprocess.Popen[str], listening: threading.Event) -> None:
        assert process.stderr is not None
        with process.stderr as said:
            for line in said:
                self.log.append(line)
                if json.loads(line)["message"] == "control plane listens":
                    listening.set()
