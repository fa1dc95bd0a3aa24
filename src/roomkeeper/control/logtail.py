"""The last lines of this process's log, kept in memory for a bundle."""

from __future__ import annotations

import json
import logging
from collections import deque
from datetime import UTC, datetime
from typing import Final

KEPT: Final = 2_000
"""Lines."""

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}


class LogTail(logging.Handler):
    """Keeps the last lines, as JSON."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[str] = deque(maxlen=KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        entry = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in record.__dict__.items() if name not in _STANDARD},
        }
        self._lines.append(json.dumps(entry, default=str))

    def about(self, *names: str) -> list[str]:
        """Return the lines that hold one of some names, and every warning."""
        return [line for line in self._lines if '"level": "info"' not in line or any(name in line for name in names)]


TAIL: Final = LogTail()
"""This process's; it is added to a logger once, however often that is asked for."""
