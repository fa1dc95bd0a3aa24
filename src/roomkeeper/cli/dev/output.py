"""What `roomkeeper dev` prints: the logs of its children side by side, and the address."""

from __future__ import annotations

import io
import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

COLOURS = {"sfu": 36, "control": 35, "interviewer": 32}
BOLD, RED = 1, 31
NAME_WIDTH = 11
QUIET_FIELDS = frozenset({"at", "timestamp", "level", "logger", "name", "message", "exc_info", "exception", "pid"})


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a child's output; a structured log entry is taken apart."""

    text: str
    message: str = ""
    """The fixed sentence of a log entry; empty for any other output."""

    @classmethod
    def parse(cls, raw: str) -> Line:
        """Read a line; JSON objects with a `message` are log entries."""
        try:
            entry = json.loads(raw)
        except ValueError:
            return cls(raw)
        if not isinstance(entry, dict) or "message" not in entry:
            return cls(raw)
        return cls(_readable(entry), str(entry["message"]))


def _readable(entry: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in entry.items() if name not in QUIET_FIELDS and not name.startswith("code.")}
    fields = "".join(f" {name}={value}" for name, value in shown.items())
    trace = entry.get("exception") or entry.get("exc_info") or ""
    level = str(entry.get("level", "")).upper()
    return f"{level:<7} {entry['message']}{fields}" + (f"\n{trace}" if trace else "")


class Terminal:
    """Prints lines, coloured if that is a terminal (or FORCE_COLOR is set) and NO_COLOR is not."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        asked = bool(os.environ.get("FORCE_COLOR")) or self._stream.isatty()
        self._colours = asked and not os.environ.get("NO_COLOR")

    def child(self, name: str, text: str) -> None:
        """Print a line of a child, every row behind its name."""
        label = self._paint(f"{name:<{NAME_WIDTH}} │", COLOURS.get(name, BOLD))
        for row in text.splitlines() or [""]:
            self._print(f"{label} {row}")

    def notice(self, text: str) -> None:
        """Print a line of our own."""
        self._print(self._paint(text, BOLD))

    def failure(self, text: str) -> None:
        """Print why everything is stopped."""
        self._print(self._paint(text, RED))

    def _paint(self, text: str, code: int) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours else text

    def _print(self, text: str) -> None:
        try:
            print(text, file=self._stream, flush=True)
        except BrokenPipeError:  # whoever read us is gone; stopping the children still matters
            self._stream = io.StringIO()
