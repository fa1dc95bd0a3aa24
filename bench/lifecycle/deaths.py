"""Rows 1 to 3: an agent's process is killed, its worker is killed, its process is stopped and goes on."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from bench.lifecycle.outcome import Outcome
from bench.lifecycle.talks import (
    BEFORE_GREETING,
    HEARD_WITHIN,
    IDLE,
    MOMENTS,
    SPEAKS,
    at_once,
    is_dead,
    quiet,
    reach,
    reported,
    settle,
)
from bench.lifecycle.world import World

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from bench.lifecycle.table import Plan
    from bench.lifecycle.user import User

STOPPED_FOR: Final = 30.0
SAYS_GOODBYE: Final = "saying goodbye"


async def kill_jobs(plan: Plan, folder: Path, *, kept: bool) -> list[Outcome]:
    """Kill agents at each moment in turn, and at last one that says goodbye."""
    outcomes = []
    async with World(folder, kept=kept, strict=plan.strict, idle=2) as world:
        for number in range(plan.times):
            outcome = await _kill_job(world, f"talk-{number}", MOMENTS[number % len(MOMENTS)], plan.rng)
            print(f"  {outcome}", file=sys.stderr, flush=True)
            outcomes.append(outcome)
        if kept:
            outcomes += [await _kill_in_goodbye(world, f"end-{number}") for number in range(plan.times // 5 or 1)]
    return outcomes


async def _kill_job(world: World, room: str, moment: str, rng: random.Random) -> Outcome:
    outcome = Outcome(moment)
    user = world.user(room)
    await user.join()
    try:
        await reach(user, moment, rng)
        old, attributes = next(iter(user.agents().items()))
        killed_at = time.perf_counter()
        os.kill(int(attributes["pid"]), signal.SIGKILL)
        await _look(user, outcome, old, killed_at)
        # An agent that is killed before it has greeted may not have been in charge yet.
        await _settle(world, user, room, outcome, epochs=0 if moment == BEFORE_GREETING else 2)
    finally:
        await user.leave()
    return outcome


async def _kill_in_goodbye(world: World, room: str) -> Outcome:
    outcome = Outcome(SAYS_GOODBYE, timed=False, good=True)
    user = world.user(room)
    await user.join()
    try:
        await reach(user, IDLE)
        asked = await user.ask("end by tool")
        await user.until(lambda: user.sounding_since(asked), HEARD_WITHIN)
        _, attributes = next(iter(user.agents().items()))
        os.kill(int(attributes["pid"]), signal.SIGKILL)
        killed_at = time.perf_counter()
        await reported(world, room, outcome, "completed", user.asked, epochs=1)
        outcome.check(not any("heard" in str(gap) for gap in outcome.facts.get("gaps", [])), "a gap")
        outcome.facts["told"] = next((at - killed_at for at, state in user.states if state == "ended"), None)
        outcome.check(outcome.facts["told"] is not None, "the page was not told")
    finally:
        await user.leave()
    return outcome


async def kill_workers(plan: Plan, folder: Path, *, kept: bool) -> list[Outcome]:
    """Kill a worker with all its processes while another one lives, and start it again; again and again."""
    outcomes: list[Outcome] = []
    numbers = itertools.count()
    async with World(folder, kept=kept, strict=plan.strict, workers=2, idle=plan.at_once + 1) as world:
        while len(outcomes) < plan.times:
            rooms = [f"talk-{next(numbers)}" for _ in range(min(plan.at_once, plan.times - len(outcomes)))]
            killed_at: asyncio.Future[float] = asyncio.get_running_loop().create_future()
            users = {room: world.user(room) for room in rooms}
            try:
                for user in users.values():
                    await user.join()
                await asyncio.gather(*(reach(user, SPEAKS) for user in users.values()))
                old = {room: next(iter(user.agents().items())) for room, user in users.items()}
                name = max(world.workers, key=lambda each: sum(a["worker"] == each for _, a in old.values()))
                killed_at.set_result(time.perf_counter())
                world.workers[name].signal_group(signal.SIGKILL)
                hit = [room for room, (_, attributes) in old.items() if attributes["worker"] == name]
                outcomes += await asyncio.gather(
                    *(_of_killed(world, users[room], room, old[room][0], killed_at.result()) for room in hit)
                )
                for room in old.keys() - set(hit):  # their worker lives
                    if world.kept:
                        await world.end(room)
            finally:
                for user in users.values():
                    await user.leave()
            await world.workers[name].stop()
            world.workers[name] = await world.worker(name)
            print(f"  {outcomes}", file=sys.stderr, flush=True)
    return outcomes


async def _of_killed(world: World, user: User, room: str, old: str, killed_at: float) -> Outcome:
    outcome = Outcome("worker killed")
    await _look(user, outcome, old, killed_at)
    await _settle(world, user, room, outcome)
    return outcome


async def pause_jobs(plan: Plan, folder: Path, *, kept: bool) -> list[Outcome]:
    """Stop agents' processes for half a minute, and let them go on then."""
    async with World(folder, kept=kept, strict=plan.strict, idle=plan.at_once + 1) as world:
        talks = [functools.partial(_pause_job, world, f"talk-{number}") for number in range(plan.times)]
        return await at_once(plan.at_once, talks)


async def _pause_job(world: World, room: str) -> Outcome:
    outcome = Outcome(f"stopped for {STOPPED_FOR:.0f} s")
    user = world.user(room)
    await user.join()
    try:
        await reach(user, SPEAKS)
        old, attributes = next(iter(user.agents().items()))
        pid = int(attributes["pid"])
        stopped_at = time.perf_counter()
        os.kill(pid, signal.SIGSTOP)
        try:
            await _look(user, outcome, old, stopped_at)
            noticed = [at - stopped_at for at, state in user.states if at > stopped_at and state == "recovering"]
            outcome.facts["noticed"] = noticed[0] if noticed else None
            await asyncio.sleep(max(0.0, stopped_at + STOPPED_FOR - time.perf_counter()))
        finally:
            with contextlib.suppress(ProcessLookupError):  # its worker may have killed it by now
                os.kill(pid, signal.SIGCONT)
        woken_at = time.perf_counter()
        await quiet(user)
        await user.ask("q-after")
        await user.until(lambda: user.sounding_since(woken_at), HEARD_WITHIN)
        await user.until(lambda: is_dead(pid), 5)
        spoke = [[at - woken_at for at in sound] for sound in user.voices[old].sounds if sound[1] > woken_at]
        await _settle(world, user, room, outcome)
        outcome.check(noticed and noticed[0] <= 5, f"the page is told after {outcome.facts['noticed']} s (limit 5)")
        outcome.check(not spoke, f"the old one spoke, from and to {spoke} s after it went on")
        outcome.check(is_dead(pid), "the old one did not leave")
    finally:
        await user.leave()
    return outcome


async def _look(user: User, outcome: Outcome, old: str, since: float) -> None:
    """See when another agent sounds."""

    def heard() -> float | None:
        return min(
            (at for one in list(user.voices) if one != old and (at := user.sounding_since(since, one)) is not None),
            default=None,
        )

    await user.until(heard, HEARD_WITHIN)
    at = heard()
    outcome.took = at - since if at is not None else None
    outcome.facts["gone"] = user.gone[old] - since if old in user.gone else None


async def _settle(world: World, user: User, room: str, outcome: Outcome, *, epochs: int = 2) -> None:
    if outcome.took is None:
        outcome.notes.append("no agent was heard again")
        if world.kept:
            await world.end(room)
        return
    await settle(world, user, room, outcome, epochs=epochs)
