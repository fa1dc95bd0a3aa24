"""What the measurements have in common: a talk is brought to some moment, and looked at afterwards."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Final

from bench.lifecycle.worker import ANSWER, GREETING

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Iterable

    from bench.lifecycle.outcome import Outcome
    from bench.lifecycle.user import User
    from bench.lifecycle.world import World

BEFORE_GREETING: Final = "before the greeting"
GREETS: Final = "greeting"
THINKS: Final = "thinking"
SPEAKS: Final = "speaking"
IN_TOOL: Final = "in a tool"
IDLE: Final = "idle"
MOMENTS: Final = (BEFORE_GREETING, GREETS, THINKS, SPEAKS, IN_TOOL, IDLE)

LAST: Final = "q-last"
READY_WITHIN: Final = 40.0
HEARD_WITHIN: Final = 12.0
"""Seconds that a user waits for an agent's voice."""
QUIET: Final = 0.8
"""Seconds of silence after which an agent has said what it wanted to: longer than its model takes to think."""
SETTLED_WITHIN: Final = 40.0


async def at_once(number: int, work: Iterable[Callable[[], Awaitable[Outcome]]]) -> list[Outcome]:
    """Have talks, some of them at the same time, and return what became of them."""
    free = asyncio.Semaphore(number)

    async def one(talk: Callable[[], Awaitable[Outcome]]) -> Outcome:
        async with free:
            return await talk()

    return list(await asyncio.gather(*map(one, work)))


async def reach(user: User, moment: str, rng: random.Random | None = None) -> None:
    """Bring a conversation to some moment: greeted, one question answered, another one in the making.

    Raises:
        RuntimeError: No agent came.
    """
    if not await user.until(user.agents, READY_WITHIN):
        raise RuntimeError("no agent came")
    if moment == BEFORE_GREETING:
        return
    if not await user.until(lambda: user.sounding_since(0.0), READY_WITHIN):
        raise RuntimeError("no agent greeted")
    within = rng.uniform(0, 1) if rng is not None else 0.5
    if moment == GREETS:
        await asyncio.sleep(within)
        return
    await quiet(user)
    await user.ask("q0")
    await user.until(lambda: user.silent_for() < 0.1, HEARD_WITHIN)
    await quiet(user)
    if moment == IDLE:
        return
    asked = await user.ask("q1 tool" if moment == IN_TOOL else "q1")
    if moment == THINKS:
        await asyncio.sleep(0.4 * within)
    elif moment == SPEAKS:
        await user.until(lambda: user.sounding_since(asked), HEARD_WITHIN)
        await asyncio.sleep(1.5 * within)
    elif moment == IN_TOOL:
        await asyncio.sleep(0.7 + within)


async def quiet(user: User) -> None:
    """Wait until nothing more is said."""
    while (left := QUIET - user.silent_for()) > 0:  # noqa: ASYNC110 - silence is no event
        await asyncio.sleep(left)


async def asked_and_heard(user: User, question: str) -> float | None:
    """Ask something, and return the seconds until a voice begins; None if none does."""
    asked = await user.ask(question)
    await user.until(lambda: user.sounding_since(asked), HEARD_WITHIN)
    begun = user.sounding_since(asked)
    await quiet(user)
    return begun - asked if begun is not None else None


async def remembers(user: User, outcome: Outcome, questions: list[str]) -> None:
    """Ask something, and see whether the answer names all that was asked before."""
    await quiet(user)
    heard = await asked_and_heard(user, LAST)
    outcome.check(heard is not None, "no sound after the last question")
    await user.until(lambda: _answer(user), HEARD_WITHIN)  # what is said of a return may come first
    answer = _answer(user)
    missed = [question for question in questions if question not in answer]
    outcome.check(answer, "the last question was not answered")
    outcome.check(not missed, f"forgot {missed}, said {answer!r}")


def _answer(user: User) -> str:
    """What an agent has said in answer to the last question; it names that one last."""
    return next((said for said in reversed(user.said.values()) if LAST in said), "")


async def settle(world: World, user: User, room: str, outcome: Outcome, *, epochs: int = 0) -> None:
    """See whether everything is remembered, end the session, and read the report; `epochs` as `reported` has it."""
    outcome.good = True
    await remembers(user, outcome, [said for said in user.asked if said != "q-last"])
    greetings = sum(said.strip().startswith(GREETING.split()[0]) for said in user.said.values())
    outcome.check(greetings <= 1, f"greeted {greetings} times")
    if not world.kept:
        return
    await world.end(room)
    await reported(world, room, outcome, "operator_ended", user.asked, epochs=epochs)


async def reported(
    world: World, room: str, outcome: Outcome, reason: str, asked: list[str], *, epochs: int = 0
) -> None:
    """See whether one report was delivered, with the reason, and with each question once.

    Args:
        world: Where it is delivered.
        room: Of the session.
        outcome: To which what is wrong is added.
        reason: Why it is to have ended.
        asked: What the user typed.
        epochs: How many agents there are to have been; 0: any number.
    """
    try:
        report = await world.report(room, SETTLED_WITHIN)
    except TimeoutError:
        outcome.check(holds=False, otherwise="no report")
        return
    outcome.facts |= {"reason": report["reason"], "epochs": len(report["epochs"]), "gaps": report["gaps"]}
    outcome.check(report["reason"] == reason, f"ended as {report['reason']}, because {report['because']}")
    outcome.check(len({one["session"] for _, one in world.reports.reports[room]}) == 1, "several sessions")
    outcome.check(epochs in {0, len(report["epochs"])}, f"{len(report['epochs'])} agents")
    texts = [item.get("text") for item in report["items"] if item.get("role") == "user"]
    wrong = [question for question in dict.fromkeys(asked) if texts.count(question) != asked.count(question)]
    outcome.check(not wrong, f"lost or doubled in the report: {wrong}")
    answers = [item["text"] for item in report["items"] if item.get("role") == "assistant" and not item["interrupted"]]
    doubled = {text for text in answers if text.startswith(ANSWER) and answers.count(text) > 1}
    outcome.check(not doubled, f"answers doubled in the report: {doubled}")
    delivered = [name for name, _ in world.reports.reports[room]]
    outcome.check(len(delivered) == len(set(delivered)), "a report was delivered twice")


async def until_dead(pid: int, within: float) -> bool:
    """Wait until a process is gone; returns whether it is."""
    began = time.perf_counter()
    while time.perf_counter() - began < within:
        if is_dead(pid):
            return True
        await asyncio.sleep(0.005)
    return False


def is_dead(pid: int) -> bool:
    """Whether a process is gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
