"""`roomkeeper dev` as somebody runs it who has just arrived, and what can be seen of it from outside."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from livekit import rtc

from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

READY = re.compile(r"Roomkeeper is ready: (http://\S+)")
START_LIMIT = 400.0
STOP_LIMIT = 30.0
GREETING_LIMIT = 45.0

LOUD = 500
"""Mean amplitude (of 32767) of a 10 ms frame that holds speech rather than silence."""

LOUD_FRAMES = 30
"""300 ms of it: more than a click."""

MARK = "ROOMKEEPER_TEST_MARK"

OWN_CACHES = {
    "PIP_CACHE_DIR": ("python3", "-m", "pip", "cache", "dir"),
    "UV_CACHE_DIR": ("uv", "cache", "dir"),
    "npm_config_cache": ("npm", "config", "get", "cache"),
}


def stranger(home: Path) -> dict[str, str]:
    """Return the environment of a new user: this machine's programs, nothing that is ours but download caches.

    Args:
        home: The new user's empty home.
    """
    home.mkdir()
    ours = re.compile(r"HOME|XDG_.*|VIRTUAL_ENV.*|PYTHON(PATH|HOME)|COVERAGE.*|COV_.*|LIVEKIT_.*|ROOMKEEPER_.*|MAKE.*")
    env = {name: value for name, value in os.environ.items() if not ours.fullmatch(name)}
    env["PATH"] = os.pathsep.join(part for part in env["PATH"].split(os.pathsep) if "/.venv/" not in f"{part}/")
    for name, command in OWN_CACHES.items():
        if name not in env and (folder := _printed(command)):
            env[name] = folder
    return env | {"HOME": str(home), "NO_COLOR": "1"}


def _printed(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


class Ports:
    """Three ports that are free now."""

    def __init__(self) -> None:
        self.page, self.sfu, self.udp = free_port(), free_port(), free_port()

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags of `roomkeeper dev` that choose them."""
        chosen = ("--port", self.page), ("--sfu-port", self.sfu), ("--udp-port", self.udp)
        return (*(str(part) for pair in chosen for part in pair), "--no-open")

    def taken(self) -> list[tuple[str, int]]:
        """Return those that somebody holds."""
        held = []
        for name, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)):
            for port in (self.page, self.sfu, self.udp):
                with socket.socket(socket.AF_INET, kind) as probe:
                    if kind is socket.SOCK_STREAM:
                        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    try:
                        probe.bind(("127.0.0.1", port))
                    except OSError:
                        held.append((name, port))
        return held


class Dev:
    """A running `roomkeeper dev`; leaving the context kills whatever is left of it."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        self._mark = uuid4().hex
        self._argv, self._folder = argv, folder
        self._env = {**env, MARK: self._mark}
        self._lines: list[str] = []
        self._news = threading.Condition()
        self.address = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._argv,
            env=self._env,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                with self._news:
                    self._lines.append(line)
                    self._news.notify()
        with self._news:
            self._lines.append("")
            self._news.notify()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for pid in self.processes():
            with suppress(ProcessLookupError):  # it ended meanwhile
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()

    @property
    def printed(self) -> str:
        """Everything that it printed so far."""
        return "".join(self._lines)

    def wait_until_ready(self) -> None:
        """Wait for the line that names the address."""
        with self._news:
            self._news.wait_for(lambda: READY.search(self.printed) or self._lines[-1:] == [""], START_LIMIT)
        found = READY.search(self.printed)
        assert found, f"no address:\n{self.printed[-5000:]}"
        self.address = found[1]

    def processes(self) -> list[int]:
        """Return every process that descends from it, orphans too: they inherited a mark in the environment."""
        mark = f"{MARK}={self._mark}".encode()
        return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if _runs_with(folder, mark)]

    def press_ctrl_c(self) -> int:
        """Do what the terminal does: SIGINT to the foreground process group. Returns the exit status."""
        os.killpg(self._process.pid, signal.SIGINT)
        return self._process.wait(STOP_LIMIT)

    def assert_nothing_is_left(self, ports: Ports) -> None:
        """Fail if a process still runs, or a port is still held, shortly after the end."""
        deadline = time.monotonic() + 2.0
        while (self.processes() or ports.taken()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.processes() == []
        assert ports.taken() == []

    def get(self, path: str = "") -> tuple[int, str]:
        """Open the address as a browser does."""
        with _no_proxy.open(f"{self.address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()

    def token(self) -> dict[str, Any]:
        """Ask for a token as the page does."""
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.address}api/token", b"{}", headers, method="POST")  # noqa: S310 - ours
        with _no_proxy.open(request, timeout=10) as answer:
            token: dict[str, Any] = json.load(answer)
            return token


_no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _runs_with(folder: Path, mark: bytes) -> bool:
    try:
        return mark in (folder / "environ").read_bytes() and "\nState:\tZ" not in (folder / "status").read_text()
    except OSError:  # it ended meanwhile, or is not ours
        return False


async def hear_the_greeting(token: Mapping[str, Any]) -> None:
    """Join as a candidate and listen until somebody speaks."""
    room = rtc.Room()
    spoken = asyncio.Event()
    listeners: list[asyncio.Task[None]] = []

    async def listen(track: rtc.Track) -> None:
        loud = 0
        async for event in rtc.AudioStream(track, sample_rate=48000, num_channels=1):
            samples = event.frame.data
            loud += sum(map(abs, samples)) / len(samples) > LOUD
            if loud >= LOUD_FRAMES:
                spoken.set()
                return

    def subscribed(track: rtc.Track, *_: object) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            listeners.append(asyncio.create_task(listen(track)))

    room.on("track_subscribed", subscribed)
    try:
        await room.connect(token["server_url"], token["participant_token"])
        async with asyncio.timeout(GREETING_LIMIT):
            await spoken.wait()
    finally:
        await asyncio.gather(*listeners) if spoken.is_set() else [task.cancel() for task in listeners]
        await room.disconnect()
