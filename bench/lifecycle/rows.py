"""The measurements, one function for each row: what was done to an agent, and what its user noticed of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bench.lifecycle.user import User
from bench.lifecycle.worker import GREETING

if TYPE_CHECKING:
    import random

    from bench.lifecycle.world import World

BEFORE_GREETING: Final = "before the greeting"
GREETS: Final = "greeting"
THINKS: Final = "thinking"
SPEAKS: Final = "speaking"
IN_TOOL: Final = "in a tool"
IDLE: Final = "idle"
MOMENTS: Final = (BEFORE_GREETING, GREETS, THINKS, SPEAKS, IN_TOOL, IDLE)

READY_WITHIN: Final = 40.0
HEARD_WITHIN: Final = 12.0
"""Seconds that a user waits for an agent's voice."""
QUIET: Final = 1.2
"""Seconds of silence after which an agent has said what it wanted to."""
STOPPED_FOR: Final = 30.0
SETTLED_WITHIN: Final = 20.0


@dataclass(slots=True)
class Outcome:
    """What became of one conversation.

    Attributes:
        what: Was done to it, and when.
        heard: Seconds until the user heard an agent again; None: never.
        gone: Seconds until the user saw the old agent leave; None: not while it was looked at.
        kept: Whether the agent afterwards knew all questions, and the report has them.
        greetings: How often the user was greeted.
        epochs, gaps: In the report; None without one.
        notes: What else was noticed.
    """

    what: str
    heard: float | None = None
    gone: float | None = None
    kept: bool | None = None
    greetings: int | None = None
    epochs: int | None = None
    gaps: int | None = None
    notes: list[str] = field(default_factory=list)


async def kill_job(world: World, room: str, moment: str, rng: random.Random) -> Outcome:
    """Kill the process of an agent at some moment of its turn."""
    outcome = Outcome(moment)
    user = User(world.server, room)
    await user.join()
    try:
        await _reach(user, moment, rng)
        old, attributes = next(iter(user.agents().items()))
        killed_at = time.perf_counter()
        os.kill(int(attributes["pid"]), signal.SIGKILL)
        await _look(world, user, room, outcome, old, killed_at)
    finally:
        await user.leave()
    return outcome


async def kill_worker(world: World, room: str) -> Outcome:
    """Kill the parent of an agent's process; another worker lives. The killed one is started again afterwards."""
    outcome = Outcome("worker killed")
    user = User(world.server, room)
    await user.join()
    try:
        await _reach(user, SPEAKS, None)
        old, attributes = next(iter(user.agents().items()))
        killed_at = time.perf_counter()
        os.kill(world.workers[attributes["worker"]].pid, signal.SIGKILL)
        await _look(world, user, room, outcome, old, killed_at)
    finally:
        await user.leave()
    await world.workers[attributes["worker"]].stop()
    world.workers[attributes["worker"]] = await world.worker(attributes["worker"])
    return outcome


async def pause_job(world: World, room: str) -> Outcome:
    """Stop the process of an agent for half a minute, and let it go on then."""
    outcome = Outcome(f"stopped for {STOPPED_FOR:.0f} s")
    user = User(world.server, room)
    await user.join()
    try:
        await _reach(user, SPEAKS, None)
        old, attributes = next(iter(user.agents().items()))
        pid = int(attributes["pid"])
        stopped_at = time.perf_counter()
        os.kill(pid, signal.SIGSTOP)
        try:
            await _look(world, user, room, outcome, old, stopped_at, settle=False)
            noticed = [at - stopped_at for at, state in user.states if at > stopped_at and state == "recovering"]
            outcome.notes.append(f"the page is told after {noticed[0]:.1f} s" if noticed else "the page is not told")
            await asyncio.sleep(max(0.0, stopped_at + STOPPED_FOR - time.perf_counter()))
        finally:
            with contextlib.suppress(ProcessLookupError):  # its worker may have killed it by now
                os.kill(pid, signal.SIGCONT)
        woken_at = time.perf_counter()
        await user.ask("q-after")
        await user.until(lambda: user.sounding_since(woken_at), HEARD_WITHIN)
        await user.until(lambda: _is_dead(pid), 5)
        spoke = user.sounding_since(woken_at, old)
        outcome.notes.append(
            "the old one is silent" if spoke is None else f"the old one spoke {spoke - woken_at:.2f} s later"
        )
        await _settle(world, user, room, outcome)
    finally:
        await user.leave()
    return outcome


