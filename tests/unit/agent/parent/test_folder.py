from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from roomkeeper.agent import spool
from roomkeeper.agent.parent.folder import NEWBORN, STILLBORN, Folder, SpoolUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    folder = Folder(tmp_path, "W_1")
    folder.open()
    yield folder
    folder.close()


def spool_of(path: Path, worker: str) -> Path:
    header = spool.Header(job=path.stem, room="", room_sid="", identity="", agent_name="", worker=worker)
    spool.Writer(path, header).close()
    return path


def age(path: Path, seconds: float) -> None:
    at = path.stat().st_mtime - seconds
    os.utime(path, (at, at))


def test_a_spool_of_a_dead_worker_is_found_once_by_whoever_looks_first(folder: Folder, tmp_path: Path) -> None:
    path = spool_of(tmp_path / "AJ_1.jsonl", "W_dead")
    other = Folder(tmp_path, "W_2")
    other.open()
    assert folder.orphans(set()) == [path]
    assert other.orphans(set()) == []
    folder.close()
    assert other.orphans(set()) == [path], "it is left to the next one"
    other.close()
    folder.open()


def test_what_is_taken_care_of_is_not_found_again(folder: Folder, tmp_path: Path) -> None:
    first = spool_of(tmp_path / "AJ_1.jsonl", "W_dead")
    assert folder.orphans(set()) == [first]
    second = spool_of(tmp_path / "AJ_2.jsonl", "W_dead")
    assert folder.orphans({first}) == [second]


def test_spools_of_oneself_and_of_nobody_are_no_orphans(folder: Folder, tmp_path: Path) -> None:
    spool_of(tmp_path / "AJ_1.jsonl", "W_1")
    spool_of(tmp_path / "AJ_2.jsonl", "")
    spool_of(tmp_path / "AJ_3.jsonl", "../W_dead")
    assert folder.orphans(set()) == []


def test_the_lock_goes_with_the_last_spool(folder: Folder, tmp_path: Path) -> None:
    path = spool_of(tmp_path / "AJ_1.jsonl", "W_dead")
    folder.orphans(set())
    assert (tmp_path / "W_dead.lock").exists()
    path.unlink()
    folder.orphans(set())
    assert not (tmp_path / "W_dead.lock").exists()


def test_a_dead_worker_without_spools_leaves_nothing(folder: Folder, tmp_path: Path) -> None:
    for name in ("W_dead.lock", "W_dead.sock"):
        (tmp_path / name).touch()
    folder.orphans(set())
    assert (tmp_path / "W_dead.lock").exists(), "it may just begin"
    age(tmp_path / "W_dead.lock", NEWBORN + 1)
    folder.orphans(set())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["W_1.lock"]


def test_the_lock_of_a_living_worker_stays(folder: Folder, tmp_path: Path) -> None:
    other = Folder(tmp_path, "W_2")
    other.open()
    age(tmp_path / "W_2.lock", NEWBORN + 1)
    folder.orphans(set())
    assert (tmp_path / "W_2.lock").exists()
    other.close()
    assert not (tmp_path / "W_2.lock").exists()


def test_a_spool_whose_job_died_at_the_first_byte_is_swept_after_a_while(folder: Folder, tmp_path: Path) -> None:
    for text in ("", '{"v":1,"jo'):
        path = tmp_path / "AJ_1.jsonl"
        path.write_text(text)
        assert folder.orphans(set()) == []
        assert path.exists()
        age(path, STILLBORN + 1)
        folder.orphans(set())
        assert not path.exists()


def test_a_file_that_is_no_spool_is_nobodys_business(folder: Folder, tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text("my notes\n")
    age(path, STILLBORN + 1)
    assert folder.orphans(set()) == []
    assert path.exists()


def test_one_name_is_one_worker(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(SpoolUnusable):
        Folder(tmp_path, "W_1").open()
