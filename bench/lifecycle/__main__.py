"""`python -m bench.lifecycle`: kills, stops and restarts agents in the middle of conversations, see bench/README.md."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import signal
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.lifecycle import rows
from bench.lifecycle.world import World

if TYPE_CHECKING:
    from bench.lifecycle.rows import Outcome

LIMITS: Final = {"1": (1.2, 3.0), "2": (6.5, 9.0), "3": (8.0, 8.0), "9": (0.5, 5.0)}
"""Seconds until an agent is heard again: half of the conversations, and all."""
NAMES: Final = {
    "1": "agent's process killed",
    "2": "whole worker killed, another one alive",
    "3": "agent's process stopped, and continued",
    "9": "workers restarted one by one",
}


async def measure(row: str, arguments: argparse.Namespace, folder: Path, *, kept: bool) -> list[Outcome]:
    """Measure one row, kept or with livekit-agents alone."""
    times = arguments.times if kept else arguments.stock
    rng = random.Random(arguments.seed)
    workers = 1 if row in {"1", "3"} else 2
    idle = arguments.sessions + 1 if row == "9" else 2
    async with World(folder, kept=kept, strict=arguments.strict, workers=workers, idle=idle) as world:
        if row == "9":
            return await rows.restart_workers(world, [f"talk-{number}" for number in range(arguments.sessions)])
        outcomes = []
        for number in range(times):
            room = f"talk-{number}"
            match row:
                case "1":
                    outcomes.append(await rows.kill_job(world, room, rows.MOMENTS[number % len(rows.MOMENTS)], rng))
                case "2":
                    outcomes.append(await rows.kill_worker(world, room))
                case _:
                    outcomes.append(await rows.pause_job(world, room))
            print(f"  {outcomes[-1]}", file=sys.stderr, flush=True)
        return outcomes


def report(row: str, outcomes: list[Outcome], *, kept: bool) -> bool:
    """Print what was found; returns whether the promise was kept."""
    heard = sorted(outcome.heard for outcome in outcomes if outcome.heard is not None)
    whole = sum(outcome.kept is True and (outcome.greetings or 0) <= 1 for outcome in outcomes)
    print(f"{NAMES[row]}, {'with Roomkeeper' if kept else 'livekit-agents alone'}: {len(outcomes)} conversations")
    if not heard:
        print("  no agent was heard again")
        return not kept
    p50 = statistics.median(heard)
    print(f"  heard again {len(heard)} of {len(outcomes)}: min {heard[0]:.2f}, p50 {p50:.2f}, max {heard[-1]:.2f} s")
    print(f"  whole conversation remembered and reported, greeted once at most: {whole} of {len(outcomes)}")
    for outcome in outcomes:
        if outcome.notes:
            print(f"  {outcome.what}: {'; '.join(outcome.notes)}")
    middle, most = LIMITS[row]
    return len(heard) == len(outcomes) == whole and p50 <= middle and heard[-1] <= most


async def main(arguments: argparse.Namespace) -> bool:
    """Measure and print."""
    promised, samples = True, {}
    with tempfile.TemporaryDirectory(prefix="bench", dir=arguments.folder) as folder:
        for row in arguments.rows.split(","):
            for kept in (True, False) if arguments.stock else (True,):
                print(NAMES[row], "" if kept else "(stock)", file=sys.stderr, flush=True)
                outcomes = await measure(row, arguments, Path(folder, f"{row}-{kept}"), kept=kept)
                promised &= report(row, outcomes, kept=kept)
                samples[f"{row}{'' if kept else ' stock'}"] = [asdict(outcome) for outcome in outcomes]
    if arguments.json:
        arguments.json.write_text(json.dumps(samples, indent=1))
    return promised


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.lifecycle", description=__doc__)
    parser.add_argument("--rows", default="1,2,3,9", help="which measurements")
    parser.add_argument("--times", type=int, default=20, help="conversations of each but the last")
    parser.add_argument("--stock", type=int, default=2, help="conversations without Roomkeeper")
    parser.add_argument("--sessions", type=int, default=10, help="conversations at once while workers are restarted")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--strict", action="store_true", help="on `roomkeeper sfu --strict`")
    parser.add_argument("--json", type=Path, help="write every conversation to this file")
    parser.add_argument("--folder", type=Path, help="where logs are kept while it runs")
    parser.add_argument("--check", action="store_true", help="end with status 1 if a promise is not kept")
    return parser.parse_args()


if __name__ == "__main__":
    given = parse()
    logging.getLogger("livekit").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the processes it started are not to outlive it
    kept_all = asyncio.run(main(given))
    sys.exit(1 if given.check and not kept_all else 0)
