"""`python -m bench.lifecycle`: what becomes of conversations when things go wrong, see bench/README.md."""

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
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.lifecycle.cost import use_hooks
from bench.lifecycle.outcome import Outcome, report
from bench.lifecycle.table import CPU, HOOKS, ROWS, Plan

BOUND = 1800.0
"""Seconds for a row; whatever hangs longer is a promise that was not kept."""


async def main(arguments: argparse.Namespace) -> bool:
    """Measure and print; returns whether every promise was kept."""
    missed, samples = list[str](), dict[str, Any]()
    with tempfile.TemporaryDirectory(prefix="bench", dir=arguments.folder) as folder:
        for number in arguments.rows:
            began = time.perf_counter()
            try:
                async with asyncio.timeout(BOUND):
                    kept = await _measure(number, arguments, Path(folder), samples)
                    if number in HOOKS:
                        kept &= await use_hooks(HOOKS[number])
            except TimeoutError:
                kept = False
                print(f"  row {number} hangs")
            print(f"  row {number} took {time.perf_counter() - began:.0f} s\n", flush=True)
            if not kept:
                missed.append(number)
    if arguments.json:
        arguments.json.write_text(json.dumps(samples, indent=1))
    print(f"missed: row {', '.join(missed)}" if missed else "every promise was kept")
    return not missed


async def _measure(number: str, arguments: argparse.Namespace, folder: Path, samples: dict[str, Any]) -> bool:
    row = ROWS.get(number)
    if row is None:
        return True
    promised, found = True, dict[bool, list[Outcome]]()
    for kept in (True, False) if arguments.stock else (True,):
        print(f"{number}: {row.name}{'' if kept else ' (livekit-agents alone)'}", file=sys.stderr, flush=True)
        plan = Plan(
            times=arguments.times if kept else arguments.stock,
            sessions=arguments.sessions,
            at_once=arguments.at_once,
            strict=arguments.strict,
            rng=random.Random(arguments.seed),
        )
        outcomes = await row.measured(plan, folder / f"{number}-{kept}", kept=kept)
        if outcomes:
            promised &= report(f"{number}. {row.name}", row.measure, row.limit, outcomes, kept=kept)
        found[kept] = outcomes
        samples[f"{number}{'' if kept else ' stock'}"] = [asdict(outcome) for outcome in outcomes]
    if number == "11" and all(found.get(kept) for kept in (True, False)):
        ours, stock = (statistics.median(one.took or 0.0 for one in found[kept]) for kept in (True, False))
        print(f"  with Roomkeeper {100 * (ours - stock):+.1f} % of a core (limit {100 * CPU:+.0f} %)")
        promised &= ours - stock <= CPU
    return promised


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.lifecycle", description=__doc__)
    known = sorted({*ROWS, *HOOKS}, key=int)
    parser.add_argument("--rows", type=_rows, default=known, help="which measurements, by number: 1,2,7")
    parser.add_argument("--times", type=int, default=20, help="conversations of each row with Roomkeeper")
    parser.add_argument("--stock", type=int, default=2, help="conversations with livekit-agents alone; 0: none")
    parser.add_argument("--sessions", type=int, default=10, help="conversations at once in rows 9 and 10")
    parser.add_argument("--at-once", type=int, default=4, help="the same elsewhere, where it does not disturb")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--strict", action="store_true", help="on `roomkeeper sfu --strict`")
    parser.add_argument("--json", type=Path, help="write every conversation to this file")
    parser.add_argument("--folder", type=Path, help="where logs are kept while it runs")
    parser.add_argument("--check", action="store_true", help="end with status 1 if a promise is not kept")
    return parser.parse_args()


def _rows(text: str) -> list[str]:
    rows = text.split(",")
    if unknown := [row for row in rows if row not in ROWS and row not in HOOKS]:
        raise argparse.ArgumentTypeError(f"no row {', '.join(unknown)}")
    return rows


def _stop(*_: object) -> None:
    """End in order, and only once: the processes that were started are not to outlive this one."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    given = parse()
    logging.getLogger("livekit").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGTERM, _stop)
    kept_all = asyncio.run(main(given))
    sys.exit(1 if given.check and not kept_all else 0)
