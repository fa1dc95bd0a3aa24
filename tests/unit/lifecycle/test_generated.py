"""Reference pages and TypeScript are what the tables of the core say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools import generate

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_nothing_generated_is_stale() -> None:
    assert generate.stale() == []
    assert generate.main(["--check"]) == 0


def test_a_stale_file_is_found_and_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0

    (tmp_path / "docs/reference/policy.md").write_text("by hand")
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err == "stale: docs/reference/policy.md; run python -m tools.generate\n"
