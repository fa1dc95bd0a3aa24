from __future__ import annotations

import io
import json

import pytest

from roomkeeper.cli.dev.output import Line, Terminal


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _no_wishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def test_a_log_entry_is_read_as_its_sentence_with_fields() -> None:
    entry = {
        "message": "participant joined",
        "level": "info",
        "at": "2026",
        "logger": "room",
        "room": "tea",
        "code.line": 3,
    }
    line = Line.parse(json.dumps(entry))
    assert line.message == "participant joined"
    assert line.text == "INFO    participant joined room=tea"


def test_the_trace_of_a_log_entry_follows_it() -> None:
    line = Line.parse(json.dumps({"message": "failed", "level": "error", "exc_info": "Traceback\n  ValueError"}))
    assert line.text.splitlines() == ["ERROR   failed", "Traceback", "  ValueError"]


@pytest.mark.parametrize("raw", ["plain text", "", "{broken", "[1]", '{"no": "message"}', '"message"', "3"])
def test_other_output_is_passed_on_as_it_is(raw: str) -> None:
    assert Line.parse(raw) == Line(raw)


def test_every_row_stands_behind_the_name_of_its_process() -> None:
    screen = io.StringIO()
    Terminal(screen).child("sfu", "one\ntwo")
    assert [row.split() for row in screen.getvalue().splitlines()] == [["sfu", "│", "one"], ["sfu", "│", "two"]]


def test_a_terminal_gets_colours_and_a_file_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for screen, coloured in [(Screen(), True), (io.StringIO(), False)]:
        Terminal(screen).child("sfu", "x")
        assert ("\x1b[" in screen.getvalue()) is coloured
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Screen()
    Terminal(plain).failure("x")
    assert plain.getvalue() == "x\n"


def test_a_reader_that_went_away_stops_nobody() -> None:
    class Gone(io.StringIO):
        def write(self, text: str, /) -> int:
            raise BrokenPipeError

    terminal = Terminal(Gone())
    terminal.notice("one")
    terminal.notice("two")
