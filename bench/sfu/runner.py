"""The measurements in order, server beside server so that the machine's noise hits each alike."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import time
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

from bench.sfu import clients, plan
from bench.sfu.figures import Figures
from bench.sfu.probe import Beside, Block, Idle, Waits, loop, watching
from bench.sfu.target import Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from bench.sfu.target import Target

PATHS: tuple[clients.Path, ...] = ("v1", "v0")
CHURN_WARM = 0.2
"""Share of a churn's rooms after which memory must not grow any more."""
CHURN_TELLS = 3
"""Samples of the memory below which a churn is too short to tell a leak from warming up."""
CHURN_REST = 4.0
"""Seconds for the last rooms of a churn to end."""


@dataclass(slots=True)
class Subject:
    """A server and what is known of it."""

    target: Target
    figures: Figures = field(default_factory=Figures)
    waits: Waits = field(default_factory=Waits)


class Runner:
    """Measures servers by a plan."""

    def __init__(self, targets: Iterable[Target], much: plan.Plan) -> None:
        self.subjects = [Subject(target) for target in targets]
        self._plan = much
        self._run = secrets.token_hex(3)
        self._rooms = 0
        self._stolen = _stolen()

    def _room(self) -> str:
        self._rooms += 1
        return f"bench-{self._run}-{self._rooms}"

    async def run(self) -> None:
        """Takes every measurement."""
        idle = Idle(self.subjects[0].target)
        try:
            await self._measure()
        finally:
            beside = idle.end()
        for subject in self.subjects:
            self._waits(subject, beside)

    async def _measure(self) -> None:
        for subject in self.subjects:
            # The first join loads what later ones find loaded.
            await clients.join_time(subject.target, self._room(), "v1")
            subject.figures.add("memory, no room", "MB", subject.target.memory(), limit=plan.BASE_LIMIT, judged="max")
            subject.figures.add("own memory, no room", "MB", subject.target.own_memory(), note="without mapped files")
        for number in range(self._plan.rounds):
            for path in PATHS:
                _say(f"joins, subscriptions, audio and calls over {path}, round {number + 1}")
                await self._clients(path)
            for kind, count in self._plan.sessions:
                for subject in self.subjects:
                    _say(f"{subject.target.name}: {count} 1:1 sessions of {kind} clients, round {number + 1}")
                    await self._sessions(subject, kind, count)
        for subject in self.subjects:
            _say(f"{subject.target.name}: {self._plan.churn} rooms, one after the other")
            await self._churn(subject)

    async def _clients(self, path: clients.Path) -> None:
        much = self._plan
        for _ in range(much.joins):
            for subject in self.subjects:
                took = await clients.join_time(subject.target, self._room(), path)
                subject.figures.add(f"join, {path}", "ms", took, limit=plan.JOIN_LIMIT[path])
        for subject in self.subjects:
            times = await clients.subscription_times(subject.target, self._room(), path, much.subscriptions)
            subject.figures.add(f"publish to subscribed, {path}", "ms", *times)
        for subject in self.subjects:
            delays = await clients.audio_delays(subject.target, self._room(), path, much.audio_seconds)
            subject.figures.add(f"one-way audio, {path}", "ms", *delays, limit=plan.AUDIO_LIMIT)
        for subject in self.subjects:
            times = await clients.rpc_times(subject.target, self._room(), path, much.calls)
            subject.figures.add(f"RPC round trip, {path}", "ms", *times)

    async def _sessions(self, subject: Subject, kind: plan.Kind, count: int) -> None:
        target, figures = subject.target, subject.figures
        at = f"{count} {kind} session{'s' if count > 1 else ''}"
        empty = target.own_memory()
        start, used = 0.0, Usage()
        async with AsyncExitStack() as stack:
            if kind == "light":
                # Not beside the few clients of the SDK: a pinger's share of the CPU would count as theirs.
                await stack.enter_async_context(watching(target, self._room(), subject.waits))
            load = _load(target, kind, count, self._room(), seconds=self._plan.window)
            lines = await stack.enter_async_context(aclosing(load))
            async for line in lines:
                if line["phase"] == "steady":
                    full = target.own_memory()
                    if empty is not None and full is not None:
                        room = (full - empty) / count
                        figures.add(f"own memory per room at {at}", "MB/room", room, limit=plan.ROOM_LIMIT)
                    start, used = time.perf_counter(), target.usage()
                elif line["phase"] == "over":
                    seconds, spent = time.perf_counter() - start, target.usage() - used
                    if spent.known:
                        cpu = spent.cpu / seconds / count * 100
                        limit = plan.CPU_LIMIT if count >= plan.CPU_LIMITED else None
                        figures.add(f"CPU per session at {at}", "%", cpu, limit=limit)
                        figures.add(f"waited for a core at {at}", "%", spent.waited / seconds * 100)
                elif line["phase"] == "done":
                    lost = line["lost"] / max(1, line["sent"]) * 100
                    figures.add(f"packets lost at {at}", "%", lost, limit=plan.LOSS_LIMIT)
                    for name, value in line["milliseconds"].items():
                        figures.add(f"{name} at {at}", "ms", value)

    async def _churn(self, subject: Subject) -> None:
        target, figures = subject.target, subject.figures
        memory: list[float] = []
        async with (
            watching(target, self._room(), subject.waits),
            aclosing(_load(target, "churn", self._plan.churn, self._room())) as lines,
        ):
            async for line in lines:
                now = target.own_memory()
                if line["phase"] == "churned" and now is not None:
                    memory.append(now)
                elif line["phase"] == "done":
                    figures.add("rooms in churn", "/s", line["rooms"] / line["seconds"])
                    for name, value in line["milliseconds"].items():
                        figures.add(f"{name} in churn", "ms", value)
        await asyncio.sleep(CHURN_REST)
        rest = target.own_memory()
        if len(memory) > CHURN_TELLS and rest is not None:
            warm = int(len(memory) * CHURN_WARM)
            figures.add("own memory in churn", "MB", *memory, note=f"{memory[0]:.1f} at first, {rest:.1f} at rest")
            left = max(0.0, rest - memory[warm]) / ((1 - CHURN_WARM) * self._plan.churn)
            note = f"from a share of {CHURN_WARM:g} of the rooms on"
            figures.add("own memory left behind", "MB/room", left, limit=plan.LEFT_LIMIT, note=note)

    def _waits(self, subject: Subject, beside: Beside) -> None:
        figures, waits, limit = subject.figures, subject.waits, plan.BLOCKED_LIMIT
        figures.add("ping under load", "ms", *waits.pings)
        figures.add("the pinger's own delay", "ms", *waits.own, note="the machine's share of it")
        account = loop(subject.target, limit)
        if account is None:
            return
        told = [block for line in subject.target.log if (block := Block.in_log(line)) is not None]
        # What is within the limit is not in the log; what the log has not, nobody excuses.
        known = told and len(told) >= account.blocked
        own = [beside.own(block) * 1000 for block in told] if known else [account.longest_block]
        note = f"{account.blocked} of {account.looks} looks above {limit:g} ms"
        figures.add("event loop blocked, longest", "ms", account.longest_block, note=note)
        note = "its work, and calls it slept in, that held up no idle process on the same cores"
        figures.add("event loop blocked by itself", "ms", *own, limit=limit, judged="max", note=note)
        if told:
            figures.add("worked in these blocks", "ms", *(block.worked * 1000 for block in told))
        slept = max((block.seconds * 1000 for block in beside.calls), default=0.0)
        note = f"looked at every 2 ms; {beside.waited:.0f} s in waiting for events"
        figures.add("slept in a call, at one look", "ms", slept, note=note)
        note = f"{account.late} looks above {limit:g} ms; with the waits for a core"
        figures.add("event loop late, longest", "ms", account.longest_lag, note=note)
        longest = max((block.seconds * 1000 for block in beside.held), default=0.0)
        figures.add("the idle process blocked, longest", "ms", longest)
        figures.add("taken by the host meanwhile", "ms", (_stolen() - self._stolen) * 1000, note="of all cores")


def _stolen() -> float:
    """Returns the seconds since boot that other machines of the host ran instead of this one."""
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


async def _load(
    target: Target, kind: str, count: int, prefix: str, *, seconds: float = 0.0
) -> AsyncGenerator[dict[str, Any], None]:
    """Runs a load process and yields what it tells.

    Raises:
        RuntimeError: It failed.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.sfu.load", kind),
        *("--count", str(count), "--seconds", str(seconds), "--prefix", prefix),
        env={**os.environ, "BENCH_URL": target.url, "BENCH_KEY": target.key, "BENCH_SECRET": target.secret},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        while process.stdout is not None and (line := await process.stdout.readline()):
            yield json.loads(line)
        if await process.wait():
            raise RuntimeError(f"the load process ({kind}, {count}) ended with status {process.returncode}")
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
