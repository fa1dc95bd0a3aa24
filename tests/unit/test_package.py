"""What `import roomkeeper` loads, and what an agent's image has to hold."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import roomkeeper

STUB = Path(roomkeeper.__file__).with_suffix(".pyi")
HEAVY = {"aiortc", "av", "sqlalchemy", "alembic", "starlette", "uvicorn"}


def loaded_by(program: str) -> set[str]:
    """Names of the top-level packages that a fresh process has after a program."""
    program += "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return set(ended.stdout.split())


def test_the_package_alone_loads_nothing_of_anybody_else() -> None:
    assert loaded_by("import roomkeeper") & {"livekit", "google", "aiohttp", *HEAVY} == set()


def test_an_agent_loads_neither_media_nor_database() -> None:
    loaded = loaded_by("import roomkeeper; roomkeeper.wrap; import roomkeeper.agent.parent.parent")
    assert "livekit" in loaded
    assert loaded & {"aiortc", "sqlalchemy", "alembic", "starlette"} == set()


@pytest.mark.parametrize("name", sorted(roomkeeper._LAZY))
def test_what_is_loaded_late_is_there(name: str) -> None:
    assert getattr(roomkeeper, name) is not None
    assert name in roomkeeper.__dict__, "the second time it is found at once"


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = roomkeeper.nothing  # type: ignore[attr-defined]


def test_type_checkers_know_what_is_loaded_late() -> None:
    imported = {
        alias.name: node.module
        for node in ast.parse(STUB.read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == roomkeeper._LAZY


def test_the_image_of_an_agent_holds_neither_media_nor_database() -> None:
    wanted, found = ["roomkeeper[agent]"], set()
    while wanted:
        requirement = Requirement(wanted.pop())
        key = str(requirement)
        if key in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(key)
        for extra in ("", *requirement.extras):
            for text in metadata.requires(requirement.name) or []:
                inner = Requirement(text)
                if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                    inner.marker = None
                    wanted.append(str(inner))
    names = {Requirement(text).name.lower() for text in found}
    assert "livekit-agents" in names
    assert names & HEAVY - {"av"} == set()
