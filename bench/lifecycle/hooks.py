"""`python -m bench.lifecycle.hooks`: what keeping a conversation costs its own process.

Rows 11 and 12 of the list: the time inside Roomkeeper's hooks for each turn, written to a real spool, and the time to
take over a conversation of an hour. The session is livekit-agents' own, the room is a double: models and network would
only hide the figures.
"""

from __future__ import annotations

import asyncio
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
ITEMS: Final = 2_000
ANSWER: Final = (
    "That is a good question, and it deserves an answer of a few sentences. Here is another one of them. " * 2
)


async def turns() -> list[float]:
    """Milliseconds inside the hooks, turn by turn."""
    spent: list[float] = []
    async with show(*[ANSWER] * TURNS, people=[person("ada")]) as stage:
        kept = await stage.start(Talker)
        assert isinstance(kept, KeptSession)  # noqa: S101 - for the type checker
        journal = kept._stage.journal  # noqa: SLF001 - the figure that is wanted
        with tempfile.TemporaryDirectory() as folder:
            writer = Writer(Path(folder, "AJ_1.jsonl"), stage.desk.header)

            def append(kind: str, data: Any = None) -> int:  # noqa: ANN401 - as the desk has it
                return writer.append(kind, data or {}, at=time.time_ns() // 1_000_000)

            stage.desk.append = append  # type: ignore[method-assign]
            for number in range(TURNS):
                before = journal.spent
                answers = len(stage.model.answers)
                stage.room.writes("ada", f"Question number {number}, and it is about as long as questions are?")
                while len(stage.model.answers) == answers or stage.session.agent_state != "listening":  # noqa: ASYNC110
                    await asyncio.sleep(0.05)  # in virtual time
                spent.append((journal.spent - before) / 1e6)
            writer.close()
    return spent


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


def main() -> int:
    """Print the figures; the exit code says whether they are within the limits."""
    spent = sorted(asyncio.run(turns()))
    half, most = statistics.median(spent), spent[round(len(spent) * 0.99) - 1]
    took, occupied = restore()
    print(f"hooks, {len(spent)} turns: p50 {half:.2f} ms (≤ 1), p99 {most:.2f} ms (≤ 5)")
    print(f"taking over {ITEMS} items: {took:.0f} ms (≤ 500), {occupied:.1f} MiB")
    return int(half > 1 or most > 5 or took > 500)


if __name__ == "__main__":
    sys.exit(main())
