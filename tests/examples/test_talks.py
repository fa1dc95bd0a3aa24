"""Each small example, run as its README says, does what the README says; all at once, since most of it is waiting."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from roomkeeper.agent.resumed import SORRY
from tests.conformance.support.sound import RATE, Microphone
from tests.lifecycle.house import house
from tests.unit.interviewer.voices import recorded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.agent.workers import Worker
    from tests.lifecycle.house import House, Visitor

pytestmark = pytest.mark.timeout(240)

EXAMPLES = Path(__file__).parents[2] / "examples"
QUIET = 1.5
"""Seconds without a sound after which nothing more is on its way."""
READY_WITHIN = 60.0
"""Seconds for a process with models to start and greet, on a busy machine."""


@contextlib.asynccontextmanager
async def example(name: str, folder: Path, starting: asyncio.Lock) -> AsyncIterator[tuple[House, Worker]]:
    """Run a room server, a control plane and one example; give them and the example's worker."""
    folder.mkdir()
    await starting.acquire()  # what is started together takes longer
    async with house(folder, agent=name, program=str(EXAMPLES / name / "agent.py")) as home:
        worker = await home.worker()
        starting.release()
        yield home, worker


async def refresh(folder: Path, starting: asyncio.Lock) -> None:
    async with example("refresh", folder / "refresh", starting) as (home, _):
        room = f"refresh-{uuid4().hex}"
        ada = await home.visit(room)
        await ada.reads("reload the page.", READY_WITHIN)
        for number in (1, 2):
            await ada.write("tea")
            await ada.reads(f"That was number {number}.")
        await ada.close()
        again = await home.visit(room)
        await again.reads("We are at number 2.")
        await again.write("tea")
        await again.reads("That was number 3.")
        await again.close()


async def crash(folder: Path, starting: asyncio.Lock) -> None:
    async with example("crash", folder / "crash", starting) as (home, worker):
        ada = await home.visit(f"crash-{uuid4().hex}")
        await ada.reads("Every night the keeper", READY_WITHIN)
        told = re.search(r"My process is (\d+)\.", ada.said)
        assert told is not None
        os.kill(int(told[1]), signal.SIGKILL)
        await ada.reads(SORRY)
        await ada.reads("But the keeper knew every door", within=40)
        assert ada.said.count("Once upon a time") == 1
        await ada.write("tea")
        await ada.reads("You said: tea.")
        assert b"resumed: True" in worker.output


async def phone(folder: Path, starting: asyncio.Lock) -> None:
    async with example("phone", folder / "phone", starting) as (home, worker):
        caller = await home.visit(f"phone-{uuid4().hex}", kind="sip")
        await caller.reads("when you are done.", READY_WITHIN)
        await caller.write("I am late")
        await caller.reads("I see.")
        await caller.write("Goodbye")
        await caller.reads("Thank you, goodbye!")
        await caller.until(lambda: caller.state.get("state") == "ended", "end")
        report = await home.report(caller.state["session"])
        assert (report["reason"], report["data"]) == ("completed", {"message": ["I am late", "Goodbye"]})

        caller = await home.visit(f"phone-{uuid4().hex}", kind="sip")
        await caller.reads("when you are done.", READY_WITHIN)
        await caller.close()
        assert await home.reason(caller.room) == "caller_hung_up"
        await _printed(worker, b"ended as caller_hung_up")


async def two_people(folder: Path, starting: asyncio.Lock) -> None:
    async with example("two_people", folder / "two_people", starting) as (home, _):
        room = f"two-{uuid4().hex}"
        people = {name: await home.visit(room, name) for name in ("ada", "bob")}
        ada, bob = people.values()
        await ada.reads("I will say whom I heard.", READY_WITHIN)
        microphones = {name: Microphone() for name in people}
        try:
            for name, microphone in microphones.items():
                await microphone.open(people[name].client.me)
            await _is_heard("ada", microphones["ada"], bob)
            await _is_heard("bob", microphones["bob"], bob)
            await ada.close()
            await _is_heard("bob", microphones["bob"], bob)
        finally:
            await bob.close()
            for microphone in microphones.values():
                await microphone.close()


async def hand_over(folder: Path, starting: asyncio.Lock) -> None:
    async with example("hand_over", folder / "hand_over", starting) as (home, worker):
        ada = await home.visit(f"order-{uuid4().hex}")
        await ada.reads("to drink?", READY_WITHIN)
        await ada.write("tea")
        await ada.reads("You ordered tea.")
        await ada.reads("to pay?")
        (process,) = worker.jobs
        os.kill(process, signal.SIGKILL)
        await ada.reads("Sorry for that. It was tea.")
        await ada.write("cash")
        await ada.reads("Thank you.")


async def test_the_examples_do_what_their_readmes_say(tmp_path: Path) -> None:
    starting = asyncio.Lock()
    async with asyncio.TaskGroup() as talks:
        for talk in (two_people, crash, refresh, phone, hand_over):
            talks.create_task(talk(tmp_path, starting))


async def _is_heard(name: str, microphone: Microphone, reader: Visitor) -> None:
    """Say a sentence, in one turn or two, and read that the agent heard it."""
    answered = reader.said.count(f"I heard {name}.")
    microphone.say(recorded("two_cities.wav").cut(0.9, 4.9).at(RATE).samples)
    await microphone.said()
    await reader.until(lambda: reader.said.count(f"I heard {name}.") > answered, f"answer to {name}")
    loop = asyncio.get_running_loop()
    await reader.until(lambda: loop.time() - reader.loud_at > QUIET, "silence")


async def _printed(worker: Worker, words: bytes, within: float = 20.0) -> None:
    async with asyncio.timeout(within):
        while words not in worker.output:
            await asyncio.sleep(0.05)
