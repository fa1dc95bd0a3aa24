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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.control import bare
from bench.control.databases import POSTGRES, SQLITE, filled, postgres_server
from bench.control.talk import BATCH, START, Talk, at, choose, live_session
from roomkeeper.control.store.store import Store, writes_of
from roomkeeper.lifecycle.machine import transition

if TYPE_CHECKING:
    import psutil

    from roomkeeper.control.store.ledger import Writes
    from roomkeeper.lifecycle.events import Event
    from roomkeeper.lifecycle.state import Session

AT_ONCE = 8
"""Events under way at the same time."""
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
        queues[hash(talk.id) % AT_ONCE].append((talk, events))

    async def work(queue: list[tuple[Talk, list[Event]]]) -> None:
        for talk, events in queue:
            begun = time.perf_counter()
            await store.tell(talk.id, *events)
            times.append(time.perf_counter() - begun)

    await asyncio.gather(*map(work, queues))
    return times


def planned(live: int, plan: list[tuple[Talk, Event]]) -> list[Writes]:
    """Say what a plan writes, without writing it."""
    states: dict[int, tuple[Session, int]] = {}
    all_writes = []
    for talk, event in plan:
        number = int(talk.id.removeprefix("S_"))
        before, lines = states.get(number) or (live_session(number)[0], len(live_session(number)[1]))
        timed = at(event, START)
        after, actions = transition(before, timed)
        states[number] = (after, lines + 1)
        all_writes.append(writes_of(before, after, lines, [timed], [actions], START))
    return all_writes


class Bench:
    """Runs the measurements and keeps what they found."""

    def __init__(self, folder: Path, events: int, rounds: int) -> None:
        self.folder, self.events, self.rounds = folder, events, rounds
        self.found: list[Measured] = []

    async def run(self, kind: str, server: str, process: psutil.Process | None, live: int) -> None:
        """Measure one database at one number of live sessions: ours and bare take turns."""
        chance = random.Random(live)
        async with (
            filled(kind, self.folder, server, live) as (ours, _),
            filled(kind, self.folder, server, live) as (other, other_url),
        ):
            store = Store(ours)
            talks = [Talk(f"S_{number}") for number in range(live)]
            rounds = [choose(talks, self.events, chance) for _ in range(self.rounds + 1)]
            everything = planned(live, [one for plan in rounds for one in plan])
            await other.dispose()  # the file belongs to the bare driver from here on
            path = other_url.removeprefix("sqlite:///")
            for number, plan in enumerate(rounds):
                meter = Meter(process)
                times = await told(store, [(talk, [event]) for talk, event in plan])
                one = meter.stop(kind, "one event a transaction", live, self.events, times)
                writes = everything[number * self.events : (number + 1) * self.events]
                meter = Meter(process)
                times = bare.sqlite(path, writes) if kind == SQLITE else await bare.postgres(other_url, writes, AT_ONCE)
                two = meter.stop(kind, "the bare driver", live, self.events, times)
                frames = [(talk, talk.frame()) for talk in chance.choices(talks, k=max(AT_ONCE, self.events // BATCH))]
                meter = Meter(process)
                times = await told(store, frames)
                three = meter.stop(kind, f"frames of {BATCH}", live, BATCH * len(frames), times)
                if number:  # the first round warms up
                    self.found += [one, two, three]

    def median(self, kind: str, how: str, live: int) -> Measured:
        """Put the rounds together; the rates' spread is told by `spread`."""
        some = [one for one in self.found if (one.database, one.how, one.live) == (kind, how, live)]
        middle = {
            name: statistics.median(getattr(one, name) for one in some) for name in ("rate", "core", "p50", "p99")
        }
        return Measured(kind, how, live, **middle)

    def spread(self, kind: str, how: str, live: int) -> str:
        """Return the smallest and the largest rate of the rounds."""
        rates = [one.rate for one in self.found if (one.database, one.how, one.live) == (kind, how, live)]
        return f"{min(rates):.0f}-{max(rates):.0f}"

    def report(self, sizes: list[int], kinds: list[str]) -> bool:
        """Print the figures; returns whether the promises were kept."""
        kept = True
        print("database    live   how                        events/s (rounds)        /s/core   p50 ms   p99 ms")
        for kind in kinds:
            for live in sizes:
                for how in ("one event a transaction", "the bare driver", f"frames of {BATCH}"):
                    one = self.median(kind, how, live)
                    rates = f"{one.rate:7.0f} ({self.spread(kind, how, live)})"
                    line = (
                        f"{kind:<10} {live:>6}   {how:<25}  {rates:<24} {one.core:7.0f} {one.p50:8.2f} {one.p99:8.2f}"
                    )
                    print(line)
            first = self.median(kind, "one event a transaction", sizes[0])
            for live in sizes:
                one, other, frame = (
                    self.median(kind, how, live)
                    for how in ("one event a transaction", "the bare driver", f"frames of {BATCH}")
                )
                share, cost, faster = one.rate / other.rate, first.core / one.core - 1, frame.rate / one.rate
                kept &= share >= SHARE and cost <= FLAT and faster > FASTER
                print(
                    f"{kind} with {live}: {share:.0%} of the bare driver; an event costs {cost:+.0%} "
                    f"of what it does with {sizes[0]}; frames are {faster:.1f} times as fast"
                )
        return kept


async def main(arguments: argparse.Namespace) -> bool:
    """Measure and print."""
    sizes, kinds = arguments.live, arguments.databases
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        bench = Bench(folder, arguments.events, arguments.rounds)
        if SQLITE in kinds:
            for live in sizes:
                print(f"SQLite, {live} live sessions", file=sys.stderr, flush=True)
                await bench.run(SQLITE, "", None, live)
        if POSTGRES in kinds:
            with postgres_server(folder) as (server, process):
                for live in sizes:
                    print(f"PostgreSQL, {live} live sessions", file=sys.stderr, flush=True)
                    await bench.run(POSTGRES, server, process, live)
        if arguments.json:
            arguments.json.write_text(json.dumps([asdict(one) for one in bench.found], indent=1))
        return bench.report(sizes, kinds)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.control", description=__doc__)
    parser.add_argument("--live", type=int, nargs="+", default=[100, 1_000, 10_000], help="live sessions")
    parser.add_argument("--events", type=int, default=4_000, help="events in a round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, after one that warms up")
    parser.add_argument("--databases", nargs="+", choices=[SQLITE, POSTGRES], default=[SQLITE, POSTGRES])
    parser.add_argument("--json", type=Path, help="write every round to this file")
    parser.add_argument("--check", action="store_true", help="end with status 1 if a promise is not kept")
    return parser.parse_args()


if __name__ == "__main__":
    given = parse()
    kept_all = asyncio.run(main(given))
    sys.exit(1 if given.check and not kept_all else 0)
