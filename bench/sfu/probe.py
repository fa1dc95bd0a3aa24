"""How long a server leaves a client waiting: pings over an idle signal connection, and the server's own account."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.request
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import psutil

from bench.sfu.light.participant import Participant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from bench.sfu.target import Target

PING_EVERY = 0.05
HELD_UP = "the event loop was held up"
"""What the server's log says of it."""
METRICS = "roomkeeper_sfu_event_loop_"


@dataclass(slots=True)
class Waits:
    """What was noticed from outside, in milliseconds.

    Attributes:
        pings: Round trips.
        own: By how much this process itself woke up late at the same time: the machine's share.
    """

    pings: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)


@asynccontextmanager
async def watching(target: Target, room: str, waits: Waits) -> AsyncIterator[None]:
    """Pings the server as long as the context lasts."""
    participant = Participant()
    participant.ponged = lambda seconds: waits.pings.append(seconds * 1000)
    await participant.join(target.url, target.token(room, "probe"))
    task = asyncio.create_task(_ping(participant, waits))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await participant.leave()


async def _ping(participant: Participant, waits: Waits) -> None:
    while True:
        start = time.perf_counter()
        await asyncio.sleep(PING_EVERY)
        waits.own.append((time.perf_counter() - start - PING_EVERY) * 1000)
        await participant.ping()


@dataclass(frozen=True, slots=True)
class Loop:
    """The server's own account of its event loop, since it started; times in milliseconds.

    Attributes:
        longest_lag: By how much it was late at most.
        longest_block: The same without the waits for a core, which the machine is to blame for.
        late: How many times it was late by more than `bound`, of `looks`.
        blocked: The same without the waits for a core.
    """

    longest_lag: float
    longest_block: float
    late: int
    blocked: int
    looks: int


def loop(target: Target, bound: float) -> Loop | None:
    """Asks the server for its account.

    Args:
        target: The server.
        bound: Milliseconds, one of the histogram's bounds.

    Returns:
        None if the server has no such metrics.
    """
    url = target.url.replace("ws", "http", 1) + "/metrics"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http or https by construction
            text = answer.read().decode()
    except OSError:
        return None
    found = {name: float(value) for name, value in re.findall(rf"^{METRICS}(\S+) (\S+)$", text, re.MULTILINE)}
    if "blocked_seconds_count" not in found:
        return None
    looks, within = int(found["blocked_seconds_count"]), f'seconds_bucket{{le="{bound / 1000:g}"}}'
    return Loop(
        longest_lag=found["longest_lag_seconds"] * 1000,
        longest_block=found["longest_block_seconds"] * 1000,
        late=looks - int(found[f"lag_{within}"]),
        blocked=looks - int(found[f"blocked_{within}"]),
        looks=looks,
    )


@dataclass(frozen=True, slots=True)
class Block:
    """A time for which an event loop was held up; seconds since 1970.

    Attributes:
        seconds: How long it was, without its waits for a core.
        over: When it was over.
        worked: Seconds that its thread worked meanwhile, and in the 10 ms before.
    """

    seconds: float
    over: float
    worked: float = 0.0

    def shared(self, others: Iterable[Block]) -> float:
        """Returns the seconds of it that these share."""
        begun = self.over - self.seconds
        both = (min(self.over, other.over) - max(begun, other.over - other.seconds) for other in others)
        return min(self.seconds, sum(max(0.0, each) for each in both))

    @staticmethod
    def in_log(line: str) -> Block | None:
        """Reads what the server says of one; None if the line is about something else."""
        entry = json.loads(line) if line.startswith("{") else {}
        if entry.get("message") != HELD_UP:
            return None
        over = datetime.fromisoformat(entry["at"]).timestamp()
        return Block(entry["milliseconds"] / 1000, over, entry["worked_milliseconds"] / 1000)


@dataclass(slots=True)
class Beside:
    """What a process beside a server saw.

    Attributes:
        held: When it was itself held up.
        calls: When the server slept in a call of the kernel instead of waiting for events.
        waited: Seconds that the server was seen to wait for events; 0 where the kernel does not show it.
    """

    held: list[Block] = field(default_factory=list)
    calls: list[Block] = field(default_factory=list)
    waited: float = 0.0

    def own(self, block: Block) -> float:
        """Returns the seconds of a server's block that it has itself to blame for: its work, and calls it slept in.

        What this process was held up with it, the machine held up. In the rest the server waited for events and was
        woken late, or was not run: no counter of Linux shows that of a virtual machine. Where the kernel does not show
        calls, that rest counts.
        """
        alone = block.seconds - block.shared(self.held)
        return min(alone, block.worked + block.shared(self.calls)) if self.waited else alone


class Idle:
    """A process on a server's cores that only watches the server and itself (`bench.sfu.idle`).

    Args:
        target: The server.
    """

    def __init__(self, target: Target) -> None:
        server = str(target.process.pid) if target.process is not None else "0"
        command = (sys.executable, "-m", "bench.sfu.idle", server)
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if target.process is not None and hasattr(target.process, "cpu_affinity"):
            psutil.Process(self._process.pid).cpu_affinity(target.process.cpu_affinity())

    def end(self) -> Beside:
        """Ends it; returns what it saw."""
        seen = Beside()
        for line in self._process.communicate(timeout=10)[0].splitlines():
            what, over, seconds = line.split()[:3]
            if what == "seen":
                seen.waited = float(seconds)
            else:
                (seen.held if what == "held" else seen.calls).append(Block(float(seconds), float(over)))
        return seen
