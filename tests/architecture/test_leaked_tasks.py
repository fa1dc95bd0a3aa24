"""The guard in tests/conftest.py is itself guarded."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

LEAKY = """
import asyncio

kept = []

async def test_that_leaves_a_task_behind():
    kept.append(asyncio.create_task(asyncio.sleep(60), name="forgotten"))

async def test_that_cleans_up():
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
"""


def test_a_test_that_leaves_a_task_behind_fails_with_its_name(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[1] / "conftest.py", tmp_path)
    (tmp_path / "test_leaky.py").write_text(LEAKY)
    argv = [sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto", "--rootdir", str(tmp_path), str(tmp_path)]
    ended = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "ERROR test_leaky.py::test_that_leaves_a_task_behind" in ended.stdout, ended.stdout
    assert "forgotten" in ended.stdout
    assert "2 passed, 1 error" in ended.stdout
