"""Rows 4, 5, 6 and 8: the user reloads the page, loses the network, leaves, hangs up, or says nothing."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import time
from typing import TYPE_CHECKING, Final

from bench.lifecycle.outcome import Outcome
from bench.lifecycle.tab import tabs
from bench.lifecycle.talks import (
    HEARD_WITHIN,
    IDLE,
    MOMENTS,
    SPEAKS,
    asked_and_heard,
    at_once,
    quiet,
    reach,
    remembers,
    reported,
    until_dead,
)
from bench.lifecycle.world import World

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable
    from pathlib import Path

    from bench.lifecycle.tab import Tab
    from bench.lifecycle.table import Plan
    from bench.lifecycle.user import User

HOLD: Final = 6.0
"""Seconds that users are waited for who do not return."""
LONG_HOLD: Final = 120.0
LOST_AFTER: Final = 25.0
"""Seconds until a server, any of LiveKit's, gives up a client from which nothing comes: 20 to 22."""
PROVED: Final = 10.0
"""Seconds that an end may come after the hold: absence is two listings, 5 s apart."""
OUTAGES: Final = (30.0, None, 5.0, 60.0, 15.0)
"""Seconds without a network; None: for ever. The first ones are measured in any case."""
BACK_WITHIN: Final = 30.0
FREED_WITHIN: Final = 30.0
AFTER, EVERY, CHECKS = 3.0, 2.0, 3
"""Seconds of silence until the first check-in, and between two; and how many there are."""
STILL_THERE: Final = "Are you still there"
"""Four words: a check-in is heard for 0.6 s."""


