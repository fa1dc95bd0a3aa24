"""The servers that are measured: ours, in a process of its own, and any other."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
from livekit import api
from livekit.protocol.room import RoomConfiguration

from roomkeeper.testing.room_server import room_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OURS = "roomkeeper sfu"
MB = 1e6


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process used of the cores so far, in seconds.

    Attributes:
        cpu: User and system time.
        waited: Time in which it could have run but got no core: the machine's noise. Linux only.
        known: Whether the process could be looked at.
    """

    cpu: float = 0.0
    waited: float = 0.0
    known: bool = False

    def __sub__(self, other: Usage) -> Usage:
        return Usage(self.cpu - other.cpu, self.waited - other.waited, self.known and other.known)


@dataclass(frozen=True, slots=True)
class Target:
    """A server to measure.

    Attributes:
        name: For the output.
        url: `ws://…`.
        process: Of the server, if it runs on this machine; without it CPU and memory stay unknown.
        log: Its lines so far, if it was started here.
    """

    name: str
    url: str
    key: str
    secret: str
    process: psutil.Process | None
    log: Sequence[str] = ()

    def token(self, room: str, identity: str) -> str:
        """Makes a token that joins the room; the room ends a second after the last has left."""
        grants = api.VideoGrants(room_join=True, room=room)
        token = api.AccessToken(self.key, self.secret).with_identity(identity).with_grants(grants)
        config = RoomConfiguration(departure_timeout=1, empty_timeout=30)
        return token.with_room_config(config).with_ttl(timedelta(hours=1)).to_jwt()

    def usage(self) -> Usage:
        """Returns what the process used so far."""
        if self.process is None:
            return Usage()
        times = self.process.cpu_times()
        waited = 0
        for task in Path(f"/proc/{self.process.pid}/task").glob("*/schedstat"):
            # "time on a core, time waiting for one, slices", in ns (kernel, Documentation/scheduler/sched-stats.rst).
            waited += int(task.read_text().split()[1])
        return Usage(float(times.user + times.system), waited / 1e9, known=True)

    def memory(self) -> float | None:
        """Returns the memory in MB: PSS where the system tells it, else RSS."""
        if self.process is None:
            return None
        info = self.process.memory_full_info()
        return float(getattr(info, "pss", info.rss)) / MB

    def own_memory(self) -> float | None:
        """Returns the memory in MB without mapped files, whose pages come and go as the system likes.

        Where the system does not tell it, this is the RSS.
        """
        if self.process is None:
            return None
        status = Path(f"/proc/{self.process.pid}/status")
        if status.exists():
            anonymous = re.search(r"^RssAnon:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
            if anonymous is not None:
                return int(anonymous[1]) * 1024 / MB
        return float(self.process.memory_info().rss) / MB


@contextmanager
def ours(cores: frozenset[int]) -> Iterator[Target]:
    """Runs `roomkeeper sfu` on these cores; on any if there are none."""
    log: list[str] = []
    with room_server(log=log.append) as server:
        process = _listener(server.url)
        if process is not None and cores:
            process.cpu_affinity(sorted(cores))
        yield Target(OURS, server.url, server.api_key, server.api_secret, process, log)


def other(url: str) -> Target:
    """Returns another LiveKit server, with `LIVEKIT_API_KEY` and `LIVEKIT_API_SECRET` as keys to it."""
    url = url.replace("http", "ws", 1) if url.startswith("http") else url
    key, secret = os.environ.get("LIVEKIT_API_KEY", "devkey"), os.environ.get("LIVEKIT_API_SECRET", "secret")
    return Target(url, url, key, secret, _listener(url))


def _listener(url: str) -> psutil.Process | None:
    """Finds the process of this machine that listens where the URL points, if we may see it."""
    address = urlsplit(url)
    if address.hostname not in {"127.0.0.1", "localhost", "::1"}:
        return None
    port = address.port or (443 if address.scheme == "wss" else 80)
    try:
        sockets = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return None
    for socket in sockets:
        listens = socket.status == psutil.CONN_LISTEN and socket.laddr and socket.laddr.port == port
        if listens and socket.pid:
            return psutil.Process(socket.pid)
    return None
