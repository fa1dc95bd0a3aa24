"""The process that loads a server: 1:1 sessions that talk, or rooms that come and go.

Run by the benchmark as `python -m bench.sfu.load`; where the server is comes from the environment. It prints one JSON
object a line: `{"phase": "steady"}` when every session talks, `{"phase": "done", …}` at the end of the window.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import time
from typing import TYPE_CHECKING, Any

import uvloop

from bench.sfu import clients
from bench.sfu.figures import quantile
from bench.sfu.light.participant import Participant
from bench.sfu.light.speech import speak
from bench.sfu.target import Target

if TYPE_CHECKING:
    from collections.abc import Coroutine

SETTLE = 2.0
"""Seconds of talk before a window begins."""
JOINS_AT_ONCE = 4
CHURN_AT_ONCE = 6
ENOUGH = 10
"""Packets that a participant must hear for its session to count as up."""
CHURN_STEP = 25
PATIENCE = 15.0


class Ear:
    """Counts what one light participant hears of another.

    Attributes:
        delays: Seconds from one's `sendto` to the other's callback.
    """

    def __init__(self, listener: Participant, speaker: Participant) -> None:
        self.delays: list[float] = []
        self.heard = 0
        self._speaker = speaker
        self._window: tuple[int, int | None] = (0, None)
        self._enough = asyncio.Event()
        listener.heard = self._hear

    def _hear(self, index: int, at: float) -> None:
        first, last = self._window
        if index < first or (last is not None and index >= last):
            return
        self.heard += 1
        if self.heard == ENOUGH:
            self._enough.set()
        sent = self._speaker.sent_at(index)
        if sent is not None:
            self.delays.append(at - sent)

    async def hears(self) -> None:
        """Waits until the listener has heard `ENOUGH` packets."""
        async with asyncio.timeout(PATIENCE):
            await self._enough.wait()

    def begin(self) -> None:
        """Counts from the next packet on."""
        self._window = (self._speaker.spoken, None)
        self.heard = 0
        self.delays.clear()

    def end(self) -> None:
        """Counts no packet that is sent from now on."""
        self._window = (self._window[0], self._speaker.spoken)

    @property
    def sent(self) -> int:
        """Packets sent in the window."""
        first, last = self._window
        return (self._speaker.spoken if last is None else last) - first


async def _gather(work: list[Coroutine[Any, Any, None]], at_once: int) -> None:
    gate = asyncio.Semaphore(at_once)

    async def one(each: Coroutine[Any, Any, None]) -> None:
        async with gate:
            await each

    async with asyncio.TaskGroup() as group:
        for each in work:
            group.create_task(one(each))


def _tell(phase: str, **figures: object) -> None:
    print(json.dumps({"phase": phase, **figures}), flush=True)


async def light_sessions(target: Target, prefix: str, count: int, seconds: float) -> None:
    """Lets `count` pairs of light participants talk; tells packets sent and heard, and delays in ms."""
    talkers: list[Participant] = []
    ears: list[Ear] = []

    async def session(number: int) -> None:
        ann, bob = Participant(), Participant()
        room = f"{prefix}-{number}"
        await ann.join(target.url, target.token(room, "ann"))
        await bob.join(target.url, target.token(room, "bob"))
        talkers.extend((ann, bob))
        ears.extend((Ear(ann, bob), Ear(bob, ann)))

    late: list[float] = []
    speaking = asyncio.create_task(speak(talkers, late))
    await _gather([session(number) for number in range(count)], JOINS_AT_ONCE)
    for ear in ears:
        await ear.hears()
    await asyncio.sleep(SETTLE)
    for ear in ears:
        ear.begin()
    late.clear()
    _tell("steady")
    await asyncio.sleep(seconds)
    for ear in ears:
        ear.end()
    sent, slots = sum(ear.sent for ear in ears), list(late)
    _tell("over")
    await asyncio.sleep(0.5)
    speaking.cancel()
    delays = [delay for ear in ears for delay in ear.delays]
    _tell(
        "done",
        sent=sent,
        lost=sent - sum(ear.heard for ear in ears),
        milliseconds={
            "packet delay p50": quantile(delays, 0.5) * 1e3,
            "packet delay p99": quantile(delays, 0.99) * 1e3,
            "generator's own delay p99": quantile(slots, 0.99) * 1e3,
        },
    )
    await asyncio.gather(*(talker.leave() for talker in talkers))


async def sdk_sessions(target: Target, prefix: str, count: int, seconds: float) -> None:
    """Lets `count` pairs of participants of the python SDK talk; tells packets received and lost as WebRTC counts."""
    talks: list[clients.Talk] = []

    async def session(number: int) -> None:
        talks.append(await clients.Talk.begin(target, f"{prefix}-{number}", "v1"))

    await _gather([session(number) for number in range(count)], JOINS_AT_ONCE)
    await asyncio.sleep(SETTLE)
    before = [await talk.packets() for talk in talks]
    _tell("steady")
    await asyncio.sleep(seconds)
    _tell("over")
    after = [await talk.packets() for talk in talks]
    received, lost = (sum(b[i] - a[i] for a, b in zip(before, after, strict=True)) for i in (0, 1))
    _tell("done", sent=received + lost, lost=lost, milliseconds={})
    await asyncio.gather(*(talk.end() for talk in talks))


async def churn(target: Target, prefix: str, count: int) -> None:
    """Makes `count` rooms one after the other, a few at once; in each two light participants join, talk and leave."""
    talkers: list[Participant] = []
    joins: list[float] = []
    over = 0

    async def room(number: int) -> None:
        nonlocal over
        ann, bob = Participant(), Participant()
        ears = (Ear(ann, bob), Ear(bob, ann))
        for participant, identity in ((ann, "ann"), (bob, "bob")):
            start = time.perf_counter()
            await participant.join(target.url, target.token(f"{prefix}-{number}", identity))
            joins.append(time.perf_counter() - start)
        talkers.extend((ann, bob))
        for ear in ears:
            await ear.hears()
        for participant in (ann, bob):
            talkers.remove(participant)
            await participant.leave()
        over += 1
        if over % CHURN_STEP == 0:
            _tell("churned", rooms=over)

    speaking = asyncio.create_task(speak(talkers, []))
    start = time.perf_counter()
    await _gather([room(number) for number in range(count)], CHURN_AT_ONCE)
    speaking.cancel()
    took = time.perf_counter() - start
    milliseconds = {"join p50": quantile(joins, 0.5) * 1e3, "join p95": quantile(joins, 0.95) * 1e3}
    _tell("done", rooms=over, seconds=took, milliseconds=milliseconds)


def main() -> None:
    """Runs one load."""
    parser = argparse.ArgumentParser(prog="bench.sfu.load")
    parser.add_argument("kind", choices=("light", "sdk", "churn"))
    parser.add_argument("--count", type=int, required=True, help="sessions, or rooms of a churn")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the window")
    parser.add_argument("--prefix", required=True, help="of the rooms' names")
    options = parser.parse_args()
    logging.getLogger("livekit").setLevel(logging.ERROR)
    target = Target("", os.environ["BENCH_URL"], os.environ["BENCH_KEY"], os.environ["BENCH_SECRET"], None)
    match options.kind:
        case "light":
            uvloop.run(light_sessions(target, options.prefix, options.count, options.seconds))
        case "sdk":
            uvloop.run(sdk_sessions(target, options.prefix, options.count, options.seconds))
        case _:
            uvloop.run(churn(target, options.prefix, options.count))


if __name__ == "__main__":
    main()
