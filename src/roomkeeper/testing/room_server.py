"""`roomkeeper sfu` for the length of a test."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roomkeeper.errors import RoomkeeperError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

API_KEY, API_SECRET = "devkey", "a-secret-for-tests-of-enough-length"

STOP_LIMIT = 10.0
"""Seconds between SIGTERM and SIGKILL."""

TAIL = 50
"""Lines of the log that are kept for an error's message."""


class RoomServerFailed(RoomkeeperError):
    """The room server did not start; the end of its log follows."""


@dataclass(frozen=True, slots=True)
class RoomServer:
    """Where the server listens, and a key to it."""

    url: str
    """`ws://127.0.0.1:…`, as `LIVEKIT_URL` has it."""
    api_key: str
    api_secret: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables from which LiveKit's SDKs and workers read the same."""
        return {
            "LIVEKIT_URL": self.url,
            "LIVEKIT_API_KEY": self.api_key,
            "LIVEKIT_API_SECRET": self.api_secret,
        }


@contextmanager
def room_server(*flags: str, log: Callable[[str], object] | None = None) -> Iterator[RoomServer]:
    """Run a room server on free ports of the loopback interface.

    Args:
        flags: Further flags of `roomkeeper sfu`, such as `--strict`.
        log: Is given each line of its log, a JSON object, from another thread.

    Raises:
        RoomServerFailed: It ended before it was ready.
    """
    argv = [sys.executable, "-m", "roomkeeper.cli", "sfu", "--log-format", "json"]
    argv += ["--port", "0", "--udp-port", "0", "--keys", f"{API_KEY}:{API_SECRET}", *flags]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None  # noqa: S101 - it was started with a pipe
        tail: deque[str] = deque(maxlen=TAIL)
        # A pipe that nobody reads would one day block the server.
        reader = threading.Thread(target=_read, args=(process.stderr, log or tail.append))
        try:
            url = _url_in(process.stderr, tail)
            reader.start()
            yield RoomServer(url, API_KEY, API_SECRET)
        finally:
            process.terminate()
            try:
                process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
            if reader.is_alive():
                reader.join()


def _read(lines: Iterator[str], tell: Callable[[str], object]) -> None:
    for line in lines:
        tell(line)


def _url_in(log: Iterator[str], tail: deque[str]) -> str:
    for line in log:
        tail.append(line)
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("message") == "room server ready":
            return str(entry["url"])
    raise RoomServerFailed("\n" + "".join(tail))
