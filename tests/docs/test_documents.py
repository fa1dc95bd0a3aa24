"""What the documents tell people to run does run; what they point at is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from roomkeeper.cli.dev.plan import DevSettings
from roomkeeper.control.config import ControlConfig
from roomkeeper.lifecycle.policy import Policies
from roomkeeper.settings import Sources, load
from roomkeeper.sfu.config import SfuConfig

if TYPE_CHECKING:
    from roomkeeper.testing import RoomServer

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def blocks(language: str) -> list[pytest.ParameterSet]:
    return [
        pytest.param(match[2], id=f"{path.relative_to(ROOT)}-{number}")
        for path in DOCUMENTS
        for number, match in enumerate(BLOCK.finditer(path.read_text()))
        if match[1] == language
    ]


def commands() -> list[pytest.ParameterSet]:
    return [
        pytest.param(line.partition("#")[0].strip(), id=line.partition("#")[0].strip())
        for block in blocks("sh")
        for line in str(block.values[0]).splitlines()
        if line.partition("#")[0].strip()
    ]


def succeeds(argv: list[str]) -> str:
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("command", commands())
def test_a_command_in_a_document_exists_with_its_flags(command: str) -> None:
    words = shlex.split(command)
    match Path(words[0]).name:
        case "make":
            targets = [word for word in words[1:] if "=" not in word]
            succeeds(["make", "--dry-run", *targets])
        case "roomkeeper":
            offered = succeeds([sys.executable, "-m", "roomkeeper.cli", words[1], "--help"])
            assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[\w-]+", offered))
        case "pytest":
            assert (ROOT / words[1]).is_dir()
        case "npm":
            assert words[1:3] == ["--prefix", "web"]
            assert f'"{words[3]}":' in (ROOT / "web" / "package.json").read_text()
        case "pip":
            (extra,) = re.findall(r"roomkeeper\[(\w+)\]", command)
            project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            assert extra in project["optional-dependencies"]
        case other:
            pytest.fail(f"no test knows {other}")


@pytest.mark.parametrize("program", blocks("python"))
def test_a_program_in_a_document_runs(program: str, room_server: RoomServer) -> None:
    here = program.replace("127.0.0.1:7880", urlsplit(room_server.url).netloc)
    here = here.replace('"devkey", "secret"', f'"{room_server.api_key}", "{room_server.api_secret}"')
    assert succeeds([sys.executable, "-c", here])


@pytest.mark.parametrize("settings", blocks("toml"))
def test_a_settings_file_in_a_document_is_understood(settings: str) -> None:
    file = tomllib.loads(settings)
    assert set(file) <= {"sfu", "dev", "control", "policy", "agents"}
    sources = Sources({}, file)
    load(SfuConfig, "sfu", flags={}, sources=sources)
    load(DevSettings, "dev", flags={}, sources=sources)
    load(ControlConfig, "control", flags={}, sources=sources)
    agents = {name: agent["policy"] for name, agent in file.get("agents", {}).items()}
    Policies(file.get("policy", {}), agents).check()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_link_within_the_documents_leads_somewhere(document: Path) -> None:
    missing = [target for target in LINK.findall(document.read_text()) if not (document.parent / target).exists()]
    assert missing == []


def test_the_readme_is_one_screen_and_opens_with_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 60
    assert [line.split("#")[0].strip() for line in BLOCK.findall(readme)[0][1].splitlines()] == [
        "make dev",
        "make test",
    ]


def test_every_decision_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in (ROOT / "docs" / "decisions").glob("*.md")]
    assert sorted(set(numbers)) == sorted(numbers)
    assert all(number.isdigit() for number in numbers)
