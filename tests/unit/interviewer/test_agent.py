"""The program: it runs by its path wherever its folder lies, and its worker is modest."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from examples.interviewer.interview import FULL, MAX_JOBS, load, server

if TYPE_CHECKING:
    from livekit.agents import AgentServer

FOLDER = Path(__file__).parents[3] / "examples/interviewer"


def help_of(program: Path, cwd: Path) -> str:
    command = [sys.executable, "-P", str(program), "--help"]
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, timeout=30).stdout


def test_it_runs_by_its_path_from_a_checkout_and_from_where_a_wheel_puts_it(tmp_path: Path) -> None:
    installed = tmp_path / "site-packages/roomkeeper/examples/interviewer"
    shutil.copytree(FOLDER, installed, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (FOLDER, installed):
        assert "start" in help_of(folder / "agent.py", tmp_path)


def test_it_can_be_imported_as_a_module_too() -> None:
    assert importlib.import_module("examples.interviewer.agent").server is server


def test_the_worker_is_full_by_its_interviews_not_by_the_machines_load() -> None:
    def busy_with(jobs: int) -> AgentServer:
        return cast("AgentServer", SimpleNamespace(active_jobs=[object()] * jobs))

    assert load(busy_with(0)) == 0
    assert load(busy_with(MAX_JOBS - 1)) < FULL <= load(busy_with(MAX_JOBS))
