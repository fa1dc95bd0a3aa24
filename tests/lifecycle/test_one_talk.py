"""A talk from its greeting to its end, with everything that may happen to it, in one go."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from roomkeeper.agent.resumed import SORRY
from tests.lifecycle.house import house
from tests.lifecycle.talker import GOODBYE, GREETING

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)


async def test_a_talk_survives_a_kill_and_a_refresh_and_ends_once(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.worker()
        ada = await home.visit("tea")
        await ada.reads(GREETING, within=40)
        await ada.write("one")
        await ada.reads("Number 1.")

        # Killed in the middle of a sentence.
        await ada.write("story")
        await ada.reads("In that room there")
        (first,) = ada.agents.items()
        os.kill(first[1], signal.SIGKILL)
        back = await ada.reads(SORRY)
        await ada.reads("for ever and ever.")
        assert ada.said.count(GREETING) == 1
        assert first[0] not in ada.agents

        # Refreshed.
        await ada.write("said")
        await ada.reads("You said one, story.")
        await ada.close()
        again = await home.visit("tea")
        await again.until(lambda: again.texts, "words for who returned")
        await again.write("said")
        await again.reads("You said one, story, said.")

        # Ended by a tool.
        await again.write("stop")
        await again.reads(GOODBYE)
        await again.until(lambda: again.state.get("state") == "ended", "end")
        loop = asyncio.get_running_loop()
        assert loop.time() - again.loud_at < 1.5
        assert (again.state["reason"], again.state["detail"]) == ("completed", "asked to stop")
        report = await home.report(again.state["session"])
        print(f"resumed after {back:.2f} s")  # noqa: T201 - a figure for whoever runs it
    assert (report["reason"], report["outcome"]) == ("completed", "finished")
    assert len(report["epochs"]) == 2
    said = [item["text"] for item in report["items"] if item.get("role") == "user"]
    assert said == ["one", "story", "said", "said", "stop"]


async def test_a_hang_up_a_stock_end_and_a_deploy(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        old = await home.worker()
        caller = await home.visit("phone", kind="sip")
        await caller.reads(GREETING, within=40)
        (process,) = caller.agents.values()
        await caller.close()
        freed = await _until_dead(process)
        assert await home.reason("phone") == "caller_hung_up"

        bob = await home.visit("stock")
        await bob.reads(GREETING)
        await bob.write("bye")
        await bob.reads(GOODBYE)
        await bob.until(lambda: bob.state.get("state") == "ended", "end")
        assert bob.state["reason"] == "completed"

        ada = await home.visit("deploy")
        await ada.reads(GREETING)
        await ada.write("one")
        await ada.reads("Number 1.")
        (before,) = ada.agents
        await home.worker()
        old.process.send_signal(signal.SIGTERM)
        swapped = await ada.until(lambda: ada.agents and before not in ada.agents, "another agent")
        await ada.write("said")
        await ada.reads("You said one.")
        assert ada.said.count(GREETING) == 1
        assert {state["state"] for state in ada.states} <= {"waiting", "live"}
        print(f"freed after {freed:.2f} s, swapped after {swapped:.2f} s")  # noqa: T201 - figures for whoever runs it
    assert freed < 3


async def _until_dead(process: int, within: float = 20.0) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(within):
        while True:
            try:
                os.kill(process, 0)
            except ProcessLookupError:
                return loop.time() - began
            await asyncio.sleep(0.02)
