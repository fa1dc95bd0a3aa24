"""What the built page weighs."""

from __future__ import annotations

import gzip

from tests.browser.visitor import REPOSITORY

PAGE = REPOSITORY / "src" / "roomkeeper" / "control" / "pages" / "interview"
FIRST_LOAD = 350_000
"""Bytes, compressed."""


def test_the_first_load_is_small() -> None:
    files = [path for path in PAGE.rglob("*") if path.is_file()]
    assert 0 < sum(len(gzip.compress(path.read_bytes())) for path in files) <= FIRST_LOAD
