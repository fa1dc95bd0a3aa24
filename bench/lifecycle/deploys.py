"""Row 9: two workers are restarted one after the other in the middle of conversations."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from bench.lifecycle.outcome import Outcome
from bench.lifecycle.talks import GREETS, HEARD_WITHIN, asked_and_heard, quiet, reach, settle
from bench.lifecycle.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from bench.lifecycle.table import Plan
    from bench.lifecycle.user import User


STOPS_WITHIN: Final = 60.0
"""Seconds; livekit-agents alone may drain for ever when several jobs end at once."""


async def restart_workers(plan: Plan, folder: Path, *, kept: bool) -> list[Outcome]:
    """Restart one worker after the other.

    Each user asks something in the very moment in which an old agent leaves. What the answer takes longer than an
    undisturbed one is the gap.
    """
    rooms = [f"talk-{number}" for number in range(plan.sessions)]
    async with World(folder, kept=kept, strict=plan.strict, workers=2, idle=plan.sessions + 1) as world:
        users = [world.user(room) for room in rooms]
        outcomes = [Outcome("rolling restart") for _ in rooms]
        try:
            for user in users:
                await user.join()
            usual = []
            for user in users:
                await reach(user, GREETS)
                await quiet(user)
                usual.append(await asked_and_heard(user, "q0"))
            over = asyncio.Event()
            talks = [
                asyncio.create_task(_ask_at_swaps(user, outcome, answer or 0.0, over))
                for user, outcome, answer in zip(users, outcomes, usual, strict=True)
            ]
            stuck = [name for name in list(world.workers) if not await _restart(world, name)]
            over.set()
            unanswered = await asyncio.gather(*talks)
            for user, outcome, room, missed in zip(users, outcomes, rooms, unanswered, strict=True):
                await settle(world, user, room, outcome)
                outcome.check(not missed, f"not answered: {missed}")
                outcome.check(not stuck, f"had to be killed: {stuck}")
                lost = [state for _, state in user.states if state == "recovering"]
                outcome.check(not lost, "the page was told of a loss")
        finally:
            for user in users:
                await user.leave()
    return outcomes


async def _restart(world: World, name: str) -> bool:
    """Tell a worker to stop and start it again; returns whether it stopped by itself."""
    process, begun = world.workers[name], time.perf_counter()
    process.signal_group(signal.SIGTERM)
    stopped = True
    try:
        async with asyncio.timeout(STOPS_WITHIN):
            await process.ended()
    except TimeoutError:
        stopped = False
        await process.stop()
    ended = "ended" if stopped else "had to be killed"
    print(f"  {name} {ended} after {time.perf_counter() - begun:.1f} s", file=sys.stderr, flush=True)
    world.workers[name] = await world.worker(name)
    return stopped


async def _ask_at_swaps(user: User, outcome: Outcome, usual: float, over: asyncio.Event) -> list[str]:
    """Ask whenever an agent has just left, until all workers are restarted; returns what was not answered."""
    seen, missed = 0, []
    while not over.is_set():
        if not await user.until(lambda: len(user.gone) > seen, 1.0):  # noqa: B023 - awaited at once
            continue
        seen += 1
        heard = await asked_and_heard(user, f"q{seen}")
        if heard is None:
            missed.append(f"q{seen}")
            heard = HEARD_WITHIN
        outcome.took = max(outcome.took or 0.0, heard - usual)
        await quiet(user)
    return missed
