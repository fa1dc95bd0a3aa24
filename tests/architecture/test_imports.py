"""What the import contracts in pyproject.toml cannot say: single submodules, and calls."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "roomkeeper"

ONLY_IMPORTERS = {
    "livekit.agents": "agent",
    "aiortc": "sfu/media",
    "sqlalchemy": "control",
    "alembic": "control",
}

PURE_MODULES = {
    "__future__", "abc", "base64", "bisect", "collections", "copy", "dataclasses", "datetime", "difflib", "enum",
    "fnmatch", "functools", "hashlib", "heapq", "itertools", "json", "math", "operator", "re", "types", "typing",
}  # fmt: skip

CLOCK_CALLS = {"now", "utcnow", "today"}


def _modules(package: str = "") -> list[Path]:
    return sorted((SOURCE / package).rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize(("package", "home"), ONLY_IMPORTERS.items())
def test_a_foreign_package_is_imported_by_its_only_importer_alone(package: str, home: str) -> None:
    strangers = [
        path.relative_to(SOURCE).as_posix()
        for path in _modules()
        if not path.is_relative_to(SOURCE / home) and any(_within(name, package) for name in _imports(path))
    ]
    assert strangers == []


def test_the_lifecycle_imports_nothing_but_itself_and_pure_parts_of_the_standard_library() -> None:
    allowed = PURE_MODULES | {"roomkeeper"}
    impure = {
        f"{path.name}: {name}"
        for path in _modules("lifecycle")
        for name in _imports(path)
        if name.partition(".")[0] not in allowed
    }
    assert impure == set()


def test_the_lifecycle_never_asks_the_clock() -> None:
    calls = [
        f"{path.name}:{node.lineno}"
        for path in _modules("lifecycle")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in CLOCK_CALLS
    ]
    assert calls == []


def test_every_module_postpones_its_annotations() -> None:
    bare = [
        path.relative_to(SOURCE).as_posix()
        for path in _modules()
        if ast.parse(path.read_text()).body[1:] and "__future__" not in set(_imports(path))
    ]
    assert bare == []


def test_the_package_itself_imports_no_third_party_package() -> None:
    names = {name.partition(".")[0] for name in _imports(SOURCE / "__init__.py")}
    assert names <= sys.stdlib_module_names | {"roomkeeper"}
