"""Row 7: a conversation ends in each of the ways that applications have."""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.lifecycle.outcome import Outcome
from bench.lifecycle.talks import IDLE, at_once, reach, reported
from bench.lifecycle.user import TAIL
from bench.lifecycle.worker import NEVER
from bench.lifecycle.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from bench.lifecycle.table import Plan
    from bench.lifecycle.user import User

ENDS_WITHIN: Final = 20.0
ENOUGH: Final = TAIL - 0.03
"""Seconds of the last 0.3 s that are to be heard: the jitter buffer shortens and lengthens a little."""
CALLBACKS: Final = 3
"""`on_session_end`, the `close` event and a shutdown callback: what an application may deliver its report in."""
READ_WITHIN: Final = 0.5
"""Seconds for what was typed to reach the agent."""
STAYS: Final = 5.0
"""Seconds after which people who were transferred are still together."""


@dataclass(frozen=True)
class Way:
    """One way to end.

    Attributes:
        ask: What the user types; empty: an administrator ends it.
        reason: That is to be told.
        goodbye: Whether there is one to be heard.
        to_model: Whether what is typed becomes part of the conversation.
        leaves: Whether the user leaves first, so that there is nobody to tell.
    """

    ask: str
    reason: str = "completed"
    goodbye: bool = True
    to_model: bool = False
    leaves: bool = False


WAYS: Final = (
    Way("end by tool", to_model=True),
    Way("end twice"),
    Way("", "operator_ended"),
    Way("end shutdown"),
    Way("end ctx"),
    Way("end delete"),
    Way("end call", to_model=True),
    Way("end transfer", "transferred"),
    Way("end aclose", goodbye=False),
    Way("end disconnect", "agent_left", goodbye=False),
    Way("end model", "model_failed", goodbye=False, to_model=True),
    Way("end raise", "agent_failed", goodbye=False),
    Way("end hung", goodbye=False),
    Way("end alone", goodbye=False, leaves=True),
)


async def end(plan: Plan, folder: Path, *, kept: bool) -> list[Outcome]:
    """End conversations in each way in turn."""
    async with World(folder, kept=kept, strict=plan.strict, idle=plan.at_once + 1) as world:
        times = plan.times if kept else len(WAYS)
        ways = [WAYS[number % len(WAYS)] for number in range(times)]
        talks = [
            functools.partial(_end, world, f"end-{number}{'-raise' * (way.ask == 'end raise')}", way)
            for number, way in enumerate(ways)
        ]
        return await at_once(plan.at_once, talks)


async def _end(world: World, room: str, way: Way) -> Outcome:
    outcome = Outcome(way.ask or "ended from outside", good=True, timed=way.goodbye)
    user = await world.guest(room)
    other = await world.guest(room, "bob") if way.reason == "transferred" else None
    await user.join()
    try:
        if other is not None:
            await other.join()
        await reach(user, IDLE)
        asked = time.perf_counter()
        if way.ask:
            await user.ask(way.ask)
        elif world.kept:
            await world.end(room)
        else:
            outcome.check(holds=False, otherwise="nobody can")
            return outcome
        if way.leaves:
            await asyncio.sleep(READ_WITHIN)
            await user.leave()
        else:
            await user.until(lambda: user.is_over or user.cut_off, ENDS_WITHIN)
            await _look(world, user, room, way, outcome, asked)
        if other is not None and world.kept:
            await user.until(lambda: user.cut_off, STAYS)
            outcome.check(not user.cut_off and not other.cut_off, "the room was closed on them")
    finally:
        if other is not None:
            await other.leave()
        await user.leave()
    if world.kept:
        messages = [said for said in user.asked if way.to_model or said != way.ask]
        await reported(world, room, outcome, way.reason, messages, epochs=1)
        outcome.check(len(world.reports.reports.get(room, [])) == 1, "not one report")
    calls = world.calls(room)
    outcome.facts["callbacks"] = calls
    outcome.check(world.kept or len(set(calls)) == CALLBACKS, f"callbacks of the application: {calls or 'none'}")
    print(f"  {outcome}", file=sys.stderr, flush=True)
    return outcome


async def _look(world: World, user: User, room: str, way: Way, outcome: Outcome, asked: float) -> None:
    """See what the user was told, and heard."""
    told = user.last.get("reason") if user.is_over else None
    cut_off = user.cut_off[0][1] if user.cut_off else None
    outcome.facts |= {"told": told, "disconnected": cut_off, "tail": user.tail_since(asked)}
    second = [said for said in user.said.values() if NEVER in said]
    outcome.check(not second, f"said after the goodbye: {second}")
    outcome.check(told == way.reason, f"the user was told {told}, disconnected: {cut_off}")
    if not way.goodbye:
        return
    tail = user.tail_since(asked)
    outcome.took = tail or None
    outcome.check(tail >= ENOUGH, f"{tail:.2f} s of the goodbye's last {TAIL} s were heard in {room}")
    outcome.check(world.kept or told, "the user was told nothing")
