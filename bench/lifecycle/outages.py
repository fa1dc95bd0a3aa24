"""Row 10: the control plane is killed and started again amid conversations, two of which are ending."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Final

from bench.lifecycle.outcome import Outcome
from bench.lifecycle.talks import HEARD_WITHIN, IDLE, asked_and_heard, reach, remembers, reported
from bench.lifecycle.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from bench.lifecycle.table import Plan
    from bench.lifecycle.user import User

BEFORE, DURING = "ends as it is killed", "ends while it is away"
AWAY: Final = 8.0
"""Seconds without a control plane: longer than a lease."""


async def kill_control_plane(plan: Plan, folder: Path, *, kept: bool) -> list[Outcome]:
    """Kill it, ask everybody something, have two sessions end, start it again."""
    if not kept:
        return []
    names = [BEFORE, DURING, *["goes on"] * max(1, plan.sessions - 2)]
    outcomes = [Outcome(name, good=True, timed=name == "goes on") for name in names]
    rooms = [f"talk-{number}" for number in range(len(names))]
    async with World(folder, kept=kept, strict=plan.strict, idle=len(rooms) + 1) as world:
        users = [await world.guest(room) for room in rooms]
        try:
            for user in users:
                await user.join()
            for user in users:
                await reach(user, IDLE)
            asked = await users[0].ask("end by tool")
            await users[0].until(lambda: users[0].sounding_since(asked), HEARD_WITHIN)
            world.control.signal_group(signal.SIGKILL)
            killed_at = time.perf_counter()
            await world.control.ended()
            await users[1].ask("end by tool")
            talks = zip(users[2:], outcomes[2:], strict=True)
            await asyncio.gather(*(_go_on(user, outcome) for user, outcome in talks))
            told = await users[1].until(lambda: users[1].is_over, HEARD_WITHIN)
            outcomes[1].check(told, "nobody told the user of the end")
            await asyncio.sleep(max(0.0, killed_at + AWAY - time.perf_counter()))
            await world.control.start()
            outcomes[0].check(await users[0].until(lambda: users[0].is_over, HEARD_WITHIN), "nobody told of the end")
            for user, outcome in zip(users[2:], outcomes[2:], strict=True):
                await remembers(user, outcome, ["q0", "q-away"])
            for room in rooms[2:]:
                await world.end(room)
            reasons = ["completed" if name in {BEFORE, DURING} else "operator_ended" for name in names]
            await asyncio.gather(
                *(
                    reported(world, room, outcome, reason, user.asked, epochs=1)
                    for room, outcome, reason, user in zip(rooms, outcomes, reasons, users, strict=True)
                )
            )
            for outcome in outcomes:
                outcome.check(not outcome.facts.get("gaps"), f"gaps {outcome.facts.get('gaps')}")
        finally:
            for user in users:
                await user.leave()
    return outcomes


async def _go_on(user: User, outcome: Outcome) -> None:
    outcome.took = await asked_and_heard(user, "q-away")
