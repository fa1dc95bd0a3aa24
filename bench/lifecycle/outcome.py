"""What became of one conversation, and whether all of a row's are within its limits."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Outcome:
    """What became of one conversation.

    Attributes:
        what: Was done to it, and when.
        took: Seconds that were measured; None: what was waited for never came, or there is nothing to time.
        good: Whether everything else came out as it should.
        timed: Whether there is anything to time.
        notes: What was noticed.
        facts: What else was seen, for whoever reads the samples.
    """

    what: str
    took: float | None = None
    good: bool = False
    timed: bool = True
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def check(self, holds: object, otherwise: str) -> None:
        """Note what is not as it should be."""
        if not holds:
            self.good = False
            self.notes.append(otherwise)


@dataclass(frozen=True, slots=True)
class Limit:
    """Seconds: half of the conversations, and all of them; None: as long as it takes."""

    half: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        if self.half is None and self.most is None:
            return "none"
        shown = [f"{value:g} s" if value is not None else "none" for value in (self.half, self.most)]
        return f"p50 {shown[0]}, max {shown[1]}"


def report(name: str, measure: str, limit: Limit, outcomes: list[Outcome], *, kept: bool) -> bool:
    """Print what was found; returns whether the promise was kept, which livekit-agents alone did not give.

    Args:
        name: Of the row.
        measure: What the seconds are.
        limit: Of them.
        outcomes: Of all conversations.
        kept: With Roomkeeper.
    """
    print(f"{name}, {'with Roomkeeper' if kept else 'livekit-agents alone'}: {len(outcomes)} conversations")
    timed = [one for one in outcomes if one.timed]
    took = sorted(one.took for one in timed if one.took is not None)
    within = len(took) == len(timed)
    if took:
        p50 = statistics.median(took)
        spread = f"min {took[0]:.2f}, p50 {p50:.2f}, max {took[-1]:.2f} s"
        print(f"  {measure}: {len(took)} of {len(timed)}, {spread} (limit {limit})")
        within &= (limit.half is None or p50 <= limit.half) and (limit.most is None or took[-1] <= limit.most)
    elif timed:
        print(f"  {measure}: never")
    good = sum(one.good for one in outcomes)
    print(f"  came out as it should: {good} of {len(outcomes)}")
    for one in outcomes:
        if one.notes:
            print(f"    {one.what}: {'; '.join(one.notes)}")
    if not kept:
        return True
    promised = within and good == len(outcomes) and bool(outcomes)
    print(f"  promise {'kept' if promised else 'MISSED'}", flush=True)
    return promised