async def reload_pages(plan: Plan, folder: Path, *, kept: bool) -> list[Outcome]:
    """Reload pages in Chromium at each moment in turn, every other one without LiveKit's Leave frame."""
    async with World(folder, kept=kept, strict=plan.strict, idle=2) as world, tabs(folder) as new_tab:
        outcomes = []
        for number in range(plan.times):
            moment, leaves = MOMENTS[number % len(MOMENTS)], bool(number // len(MOMENTS) % 2 ^ number % 2)
            tab = await new_tab()
            try:
                outcomes.append(await _reload(world, tab, f"talk-{number}", moment, plan.rng, leaves=leaves))
            finally:
                await tab.close()
            print(f"  {outcomes[-1]}", file=sys.stderr, flush=True)
        return outcomes


async def _reload(world: World, tab: Tab, room: str, moment: str, rng: random.Random, *, leaves: bool) -> Outcome:
    outcome = Outcome(f"{moment}, {'with' if leaves else 'without'} Leave", good=True)
    token = await world.token(room, policy={"hold.web": LONG_HOLD})
    await tab.open(world.server.url, token, leaves=leaves)
    await tab.joined()
    user = world.watcher(room, tab)
    await user.join()
    try:
        await reach(user, moment, rng)
        before = set(user.agents())
        await tab.reload()
        connected, published = await tab.joined()
        await user.until(lambda: user.heard_after(published), HEARD_WITHIN)
        heard = user.heard_after(published)
        outcome.took = heard - connected if heard else None
        await user.until(lambda: user.sounding_since(connected), HEARD_WITHIN)
        await quiet(user)
        await remembers(user, outcome, list(user.asked))
        outcome.check(set(user.agents()) == before, "another agent, or none")
        if world.kept:
            await world.end(room)
            await reported(world, room, outcome, "operator_ended", user.asked, epochs=1)
    finally:
        await user.leave()
    return outcome


async def lose_networks(plan: Plan, folder: Path, *, kept: bool) -> list[Outcome]:
    """Lose the network of some users at once, for a while or for ever."""
    outcomes: list[Outcome] = []
    each = -(-plan.times // len(OUTAGES))
    async with World(folder, kept=kept, strict=plan.strict, idle=each + 1, lossy=True) as world:
        if world.network is None:
            print("  (a room server that runs elsewhere has a network of its own)", file=sys.stderr)
            return []
        for seconds in OUTAGES[: plan.times]:
            rooms = [f"lost-{seconds}-{number}" for number in range(each)]
            outcomes += await _lose(world, rooms, seconds)
            print(f"  {outcomes[-each:]}", file=sys.stderr, flush=True)
    return outcomes


async def _lose(world: World, rooms: list[str], seconds: float | None) -> list[Outcome]:
    network = world.network
    assert network is not None  # noqa: S101 - for the type checker: the caller has looked
    hold = HOLD if seconds is None else LONG_HOLD
    users = {room: await world.guest(room, stays=True, policy={"hold.web": hold}) for room in rooms}
    try:
        for user in users.values():
            await user.join()
        await asyncio.gather(*(reach(user, IDLE) for user in users.values()))
        network.cut()
        cut_at = time.perf_counter()
        if seconds is None:
            return list(await asyncio.gather(*(_lost_for_ever(world, room, cut_at) for room in rooms)))
        await asyncio.sleep(seconds)
        network.mend()
        mended_at = time.perf_counter()
        outcomes = [Outcome(f"{seconds:.0f} s without a network", good=True) for _ in rooms]
        backs = zip(users.items(), outcomes, strict=True)
        await asyncio.gather(*(_back(world, user, room, outcome, mended_at) for (room, user), outcome in backs))
        return outcomes
    finally:
        network.mend()
        for user in users.values():
            await user.leave()


async def _back(world: World, user: User, room: str, outcome: Outcome, mended_at: float) -> None:
    """Ask again and again, as people do on a bad line, until there is an answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BACK_WITHIN):
            while outcome.took is None:
                heard = await _asked(user)
                outcome.took = heard - mended_at if heard is not None else None
    if outcome.took is None:
        outcome.check(holds=False, otherwise=f"the talk did not go on; {user.cut_off}")
        return
    await remembers(user, outcome, ["q0"])
    if world.kept:
        await world.end(room)
        await reported(world, room, outcome, "operator_ended", ["q0", "q-last"])


async def _asked(user: User) -> float | None:
    asked = time.perf_counter()
    try:
        await user.room.local_participant.send_text("q-back", topic="lk.chat")
    except Exception:  # noqa: BLE001 - the SDK has many for a connection that is not there
        await asyncio.sleep(0.2)
        return None
    await user.until(lambda: user.sounding_since(asked), 3)
    return user.sounding_since(asked)


async def _lost_for_ever(world: World, room: str, cut_at: float) -> Outcome:
    outcome = Outcome("without a network for ever", good=True, timed=False)
    if not world.kept:
        await asyncio.sleep(LOST_AFTER + HOLD + PROVED)
        outcome.good = False
        outcome.notes.append(f"callbacks of the application: {world.calls(room) or 'none'}")
        return outcome
    await reported(world, room, outcome, "user_lost", ["q0"], epochs=1)
    took = time.perf_counter() - cut_at
    outcome.facts["ended"] = took
    outcome.check(HOLD < took < LOST_AFTER + HOLD + PROVED, f"reported {took:.1f} s after the loss, hold {HOLD:.0f} s")
    return outcome


async def leave(plan: Plan, folder: Path, *, kept: bool) -> list[Outcome]:
    """Hang up, one after the other; then close pages, all at once."""
    async with World(folder, kept=kept, strict=plan.strict, idle=min(plan.times, 6) + 1) as world:
        outcomes = []
        for number in range(plan.times):
            outcomes.append(await _hang_up(world, f"call-{number}"))
            print(f"  {outcomes[-1]}", file=sys.stderr, flush=True)
        talks = [functools.partial(_close_page, world, f"page-{number}") for number in range(plan.times)]
        return outcomes + await at_once(plan.at_once, talks)


async def _hang_up(world: World, room: str) -> Outcome:
    outcome = Outcome("a caller hangs up", good=True)
    user = await world.guest(room, kind="sip")
    await user.join()
    try:
        await reach(user, SPEAKS)
        pid = int(next(iter(user.agents().values()))["pid"])
    finally:
        left_at = time.perf_counter()
        await user.leave()
    if await until_dead(pid, FREED_WITHIN):
        outcome.took = time.perf_counter() - left_at
    if world.kept:
        await reported(world, room, outcome, "caller_hung_up", user.asked, epochs=1)
    return outcome


async def _close_page(world: World, room: str) -> Outcome:
    outcome = Outcome("a page is closed", good=True, timed=False)
    user = await world.guest(room, policy={"hold.web": HOLD})
    await user.join()
    try:
        await reach(user, IDLE)
    finally:
        await user.leave()
    left_at = time.perf_counter()
    if world.kept:
        await reported(world, room, outcome, "user_left", user.asked, epochs=1)
        took = time.perf_counter() - left_at
        outcome.facts["ended"] = took
        outcome.check(HOLD <= took <= HOLD + PROVED, f"reported {took:.1f} s after the loss, hold {HOLD:.0f} s")
    else:
        outcome.good = False
    return outcome


async def say_nothing(plan: Plan, folder: Path, *, kept: bool) -> list[Outcome]:
    """Say nothing at all, or now and then a word; keep the agent talking, or at work."""
    async with World(folder, kept=kept, strict=plan.strict, idle=plan.at_once + 1) as world:
        cases = [_silent, _answers_once, _keeps_talking, _keeps_working]
        talks = [functools.partial(cases[n % len(cases)], world, f"silent-{n}") for n in range(plan.times)]
        return await at_once(plan.at_once, talks)


async def _silent(world: World, room: str, what: str = "silent", *asked: str) -> Outcome:
    """Be silent, but for what is asked at first; then every check-in passes, and the session ends."""
    outcome = Outcome(what, good=True, timed=False)
    rules = {"away.after": AFTER, "away.every": EVERY, "away.checks": CHECKS, "away.say": STILL_THERE}
    user = await world.guest(room, policy=rules)
    await user.join()
    try:
        await reach(user, IDLE)
        busy_until = time.perf_counter()
        for question in asked:
            if question == STILL_THERE:  # a word after the second check-in begins anew
                await user.until(lambda: _checks(user.said.values()) == CHECKS - 1, 30)
                await asyncio.sleep(EVERY / 2)
                question = "q-word"  # noqa: PLW2901 - what is really typed
            heard = await asked_and_heard(user, question)
            outcome.check(heard is not None, f"{question} was not answered")
            busy_until = time.perf_counter()
        if not world.kept:
            await asyncio.sleep(AFTER + CHECKS * (EVERY + 1))
            outcome.good = False
            outcome.notes.append(f"check-ins: {_checks(user.said.values())}")
            return outcome
        await reported(world, room, outcome, "user_away", user.asked, epochs=1)
        first = CHECKS - 1 if STILL_THERE in asked else 0
        checks = _checks(user.said.values())
        outcome.check(checks == CHECKS + first, f"{checks} check-ins, not {CHECKS + first}")
        at = [user.said_at[segment] for segment, said in user.said.items() if STILL_THERE in said]
        early = [when - busy_until for when in at[first:] if when < busy_until]
        outcome.check(not early, f"a check-in {early} s before the agent was through")
    finally:
        await user.leave()
    return outcome


async def _answers_once(world: World, room: str) -> Outcome:
    return await _silent(world, room, "a word after the second check-in", STILL_THERE)


async def _keeps_talking(world: World, room: str) -> Outcome:
    return await _silent(world, room, "the agent speaks at length", "long")


async def _keeps_working(world: World, room: str) -> Outcome:
    return await _silent(world, room, "the agent's tools run", "q1 tool", "q2 tool")


def _checks(said: Iterable[str]) -> int:
    return sum(STILL_THERE in each for each in said)