async def restart_workers(world: World, rooms: list[str]) -> list[Outcome]:
    """Restart one worker after the other in the middle of some conversations.

    Each user asks something in the very moment in which an old agent leaves. What the answer takes longer than an
    undisturbed one is the gap.
    """
    users = [User(world.server, room) for room in rooms]
    outcomes = [Outcome("rolling restart") for _ in rooms]
    try:
        for user in users:
            await user.join()
        usual = []
        for user in users:
            await _reach(user, GREETS, None)
            await _quiet(user)
            usual.append(await _asked_and_heard(user, "q0"))
        over = asyncio.Event()
        talks = [
            asyncio.create_task(_ask_at_swaps(user, outcome, answer or 0.0, over))
            for user, outcome, answer in zip(users, outcomes, usual, strict=True)
        ]
        for name in list(world.workers):
            process = world.workers[name]
            begun = time.perf_counter()
            process.signal_group(signal.SIGTERM)
            await process.ended()
            print(f"  {name} ended after {time.perf_counter() - begun:.1f} s", file=sys.stderr, flush=True)
            world.workers[name] = await world.worker(name)
        over.set()
        await asyncio.gather(*talks)
        for user, outcome, room in zip(users, outcomes, rooms, strict=True):
            await _settle(world, user, room, outcome)
    finally:
        for user in users:
            await user.leave()
    return outcomes


async def _ask_at_swaps(user: User, outcome: Outcome, usual: float, over: asyncio.Event) -> None:
    """Ask whenever an agent has just left, until all workers are restarted."""
    seen = 0
    while not over.is_set():
        if not await user.until(lambda: len(user.gone) > seen, 1.0):  # noqa: B023 - awaited at once
            continue
        seen += 1
        heard = await _asked_and_heard(user, f"q{seen}")
        if heard is None:
            outcome.notes.append(f"q{seen} was not answered")
            heard = HEARD_WITHIN
        outcome.heard = max(outcome.heard or 0.0, heard - usual)
        await _quiet(user)
    if not seen:
        outcome.notes.append("its agent was never replaced")


async def _asked_and_heard(user: User, question: str) -> float | None:
    """Ask something, and return the seconds until a voice begins; None if none does."""
    asked = await user.ask(question)
    await user.until(lambda: user.sounding_since(asked), HEARD_WITHIN)
    begun = user.sounding_since(asked)
    await _quiet(user)
    return begun - asked if begun is not None else None


async def _reach(user: User, moment: str, rng: random.Random | None) -> None:
    """Bring a conversation to some moment: greeted, one question answered, another one in the making."""
    if not await user.until(user.agents, READY_WITHIN):
        raise RuntimeError("no agent came")
    if moment == BEFORE_GREETING:
        return
    if not await user.until(lambda: user.sounding_since(0.0), READY_WITHIN):
        raise RuntimeError("no agent greeted")
    within = rng.uniform(0, 1) if rng is not None else 0.5
    if moment == GREETS:
        await asyncio.sleep(1.5 * within)
        return
    await _quiet(user)
    await user.ask("q0")
    await _sounding(user)
    await _quiet(user)
    if moment == IDLE:
        return
    asked = await user.ask("q1 tool" if moment == IN_TOOL else "q1")
    if moment == THINKS:
        await asyncio.sleep(0.4 * within)
    elif moment == SPEAKS:
        await user.until(lambda: user.sounding_since(asked), HEARD_WITHIN)
        await asyncio.sleep(2 * within)
    elif moment == IN_TOOL:
        await asyncio.sleep(0.7 + within)


async def _sounding(user: User) -> None:
    await user.until(lambda: user.silent_for() < 0.1, HEARD_WITHIN)


async def _quiet(user: User) -> None:
    while True:
        left = QUIET - user.silent_for()
        if left <= 0:
            return
        await asyncio.sleep(left)


async def _look(
    world: World, user: User, room: str, outcome: Outcome, old: str, since: float, *, settle: bool = True
) -> None:
    """See when another agent sounds, and what it knows."""

    def heard() -> float | None:
        return min(
            (at for one in user.voices if one != old and (at := user.sounding_since(since, one)) is not None),
            default=None,
        )

    await user.until(heard, HEARD_WITHIN)
    at = heard()
    outcome.heard = at - since if at is not None else None
    outcome.gone = user.gone[old] - since if old in user.gone else None
    if settle:
        await _settle(world, user, room, outcome)


async def _settle(world: World, user: User, room: str, outcome: Outcome) -> None:
    """Ask whether everything is remembered, end the session, and read the report."""
    if outcome.heard is None:
        return
    await _quiet(user)
    asked = await user.ask("q-last")
    await user.until(lambda: user.sounding_since(asked), HEARD_WITHIN)
    await _quiet(user)
    answer = list(user.said.values())[-1] if user.said else ""
    questions = [said for said in user.asked if said != "q-last"]
    missed = [question for question in questions if question not in answer]
    outcome.kept = not missed
    if missed:
        outcome.notes.append(f"forgot {missed}, said {answer!r}")
    outcome.greetings = sum(said.strip().startswith(GREETING.split()[0]) for said in user.said.values())
    if not world.kept:
        return
    await world.end(room)
    report = await world.report(room, SETTLED_WITHIN)
    outcome.epochs, outcome.gaps = len(report["epochs"]), len(report["gaps"])
    texts = [item.get("text") for item in report["items"] if item.get("role") == "user"]
    if lost := [question for question in user.asked if question not in texts]:
        outcome.kept = False
        outcome.notes.append(f"not in the report: {lost}")


def _is_dead(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
