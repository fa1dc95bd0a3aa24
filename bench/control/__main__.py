"""Measures the store: events per second and per core, p50 and p99, for ever more live sessions, beside bare drivers."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.control import bare
from bench.control.databases import POSTGRES, SQLITE, filled, postgres_server
from bench.control.talk import BATCH, START, Talk, at, choose, live_session
from roomkeeper.control.store.store import Store, writes_of
from roomkeeper.lifecycle.machine import transition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    import psutil

    from roomkeeper.control.store.ledger import Writes
    from roomkeeper.lifecycle.events import Event
    from roomkeeper.lifecycle.state import Session

OURS, BARE = "one event a transaction", "the bare driver"
AT_ONCE = 8
"""Events under way at the same time."""
FRAMES = f"frames of {BATCH}"
SHARE, FLAT, FASTER = 0.5, 0.2, 1.0
"""What is promised: of the bare drivers' rate, of the cost with few sessions, of the rate without batches."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One way of writing, at one number of live sessions.

    Attributes:
        rate: Events a second.
        core: Events for each second of CPU time, of this process and of the database together.
        p50, p99: Milliseconds of a transaction.
    """

    database: str
    how: str
    live: int
    rate: float
    core: float
    p50: float
    p99: float


class Meter:
    """Times a stretch of work, and counts its CPU time.

    Args:
        server: The database's process, if it has one of its own.
    """

    def __init__(self, server: psutil.Process | None) -> None:
        self._server = server
        self._wall, self._cpu = time.perf_counter(), self._used()

    def stop(self, database: str, how: str, live: int, events: int, times: list[float]) -> Measured:
        """Return what was measured."""
        wall, cpu = time.perf_counter() - self._wall, self._used() - self._cpu
        milliseconds = sorted(1000 * one for one in times)
        p50, p99 = (milliseconds[int(len(milliseconds) * share)] for share in (0.5, 0.99))
        return Measured(database, how, live, events / wall, events / max(cpu, 1e-6), p50, p99)

    def _used(self) -> float:
        used = time.process_time()
        if self._server is not None:
            own = self._server.cpu_times()
            used += own.user + own.system + own.children_user + own.children_system  # connections that are closed
            for process in self._server.children():
                spent = process.cpu_times()
                used += spent.user + spent.system
        return used


async def told(store: Store, plan: list[tuple[Talk, list[Event]]]) -> list[float]:
    """Tell the store, some at once, each session's events in order; returns seconds for each transaction."""
    times: list[float] = []
    queues: list[list[tuple[Talk, list[Event]]]] = [[] for _ in range(AT_ONCE)]
    for talk, events in plan:
        queues[bare.queue_of(talk.id, AT_ONCE)].append((talk, events))

    async def work(queue: list[tuple[Talk, list[Event]]]) -> None:
        for talk, events in queue:
            begun = time.perf_counter()
            await store.tell(talk.id, *events)
            times.append(time.perf_counter() - begun)

    await asyncio.gather(*map(work, queues))
    return times


def planned(plan: list[tuple[Talk, Event]], states: dict[int, tuple[Session, int]]) -> list[Writes]:
    """Say what a plan writes, without writing it; `states` are kept from one plan to the next."""
    all_writes = []
    for talk, event in plan:
        number = int(talk.id.removeprefix("S_"))
        if number not in states:
            session, journal = live_session(number)
            states[number] = session, len(journal)
        before, lines = states[number]
        timed = at(event, START)
        after, actions = transition(before, timed)
        states[number] = (after, lines + 1)
        all_writes.append(writes_of(before, after, lines, [timed], [actions], START))
    return all_writes


