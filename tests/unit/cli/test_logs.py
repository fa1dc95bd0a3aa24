from __future__ import annotations

import json
import logging
import sys

from roomkeeper.cli.logs import JsonFormatter, TextFormatter


def record(**fields: object) -> logging.LogRecord:
    return logging.getLogger("sfu.room").makeRecord(
        "sfu.room", logging.WARNING, "room.py", 1, "participant left", (), None, extra=fields
    )


def test_a_json_line_has_the_sentence_and_its_fields() -> None:
    entry = json.loads(JsonFormatter().format(record(room="tea", count=2, path={"a"})))
    assert entry.pop("at").endswith("+00:00")
    assert entry == {
        "level": "warning",
        "logger": "sfu.room",
        "message": "participant left",
        "room": "tea",
        "count": 2,
        "path": "{'a'}",
    }


def test_a_json_line_holds_the_trace() -> None:
    failed = record()
    try:
        int("tea")
    except ValueError:
        failed.exc_info = sys.exc_info()
    line = JsonFormatter().format(failed)
    assert "\n" not in line
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


def test_a_text_line_has_the_fields_behind_the_sentence() -> None:
    assert TextFormatter().format(record(room="tea")).endswith("WARNING sfu.room: participant left room=tea")
