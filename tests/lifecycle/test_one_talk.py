"""Talks from their greeting to their end, with everything that may happen to them on the way."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from livekit import api

from roomkeeper.agent.resumed import SORRY
from tests.lifecycle.house import house
from tests.lifecycle.talker import GOODBYE, GREETING

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)


async def test_a_talk_survives_a_kill_and_a_refresh_and_ends_once(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.worker()
        room = f"tea-{uuid4().hex}"
        ada = await home.visit(room)
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
        again = await home.visit(room)
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


async def test_a_hang_up_frees_the_process_and_a_stock_end_is_the_one_end(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.worker()
        caller = await home.visit(f"phone-{uuid4().hex}", kind="sip")
        await caller.reads(GREETING, within=40)
        (process,) = caller.agents.values()
        await caller.close()
        freed = await _until_dead(process)
        assert await home.reason(caller.room) == "caller_hung_up"

        bob = await home.visit(f"stock-{uuid4().hex}")
        await bob.reads(GREETING)
        await bob.write("bye")
        await bob.reads(GOODBYE)
        await bob.until(lambda: bob.state.get("state") == "ended", "end")
        assert bob.state["reason"] == "completed"
        print(f"freed after {freed:.2f} s")  # noqa: T201 - a figure for whoever runs it
    assert freed < 2


async def test_a_talk_goes_from_a_stopped_worker_to_the_next_and_from_a_killed_one_too(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        first = await home.worker()
        ada = await home.visit(f"tea-{uuid4().hex}")
        await ada.reads(GREETING, within=40)
        await ada.write("one")
        await ada.reads("Number 1.")
        session = ada.state["session"]
        (old,) = ada.agents

        # A deploy: the new worker is there, the old one is told to stop, with its jobs.
        second = await home.worker()
        first.signal_group(signal.SIGTERM)
        swapped = await ada.until(lambda: old not in ada.agents and ada.agents, "another agent")
        assert await first.ended() == 0, first.tail
        await ada.write("said")
        await ada.reads("You said one.")
        assert SORRY not in ada.said, "nobody noticed anything"
        assert {state["state"] for state in ada.states} <= {"waiting", "live"}

        # The machine is gone: its worker is killed, and so its jobs go.
        (old,) = ada.agents
        await home.worker()
        second.process.kill()
        loop = asyncio.get_running_loop()
        killed_at = loop.time()
        await ada.reads(SORRY)
        back = loop.time() - killed_at
        assert old not in ada.agents
        await ada.write("said")
        await ada.reads("You said one, said.")
        assert ada.said.count(GREETING) == 1
        assert ada.state["session"] == session
        print(f"swapped after {swapped:.2f} s, back after {back:.2f} s")  # noqa: T201 - figures for whoever runs it
    assert back < 12


async def test_an_agent_that_somebody_else_sends_into_a_talk_says_nothing_and_goes(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        worker = await home.worker()
        ada = await home.visit(f"tea-{uuid4().hex}")
        await ada.reads(GREETING, within=40)
        await ada.write("one")
        await ada.reads("Number 1.")
        (first,) = ada.agents

        # As LiveKit Cloud does by itself for an agent that it has lost sight of.
        async with api.LiveKitAPI(home.server.http, home.server.key, home.server.secret) as livekit:
            sent = api.CreateAgentDispatchRequest(agent_name="talker", room=ada.room)
            await livekit.agent_dispatch.create_dispatch(sent)
        await ada.until(lambda: len(worker.jobs) > 1, "second job")
        for process in worker.jobs[1:]:
            await _until_dead(process)

        await ada.write("said")
        await ada.reads("You said one.")
        assert {who for who, text in ada.texts.values() if text} <= {first, "ada"}
        assert (set(ada.agents), ada.said.count(GREETING)) == ({first}, 1)
        epochs = (await home.get(f"/api/sessions/{ada.room}"))["epochs"]
        assert [epoch["standing"] for epoch in epochs] == ["in_charge", "fenced"]


async def test_an_agent_that_just_returns_is_one_end_and_frees_its_process(tmp_path: Path) -> None:
    async with house(tmp_path, policy="agent_timeout = 2\nrecover.attempts = 1") as home:
        worker = await home.worker()
        ada = await home.visit(f"absent-{uuid4().hex}")
        await ada.until(lambda: ada.state.get("state") == "ended", "end", within=40)
        assert ada.state["reason"] == "agent_failed"
        explained = await home.get(f"/api/sessions/{ada.state['session']}/explain")
        assert "The entrypoint returned before" in str(explained)
        for process in worker.jobs:
            await _until_dead(process)


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
