"""`python -m bench.lifecycle.hooks turns|restore`: what keeping a conversation costs its own process.

Rows 11 and 12 of the list: the time inside Roomkeeper's hooks for each turn, written to a real spool; the time to take
over a conversation of an hour, and what an hour-long one leaves in memory. The session is livekit-agents' own, the room
is a double: models and network would only hide the figures.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any, Final

from roomkeeper.agent.kept import KeptSession
from roomkeeper.agent.restore import Reader
from roomkeeper.agent.spool import Writer
from tests.unit.agent.session.stagehand import Talker, person, show

TURNS: Final = 300
LONG: Final = 1_000
"""Turns of an hour: two items each."""
SETTLED: Final = 200
"""Turns after which memory is to be flat."""
GROWS: Final = 256
"""KiB that Roomkeeper may allocate and keep from then on to the end: LiveKit's own list of events is among them."""
ITEMS: Final = 2_000
ANSWER: Final = (
    "That is a good question, and it deserves an answer of a few sentences. Here is another one of them. " * 2
)


async def turns(number_of_turns: int) -> tuple[list[float], float]:
    """Milliseconds inside the hooks, turn by turn; and KiB that Roomkeeper keeps more at the end than at the start.

    The latter only if allocations are traced.
    """
    spent: list[float] = []
    held = 0.0
    async with show(*[ANSWER] * number_of_turns, people=[person("ada")]) as stage:
        kept = await stage.start(Talker)
        assert isinstance(kept, KeptSession)  # noqa: S101 - for the type checker
        journal = kept._stage.journal  # noqa: SLF001 - the figure that is wanted
        with tempfile.TemporaryDirectory() as folder:
            writer = Writer(Path(folder, "AJ_1.jsonl"), stage.desk.header)

            def append(kind: str, data: Any = None) -> int:  # noqa: ANN401 - as the desk has it
                return writer.append(kind, data or {}, at=time.time_ns() // 1_000_000)

            stage.desk.append = append  # type: ignore[method-assign]
            for number in range(number_of_turns):
                before = journal.spent
                answers = len(stage.model.answers)
                stage.room.writes("ada", f"Question number {number}, and it is about as long as questions are?")
                while len(stage.model.answers) == answers or stage.session.agent_state != "listening":  # noqa: ASYNC110
                    await asyncio.sleep(0.05)  # in virtual time
                spent.append((journal.spent - before) / 1e6)
                if number == SETTLED:
                    held = _held()
            held = _held() - held
            writer.close()
    return spent, held


def _held() -> float:
    """KiB that lines of Roomkeeper allocated and that are in use."""
    if not tracemalloc.is_tracing():
        return 0.0
    gc.collect()
    ours = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/roomkeeper/*")])  # noqa: FBT003
    return sum(each.size for each in ours.statistics("filename")) / 1024


def restore() -> tuple[float, float]:
    """Milliseconds to take over `ITEMS` items, JSON included, and MiB that they occupy."""
    lines = [
        {
            "line": number,
            "job": "AJ_1",
            "seq": number,
            "at": number * 1000,
            "type": "item",
            "data": {
                "item": {
                    "id": f"item_{number}",
                    "type": "message",
                    "role": "user" if number % 2 else "assistant",
                    "content": [ANSWER],
                    "created_at": float(number),
                }
            },
        }
        for number in range(ITEMS)
    ]
    pages = [json.dumps({"lines": lines[first : first + 1000]}) for first in range(0, ITEMS, 1000)]
    took = []
    for _ in range(10):
        began = time.perf_counter()
        _take_over(pages)
        took.append((time.perf_counter() - began) * 1000)
    tracemalloc.start()
    kept = _take_over(pages)
    occupied = tracemalloc.get_traced_memory()[0] / 2**20
    tracemalloc.stop()
    assert len(kept.items) == ITEMS  # noqa: S101 - a figure of something else would be no figure
    return statistics.median(took), occupied


def _take_over(pages: list[str]) -> Any:  # noqa: ANN401 - what was read
    reader = Reader()
    for page in pages:
        reader.read(json.loads(page)["lines"])
    past = reader.past()
    past.history  # noqa: B018 - it is part of the work
    return past


def main(what: str) -> int:
    """Print the figures; the exit code says whether they are within the limits."""
    if what == "restore":
        took, occupied = restore()
        print(f"taking over {ITEMS} items: {took:.0f} ms (limit 500), {occupied:.1f} MiB", flush=True)
        tracemalloc.start()
        _, grown = asyncio.run(turns(LONG))
        print(f"memory kept from turn {SETTLED} to turn {LONG}: {grown:.0f} KiB (limit {GROWS})", flush=True)
        return int(took > 500 or grown > GROWS)
    spent, _ = asyncio.run(turns(TURNS))
    spent = sorted(spent)
    half, most = statistics.median(spent), spent[round(len(spent) * 0.99) - 1]
    print(f"hooks, {len(spent)} turns: p50 {half:.2f} ms (limit 1), p99 {most:.2f} ms (limit 5)", flush=True)
    return int(half > 1 or most > 5)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