class Site:
    """One database with live sessions, and its twin for the bare driver.

    Args:
        kind: SQLITE or POSTGRES.
        live: How many sessions.
        store: Ours.
        other: The bare driver's.
        process: The database's own, if it has one.
    """

    def __init__(
        self, kind: str, live: int, store: Store, other: bare.Sqlite | bare.Postgres, process: psutil.Process | None
    ) -> None:
        self.kind, self.live = kind, live
        self._store, self._other, self._process = store, other, process
        self._chance = random.Random(live)
        self._talks = [Talk(f"S_{number}") for number in range(live)]
        self._states: dict[int, tuple[Session, int]] = {}

    async def round(self, number: int, events: int) -> list[Measured]:
        """Let ours and the bare driver write the same, in turns about who is first; then frames."""
        plan = choose(self._talks, events, self._chance)
        writes = planned(plan, self._states)
        ways = [(OURS, told(self._store, [(talk, [event]) for talk, event in plan])), (BARE, self._other.write(writes))]
        found = [await self._measure(how, work, events) for how, work in (ways if number % 2 else reversed(ways))]
        frames = [(talk, talk.frame()) for talk in self._chance.choices(self._talks, k=max(AT_ONCE, events // BATCH))]
        return [*found, await self._measure(FRAMES, told(self._store, frames), BATCH * len(frames))]

    async def _measure(self, how: str, work: Coroutine[Any, Any, list[float]], events: int) -> Measured:
        meter = Meter(self._process)
        times = await work
        return meter.stop(self.kind, how, self.live, events, times)


@asynccontextmanager
async def site(kind: str, folder: Path, server: str, process: psutil.Process | None, live: int) -> AsyncIterator[Site]:
    """Fill two databases alike."""
    async with filled(kind, folder, server, live) as (ours, _), filled(kind, folder, server, live) as (twin, url):
        await twin.dispose()  # the file belongs to the bare driver from here on
        store = Store(ours)
        await store.unsettled()  # as the reconciler does every 1.5 s: what is live has been read before
        path = url.removeprefix("sqlite:///")
        other = bare.Sqlite(path) if kind == SQLITE else await bare.Postgres.open(url, AT_ONCE)
        try:
            yield Site(kind, live, store, other, process)
        finally:
            await other.close()


class Bench:
    """Runs the measurements and keeps what they found.

    Args:
        folder: For databases.
        events: In one stretch of one way of writing.
        rounds: Stretches of each.
    """

    def __init__(self, folder: Path, events: int, rounds: int) -> None:
        self.folder, self.events, self.rounds = folder, events, rounds
        self.found: list[Measured] = []

    async def run(self, kind: str, server: str, process: psutil.Process | None, sizes: list[int]) -> None:
        """Measure one database: all numbers of live sessions and all ways take turns, since noise comes and goes."""
        async with AsyncExitStack() as stack:
            sites = [await stack.enter_async_context(site(kind, self.folder, server, process, live)) for live in sizes]
            for number in range(self.rounds + 1):
                for each in sites if number % 2 else reversed(sites):
                    found = await each.round(number, self.events)
                    if number:  # the first round warms up
                        self.found += found

    def some(self, kind: str, how: str, live: int) -> list[Measured]:
        """Return the rounds of one way, in order."""
        return [one for one in self.found if (one.database, one.how, one.live) == (kind, how, live)]

    def median(self, kind: str, how: str, live: int) -> Measured:
        """Put the rounds together."""
        some = self.some(kind, how, live)
        middle = {
            name: statistics.median(getattr(one, name) for one in some) for name in ("rate", "core", "p50", "p99")
        }
        return Measured(kind, how, live, **middle)

    def ratios(self, kind: str, one: tuple[str, int], other: tuple[str, int], what: str) -> list[float]:
        """Compare two ways round by round, the smallest first: what disturbed a round disturbed both."""
        pairs = zip(self.some(kind, *one), self.some(kind, *other), strict=True)
        return sorted(getattr(a, what) / getattr(b, what) for a, b in pairs)

    def report(self, sizes: list[int], kinds: list[str]) -> bool:
        """Print the figures; returns whether the promises were kept."""
        kept = True
        print("database    live   how                         events/s (rounds)       /s/core   p50 ms   p99 ms")
        for kind in kinds:
            for live in sizes:
                for how in (OURS, BARE, FRAMES):
                    one, rates = self.median(kind, how, live), [each.rate for each in self.some(kind, how, live)]
                    spread = f"{one.rate:7.0f} ({min(rates):.0f}-{max(rates):.0f})"
                    cells = f"{spread:<24} {one.core:7.0f} {one.p50:8.2f} {one.p99:8.2f}"
                    print(f"{kind:<10} {live:>6}   {how:<25}  {cells}")
            for live in sizes:
                share = self.ratios(kind, (OURS, live), (BARE, live), "rate")
                cost = self.ratios(kind, (OURS, sizes[0]), (OURS, live), "core")
                faster = self.ratios(kind, (FRAMES, live), (OURS, live), "rate")
                middle = [statistics.median(each) for each in (share, cost, faster)]
                kept &= middle[0] >= SHARE and middle[1] - 1 <= FLAT and middle[2] > FASTER
                print(
                    f"{kind} with {live}: {middle[0]:.0%} of the bare driver ({share[0]:.0%}-{share[-1]:.0%}); "
                    f"an event costs {middle[1] - 1:+.0%} of what it does with {sizes[0]} "
                    f"({cost[0] - 1:+.0%} to {cost[-1] - 1:+.0%}); frames are {middle[2]:.1f} times as fast"
                )
        return kept


async def main(arguments: argparse.Namespace) -> bool:
    """Measure and print."""
    sizes, kinds = arguments.live, arguments.databases
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        bench = Bench(folder, arguments.events, arguments.rounds)
        if SQLITE in kinds:
            print(SQLITE, file=sys.stderr, flush=True)
            await bench.run(SQLITE, "", None, sizes)
        if POSTGRES in kinds:
            print(POSTGRES, file=sys.stderr, flush=True)
            with postgres_server(folder) as (server, process):
                await bench.run(POSTGRES, server, process, sizes)
        if arguments.json:
            arguments.json.write_text(json.dumps([asdict(one) for one in bench.found], indent=1))
        return bench.report(sizes, kinds)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.control", description=__doc__)
    parser.add_argument("--live", type=int, nargs="+", default=[100, 1_000, 10_000], help="live sessions")
    parser.add_argument("--events", type=int, default=1_000, help="events in a round")
    parser.add_argument("--rounds", type=int, default=11, help="rounds, after one that warms up")
    parser.add_argument("--databases", nargs="+", choices=[SQLITE, POSTGRES], default=[SQLITE, POSTGRES])
    parser.add_argument("--json", type=Path, help="write every round to this file")
    parser.add_argument("--check", action="store_true", help="end with status 1 if a promise is not kept")
    return parser.parse_args()


if __name__ == "__main__":
    given = parse()
    kept_all = asyncio.run(main(given))
    sys.exit(1 if given.check and not kept_all else 0)
