"""Measures when the user learns that a stock agent, which keeps its room, has ended the talk and left."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bench.end.processes import control_plane, worker
from bench.end.talks import talk
from roomkeeper.testing.room_server import room_server
from tests.ports import free_port

if TYPE_CHECKING:
    from bench.end.talks import Outcome

DEFAULT, STRICT = "default", "strict"
P50, P99 = 100.0, 500.0
"""Milliseconds that are promised."""
LINGER = 1.0
FREED = 1000 * LINGER + 1500
"""Milliseconds after which the room is gone: the linger, and what storing and deleting take."""


async def measure(*, strict: bool, kept: bool, talks: int, folder: Path) -> list[Outcome]:
    """Have some talks, one after the other, with a control plane or without."""
    port = free_port()
    flags = ["--strict"] if strict else []
    if kept:
        flags += ["--webhook", f"http://127.0.0.1:{port}/webhooks/livekit"]
    with room_server(*flags) as server:
        async with AsyncExitStack() as stack:
            if kept:
                await stack.enter_async_context(control_plane(server, port, folder))
            await stack.enter_async_context(worker(server))
            await talk(server, "warm")
            return [await talk(server, f"talk-{number}") for number in range(talks)]


def report(name: str, outcomes: list[Outcome], *, kept: bool) -> bool:
    """Print what was found; returns whether the promise was kept."""
    told = sorted(one.told for one in outcomes if one.told is not None)
    freed = sorted(one.freed for one in outcomes if one.freed is not None)
    print(f"{name}: {len(outcomes)} talks")
    if not told:
        print(f"  the user was never told; disconnected: {len(freed)} of {len(outcomes)}")
        return not kept
    p50, p99 = told[len(told) // 2], told[min(len(told) - 1, int(len(told) * 0.99))]
    reasons = ", ".join(sorted({one.reason for one in outcomes}))
    print(f"  told {len(told)} of {len(outcomes)} ({reasons}): min {told[0]:.0f}, p50 {p50:.0f}, p99 {p99:.0f} ms")
    late = max(freed, default=0.0)
    print(f"  room gone {len(freed)} of {len(outcomes)}: at most {late:.0f} ms (linger {1000 * LINGER:.0f} ms)")
    return len(told) == len(freed) == len(outcomes) and p50 <= P50 and p99 <= P99 and late <= FREED


async def main(arguments: argparse.Namespace) -> bool:
    """Measure and print."""
    promised, samples = True, {}
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        for kind in arguments.servers:
            strict = kind == STRICT
            server = "roomkeeper sfu --strict" if strict else "roomkeeper sfu"
            for kept in (True, False) if arguments.stock else (True,):
                name = f"{server}, {'with' if kept else 'without'} a control plane"
                print(name, file=sys.stderr, flush=True)
                talks = arguments.talks if kept else arguments.stock
                place = Path(folder) / f"{strict}-{kept}"
                outcomes = await measure(strict=strict, kept=kept, talks=talks, folder=place)
                promised &= report(name, outcomes, kept=kept)
                samples[name] = [asdict(one) for one in outcomes]
    if arguments.json:
        arguments.json.write_text(json.dumps(samples, indent=1))
    return promised


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.end", description=__doc__)
    parser.add_argument("--talks", type=int, default=20, help="talks with a control plane, for each kind of server")
    parser.add_argument("--stock", type=int, default=2, help="talks without one; each waits 12 s for what never comes")
    parser.add_argument("--servers", nargs="+", choices=[DEFAULT, STRICT], default=[DEFAULT, STRICT], help="in turn")
    parser.add_argument("--json", type=Path, help="write every talk to this file")
    parser.add_argument("--check", action="store_true", help="end with status 1 if a promise is not kept")
    return parser.parse_args()


if __name__ == "__main__":
    given = parse()
    kept_all = asyncio.run(main(given))
    sys.exit(1 if given.check and not kept_all else 0)
