"""How long a server leaves a client waiting: pings over an idle signal connection, and the server's own account."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
import urllib.request
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from bench.sfu.light.participant import Participant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.sfu.target import Target

PING_EVERY = 0.05
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
        longest_work: The same while the process computed; without what a machine does that wakes a sleeper late.
        late: How many times it was late by more than `bound`, of `looks`.
        blocked: The same without the waits for a core.
    """

    longest_lag: float
    longest_block: float
    longest_work: float
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
        longest_work=found["longest_work_seconds"] * 1000,
        late=looks - int(found[f"lag_{within}"]),
        blocked=looks - int(found[f"blocked_{within}"]),
        looks=looks,
    )


class Idle:
    """A process that only watches its event loop, on a server's cores: how late this machine wakes somebody who sleeps.

    Args:
        target: The server.
    """

    def __init__(self, target: Target) -> None:
        command = (sys.executable, "-m", "bench.sfu.idle")
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if target.process is not None and hasattr(target.process, "cpu_affinity"):
            psutil.Process(self._process.pid).cpu_affinity(target.process.cpu_affinity())

    def end(self) -> float:
        """Ends it; returns its longest block in milliseconds."""
        return float(self._process.communicate(timeout=10)[0])
