"""Must work on a machine that has never seen us: a fresh clone, and the wheel alone without Node."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.install.running import Dev, Ports, hear_the_greeting, stranger

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(600)


def run(argv: Sequence[str | Path], env: dict[str, str], folder: Path) -> None:
    ended = subprocess.run(
        argv, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=400, check=False
    )
    assert ended.returncode == 0, ended.stdout[-5000:]


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return stranger(tmp_path_factory.mktemp("stranger") / "home")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone") / "roomkeeper"
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(clone: Path, env: dict[str, str]) -> Path:
    run(["make", "wheel"], env, clone)
    (built,) = (clone / "dist").glob("roomkeeper-*.whl")
    return built


async def talk_and_leave(dev: Dev, ports: Ports) -> None:
    dev.wait_until_ready()
    assert dev.address == f"http://127.0.0.1:{ports.page}/"
    status, page = dev.get()
    assert status == 200
    assert "<title>" in page
    await hear_the_greeting(dev.token())
    assert len(dev.processes()) >= 5  # dev, janitor, room server, page, worker and its jobs
    assert len(ports.taken()) >= 4  # page, signal, media over both
    status = dev.press_ctrl_c()
    assert "Everything is stopped." in dev.printed, dev.printed[-3000:]
    assert status in {0, 2, -2}  # make says 2 after a Ctrl-C
    dev.assert_nothing_is_left(ports)


async def test_a_fresh_clone_speaks_after_make_dev(clone: Path, env: dict[str, str]) -> None:
    ports = Ports()
    with Dev(["make", "dev", f"ARGS={' '.join(ports.flags)}"], env, clone) as dev:
        await talk_and_leave(dev, ports)


async def test_the_wheel_alone_speaks_without_node(wheel: Path, env: dict[str, str], tmp_path: Path) -> None:
    python = shutil.which("python3", path=env["PATH"]) or sys.executable
    run([python, "-m", "venv", "venv"], env, tmp_path)
    programs = tmp_path / "venv" / "bin"
    run([programs / "pip", "install", "--quiet", f"{wheel}[demo]"], env, tmp_path)
    alone = env | {"PATH": os.fspath(programs)}
    assert shutil.which("node", path=alone["PATH"]) is None
    ports = Ports()
    with Dev([os.fspath(programs / "roomkeeper"), "dev", *ports.flags], alone, tmp_path) as dev:
        await talk_and_leave(dev, ports)
