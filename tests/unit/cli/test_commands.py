from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from roomkeeper import __version__

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = ("aiortc", "livekit.agents", "sqlalchemy", "starlette", "uvicorn", "numpy", "yaml")


def roomkeeper(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "roomkeeper.cli", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False, cwd=folder)


def python(program: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", program]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)


def test_help_names_every_command() -> None:
    run = roomkeeper("--help")
    assert run.returncode == 0
    assert {"dev", "sfu"} <= set(run.stdout.split())


def test_the_version_is_that_of_the_package() -> None:
    assert roomkeeper("--version").stdout == f"roomkeeper {__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    run = python(
        "import sys\n"
        "from roomkeeper.cli import main\n"
        "sys.argv = ['roomkeeper', 'sfu', '--help']\n"
        "try: main()\n"
        f"finally: print('loaded', [name for name in {HEAVY} if name in sys.modules])"
    )
    assert "loaded []" in run.stdout, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("command", "extra", "missing"), [("sfu", "sfu", "aiortc"), ("dev", "demo", "moonshine_voice")]
)
def test_a_missing_extra_is_named(command: str, extra: str, missing: str) -> None:
    run = python(
        f"import sys\nsys.modules[{missing!r}] = None\nsys.argv = ['roomkeeper', {command!r}, '--port', '0']\n"
        "from roomkeeper.cli import main\nmain()"
    )
    assert run.returncode == 1
    assert f"pip install 'roomkeeper[{extra}]' ({missing} was not found)" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("sfu", "--keys", "devkey"), "--keys wants KEY:SECRET"),
        (("sfu", "--port", "70000"), "between 0 and 65535"),
        (("sfu", "--tls-cert", "cert.pem"), "tls_cert and tls_key go together"),
        (("sfu", "--config", "nowhere.toml"), "nowhere.toml: No such file"),
        (("sfu", "--config", "nowhere.yaml"), "nowhere.yaml: No such file"),
        (("dev", "--host", "0.0.0.0"), "stays on loopback"),  # noqa: S104 - refused, not bound
    ],
)
def test_a_wrong_flag_is_refused_in_one_line(tmp_path: Path, arguments: tuple[str, ...], advice: str) -> None:
    run = roomkeeper(*arguments, folder=tmp_path)
    assert run.returncode == 1
    assert advice in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_an_unknown_key_in_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "roomkeeper.toml").write_text("[sfu]\nprot = 7880\n")
    run = roomkeeper("sfu", folder=tmp_path)
    assert run.returncode == 1
    assert "did you mean `port`?" in run.stderr
