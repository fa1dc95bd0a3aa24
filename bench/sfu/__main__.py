"""`python -m bench.sfu`, also `python bench/sfu`: measures `roomkeeper sfu`, and another server beside it."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:
    # Run as a directory: make `bench` importable, here and in the load processes.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import argparse
import asyncio
import json
import logging
import os
import platform
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version

from bench.sfu import cores, target
from bench.sfu.figures import table
from bench.sfu.plan import FULL, QUICK
from bench.sfu.runner import Runner


def main() -> int:
    """Measures and prints.

    Returns:
        1 if `--check` was asked for and a limit was missed, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="bench/sfu",
        description="Measures roomkeeper sfu, and other LiveKit servers beside it; see bench/README.md.",
    )
    parser.add_argument("--quick", action="store_true", help="half a minute instead of minutes: a smoke test")
    parser.add_argument(
        "--against",
        metavar="URL",
        action="append",
        default=[],
        help="another LiveKit server to measure in the same run; keys from LIVEKIT_API_KEY and LIVEKIT_API_SECRET",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every sample there")
    parser.add_argument("--check", action="store_true", help="end with status 1 if a limit is missed")
    options = parser.parse_args()
    logging.getLogger("livekit").setLevel(logging.ERROR)

    divided = cores.divide()
    with ExitStack() as stack:
        targets = [stack.enter_context(target.ours(divided.server)), *map(target.other, options.against)]
        conditions = _conditions(divided, others=bool(options.against))
        runner = Runner(targets, QUICK if options.quick else FULL)
        asyncio.run(runner.run())

    print(*conditions, sep="\n")
    for subject in runner.subjects:
        ours = subject.target.name == target.OURS
        print(f"\n== {subject.target.name}", table(subject.figures, judge=ours), sep="\n")
    if options.json:
        servers = {each.target.name: [figure.to_json() for figure in each.figures] for each in runner.subjects}
        options.json.write_text(json.dumps({"conditions": conditions, "servers": servers}, indent=1))
    missed = [figure.name for figure in runner.subjects[0].figures if figure.met is False]
    return int(options.check and bool(missed))


def _conditions(divided: cores.Cores, *, others: bool) -> list[str]:
    load = " ".join(f"{average:.1f}" for average in os.getloadavg())
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load average {load}"
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine}, niceness {os.nice(0)}",
        f"Python {platform.python_version()}, livekit {version('livekit')}, aiortc {version('aiortc')}",
        f"{divided}; a 1:1 session is two participants who both publish 50 packets a second and hear each other",
    ]
    return [*lines, "the other server runs where it was started"] if others else lines


if __name__ == "__main__":
    sys.exit(main())
