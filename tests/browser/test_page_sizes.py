"""What the built pages weigh."""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.visitor import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

PAGES = REPOSITORY / "src" / "roomkeeper" / "control" / "pages"
FIRST_LOAD = 350_000
"""Bytes, compressed."""
REFERENCE = re.compile(rb"""(?:src|href)="/?([^"]+)"|from ?["'`]\./([^"'`]+)|import ?["'`]\./([^"'`]+)""")


def loaded_by(page: Path, root: Path) -> set[Path]:
    """The files that a browser loads for a page before anybody does anything."""
    found: set[Path] = set()
    wanted = [page]
    while wanted:
        file = wanted.pop()
        found.add(file)
        if file.suffix not in {".html", ".js"}:
            continue
        for from_root, *beside in REFERENCE.findall(file.read_bytes()):
            names = (
                [root / from_root.decode()] if from_root else [file.parent / each.decode() for each in beside if each]
            )
            wanted += [name for name in names if name.is_file() and name not in found]
    return found


@pytest.mark.parametrize("page", ["interview/index.html", "console/index.html", "console/panel.html"])
def test_the_first_load_is_small(page: str) -> None:
    html = PAGES / page
    root = html.parent if page.startswith("interview") else PAGES
    weights = {file.name: len(gzip.compress(file.read_bytes())) for file in loaded_by(html, root)}
    assert sum(name.endswith(".js") for name in weights) >= 1
    print(f"{page}: {sum(weights.values())} bytes, compressed: {weights}")  # noqa: T201 - figures for whoever runs it
    assert sum(weights.values()) <= FIRST_LOAD
