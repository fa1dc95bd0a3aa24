"""How long a server leaves a client waiting: pings over an idle signal connection, and the server's own account."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.request
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.sfu.light.participant import Participant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.sfu.target import Target

PING_EVERY = 0.05
METRIC = "roomkeeper_sfu_event_loop_lag_seconds"
"""A histogram of the server: by how much its loop was late to wake up."""


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


def loop_lag(target: Target) -> dict[float, int]:
    """Reads the server's histogram of late wake-ups.

    Returns:
        How many were late by up to so many seconds and by more than the next smaller number of seconds; nothing if the
        server has no such metric.
    """
    url = target.url.replace("ws", "http", 1) + "/metrics"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http or https by construction
            text = answer.read().decode()
    except OSError:
        return {}
    found = re.findall(rf'^{METRIC}_bucket\{{le="([^"]+)"\}} (\S+)$', text, re.MULTILINE)
    counts = {float(bound): int(float(count)) for bound, count in found}
    return {
        bound: count - before for (bound, count), before in zip(counts.items(), [0, *counts.values()], strict=False)
    }
