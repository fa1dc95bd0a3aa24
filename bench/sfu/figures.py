"""What is measured: samples, their spread, and what the project wants of them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Unit = Literal["ms", "%", "MB", "MB/room", "/s"]
Judged = Literal["p50", "max"]

HEAD = ("", "n", "p50", "p95", "min", "max", "unit", "")
NUMBERS = range(1, 6)
"""Columns aligned to the right."""
SMALL = 10
"""Numbers below it are shown with two digits."""


def quantile(samples: Sequence[float], share: float) -> float:
    """Returns the sample below which that share lies (nearest rank)."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@dataclass(slots=True)
class Figure:
    """One line of the result.

    Attributes:
        name: What was measured.
        unit: Of the samples.
        limit: The most that the judged value may be; None if the project promises nothing.
        judged: Which value the limit is for.
        note: How it was measured, if the name does not say.
        samples: In the order in which they were measured.
    """

    name: str
    unit: Unit
    limit: float | None = None
    judged: Judged = "p50"
    note: str = ""
    samples: list[float] = field(default_factory=list)

    def values(self) -> dict[str, float]:
        """Returns median, 95th percentile, least and most."""
        if not self.samples:
            return {}
        return {
            "p50": statistics.median(self.samples),
            "p95": quantile(self.samples, 0.95),
            "min": min(self.samples),
            "max": max(self.samples),
        }

    @property
    def met(self) -> bool | None:
        """Whether the limit is kept; None without a limit or samples."""
        if self.limit is None or not self.samples:
            return None
        return self.values()[self.judged] <= self.limit

    def row(self, *, judge: bool) -> tuple[str, ...]:
        """Returns the cells of the table, see `HEAD`."""
        shown = [f"{value:.{2 if abs(value) < SMALL else 1}f}" for value in self.values().values()] or ["-"] * 4
        verdict = ""
        if judge and self.met is not None:
            verdict = f"{'ok' if self.met else 'MISSED'}: {self.judged} <= {self.limit:g}"
        words = "; ".join(filter(None, (verdict, self.note)))
        return (self.name, str(len(self.samples)), *shown, self.unit, words)

    def to_json(self) -> dict[str, object]:
        """Returns everything, for `--json`."""
        out: dict[str, object] = {"name": self.name, "unit": self.unit, "samples": self.samples, **self.values()}
        if self.limit is not None:
            out |= {"limit": self.limit, "judged": self.judged, "met": self.met}
        return out | ({"note": self.note} if self.note else {})


class Figures:
    """The lines of one server, in the order in which they were first measured."""

    def __init__(self) -> None:
        self._figures: dict[str, Figure] = {}

    def __iter__(self) -> Iterator[Figure]:
        return iter(self._figures.values())

    def add(
        self,
        name: str,
        unit: Unit,
        *values: float | None,
        limit: float | None = None,
        judged: Judged = "p50",
        note: str = "",
    ) -> None:
        """Keeps samples; None, for what could not be measured, is left out."""
        figure = self._figures.setdefault(name, Figure(name, unit, limit, judged, note))
        figure.samples += [value for value in values if value is not None]


def table(figures: Iterable[Figure], *, judge: bool) -> str:
    """Lays figures out as text.

    Args:
        figures: The lines.
        judge: Whether limits are applied: they are not meant for other servers.
    """
    rows = [HEAD, *(figure.row(judge=judge) for figure in figures if figure.samples)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in NUMBERS else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
