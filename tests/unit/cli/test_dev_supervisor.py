from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FAMILY = Path(__file__).with_name("family.py")
LIMIT = 20.0


class Family:
    """The supervisor in a process of its own, with what it printed so far."""

    def __init__(self, scenario: str, env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(FAMILY), scenario],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "NO_COLOR": "1", **(env or {})},
            start_new_session=True,
        )
        self.printed = ""

    def read_until(self, text: str) -> None:
        assert self.process.stdout is not None
        while text not in self.printed:
            line = self.process.stdout.readline()
            assert line, f"ended without {text!r}:\n{self.printed}"
            self.printed += line

    def end(self) -> int:
        rest, _ = self.process.communicate(timeout=LIMIT)
        self.printed += rest
        return self.process.returncode

    @property
    def pids(self) -> list[int]:
        return [int(pid) for pair in re.findall(r"me=(\d+) own=(\d+)", self.printed) for pid in pair]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + LIMIT
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline, [pid for pid in pids if is_alive(pid)]
        time.sleep(0.02)


@pytest.fixture
def families() -> Iterator[list[Family]]:
    started: list[Family] = []
    yield started
    for family in started:
        family.process.kill()
        family.process.communicate()
        for pid in filter(is_alive, family.pids):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_every_process_and_its_descendants(families: list[Family], number: signal.Signals) -> None:
    families.append(family := Family("calm"))
    family.read_until("Roomkeeper is ready: http://127.0.0.1:1/")
    assert len(family.pids) == 6
    assert all(map(is_alive, family.pids))
    family.process.send_signal(number)
    assert family.end() == 0
    assert "Everything is stopped." in family.printed
    wait_until_gone(family.pids)


def test_the_next_stage_starts_when_the_one_before_is_ready(families: list[Family]) -> None:
    families.append(family := Family("calm"))
    family.read_until("is ready")
    family.read_until("What operators see of it: http://127.0.0.1:1/console/#token=a\n")
    names = re.findall(r"^(\w+) +│ .*up", family.printed, re.MULTILINE)
    assert names[0] == "sfu"
    assert set(names[1:]) == {"page", "interviewer"}


def test_a_process_that_ignores_the_signal_is_killed_by_a_second_one(families: list[Family]) -> None:
    families.append(family := Family("stubborn"))
    family.read_until("is ready")
    family.process.send_signal(signal.SIGINT)
    family.read_until("Stopping")
    before = time.monotonic()
    family.process.send_signal(signal.SIGINT)
    assert family.end() == 0
    assert time.monotonic() - before < 4.0
    wait_until_gone(family.pids)


def test_a_process_that_ignores_the_signal_is_killed_after_a_while(families: list[Family]) -> None:
    families.append(family := Family("stubborn"))
    family.read_until("is ready")
    family.process.send_signal(signal.SIGTERM)
    assert family.end() == 0
    assert "sfu does not stop; killing it." in family.printed
    wait_until_gone(family.pids)


def test_a_part_that_ends_by_itself_is_named_and_the_others_are_stopped(families: list[Family]) -> None:
    families.append(family := Family("dies"))
    assert family.end() != 0
    assert "out of tea" in family.printed
    assert "`page` ended with exit status 3." in family.printed
    assert "is ready" not in family.printed
    wait_until_gone(family.pids)


def test_a_part_that_is_killed_while_all_is_well_is_named(families: list[Family]) -> None:
    families.append(family := Family("calm"))
    family.read_until("is ready")
    os.kill(family.pids[0], signal.SIGKILL)
    assert family.end() != 0
    assert "`sfu` ended by SIGKILL." in family.printed
    wait_until_gone(family.pids)


def test_a_part_that_never_gets_ready_is_not_waited_for_for_ever(families: list[Family]) -> None:
    families.append(family := Family("mute", {"START_LIMIT": "1"}))
    assert family.end() != 0
    assert "It took longer than 1 s." in family.printed
    wait_until_gone(family.pids)


def test_nothing_survives_when_the_supervisor_itself_is_killed(families: list[Family]) -> None:
    families.append(family := Family("calm"))
    family.read_until("is ready")
    family.process.kill()
    wait_until_gone(family.pids)
