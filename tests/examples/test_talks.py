"""Each small example, run as its README says, does what the README says."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import pytest

from roomkeeper.agent.resumed import SORRY
from tests.conformance.support.sound import RATE, Microphone
from tests.lifecycle.house import house
from tests.unit.interviewer.voices import recorded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.agent.workers import Worker
    from tests.lifecycle.house import House, Visitor

pytestmark = pytest.mark.timeout(240)

EXAMPLES = Path(__file__).parents[2] / "examples"
LOUDER = np.int16(6)
"""The recording is of -37 dBFS: too quiet for a room server to say that somebody speaks."""
QUIET = 1.5
"""Seconds without a sound after which nothing more is on its way."""
READY_WITHIN = 60.0
"""Seconds for a process with models to start and greet, on a busy machine."""


@dataclass(frozen=True)
class Example:
    """One that runs.

    Attributes:
        name: Of its folder, and of its agent.
        home: With a room server and a control plane.
        worker: Its own.
    """

    name: str
    home: House
    worker: Worker

    async def visit(self, identity: str = "ada", *, room: str = "", kind: str = "") -> Visitor:
        """Let somebody in, in a room of their own unless one is named."""
        return await self.home.visit(room or f"{self.name}-{uuid4().hex}", identity, kind=kind, agent=self.name)


async def refresh(example: Example) -> None:
    ada = await example.visit()
    await ada.reads("reload the page.", READY_WITHIN)
    for number in (1, 2):
        await ada.write("tea")
        await ada.reads(f"That was number {number}.")
    await ada.close()
    again = await example.visit(room=ada.room)
    await again.reads("We are at number 2.")
    await again.write("tea")
    await again.reads("That was number 3.")
    await again.close()


async def crash(example: Example) -> None:
    ada = await example.visit()
    await ada.reads("Every night the keeper", READY_WITHIN)
    told = re.search(r"My process is (\d+)\.", ada.said)
    assert told is not None
    os.kill(int(told[1]), signal.SIGKILL)
    await ada.reads(SORRY)
    await ada.reads("But the keeper knew every door", within=40)
    assert ada.said.count("Once upon a time") == 1
    await ada.write("tea")
    await ada.reads("You said: tea.")
    assert b"resumed: True" in example.worker.output


async def phone(example: Example) -> None:
    caller = await example.visit(kind="sip")
    await caller.reads("when you are done.", READY_WITHIN)
    await caller.write("I am late")
    await caller.reads("I see.")
    await caller.write("Goodbye")
    await caller.reads("Thank you, goodbye!")
    await caller.until(lambda: caller.state.get("state") == "ended", "end")
    report = await example.home.report(caller.state["session"])
    assert (report["reason"], report["data"]) == ("completed", {"message": ["I am late", "Goodbye"]})

    caller = await example.visit(kind="sip")
    await caller.reads("when you are done.", READY_WITHIN)
    await caller.close()
    assert await example.home.reason(caller.room) == "caller_hung_up"
    await _printed(example.worker, b"ended as caller_hung_up")


async def two_people(example: Example) -> None:
    ada = await example.visit()
    bob = await example.visit("bob", room=ada.room)
    await ada.reads("I will say whom I heard.", READY_WITHIN)
    first, second = Microphone(), Microphone()
    try:
        await first.open(ada.client.me)
        await second.open(bob.client.me)
        await _is_heard("ada", first, bob)
        await _is_heard("bob", second, bob)
        await ada.close()
        await _is_heard("bob", second, bob)
    finally:
        await bob.close()
        await first.close()
        await second.close()


async def hand_over(example: Example) -> None:
    ada = await example.visit()
    await ada.reads("to drink?", READY_WITHIN)
    await ada.write("tea")
    await ada.reads("You ordered tea.")
    await ada.reads("to pay?")
    (process,) = example.worker.jobs
    os.kill(process, signal.SIGKILL)
    await ada.reads("Sorry for that. It was tea.")
    await ada.write("cash")
    await ada.reads("Thank you.")


async def test_the_examples_do_what_their_readmes_say(tmp_path: Path) -> None:
    free = asyncio.Semaphore(2)  # most of it is waiting, but not all
    talks = (two_people, crash, refresh, phone, hand_over)
    async with house(tmp_path, agents=[talk.__name__ for talk in talks]) as home, asyncio.TaskGroup() as running:
        for talk in talks:
            running.create_task(_run(talk, home, free))


async def _run(talk: Callable[[Example], Awaitable[None]], home: House, free: asyncio.Semaphore) -> None:
    name = talk.__name__
    async with free:
        spool = str(home.folder / f"spool-{name}")
        worker = await home.worker(str(EXAMPLES / name / "agent.py"), ROOMKEEPER_SPOOL=spool)
        await talk(Example(name, home, worker))


async def _is_heard(name: str, microphone: Microphone, reader: Visitor) -> None:
    """Say a sentence, in one turn or two, and read that the agent heard it."""
    answered = reader.said.count(f"I heard {name}.")
    microphone.say(recorded("two_cities.wav").cut(0.9, 4.9).at(RATE).samples * LOUDER)
    await microphone.said()
    await reader.until(lambda: reader.said.count(f"I heard {name}.") > answered, f"answer to {name}")
    loop = asyncio.get_running_loop()
    await reader.until(lambda: loop.time() - reader.loud_at > QUIET, "silence")


async def _printed(worker: Worker, words: bytes, within: float = 20.0) -> None:
    async with asyncio.timeout(within):
        while words not in worker.output:
            await asyncio.sleep(0.05)
