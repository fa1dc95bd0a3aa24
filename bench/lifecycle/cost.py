"""Rows 11 and 12: what keeping a conversation costs its own process."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.lifecycle.outcome import Outcome
from bench.lifecycle.talks import IDLE, asked_and_heard, reach
from bench.lifecycle.world import World

if TYPE_CHECKING:
    from bench.lifecycle.table import Plan

WATCHED_FOR: Final = 30.0
"""Seconds of talk during which a job's CPU time is measured."""


async def use_cpu(plan: Plan, folder: Path, *, kept: bool) -> list[Outcome]:
    """Talk for a while, and measure the CPU time of the job: seconds for each second of the talk."""
    outcomes = []
    async with World(folder, kept=kept, strict=plan.strict, idle=2) as world:
        for number in range(min(plan.times, 3)):
            outcome = Outcome("share of a core")
            user = world.user(f"talk-{number}")
            await user.join()
            try:
                await reach(user, IDLE)
                pid = int(next(iter(user.agents().values()))["pid"])
                loop = asyncio.get_running_loop()
                began, spent = loop.time(), _cpu(pid)
                turns = 0
                while loop.time() - began < WATCHED_FOR:
                    outcome.good = await asked_and_heard(user, f"turn {turns % 3}") is not None
                    turns += 1
                outcome.took = (_cpu(pid) - spent) / (loop.time() - began)
                outcome.facts["turns"] = turns
            finally:
                await user.leave()
            outcomes.append(outcome)
            print(f"  {outcome}", file=sys.stderr, flush=True)
    return outcomes


def _cpu(pid: int) -> float:
    """Seconds of CPU time of a process. Source: proc_pid_stat(5), utime and stime."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def use_hooks(what: str) -> bool:
    """Measure the hooks, or the restoring, in a process with a clock of its own; it prints and judges by itself."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.lifecycle.hooks", what)
    return await process.wait() == 0
