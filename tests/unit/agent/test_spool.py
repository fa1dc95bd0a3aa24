from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roomkeeper.agent import spool
from roomkeeper.wire import link

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = spool.Header(
    job="AJ_1",
    room="tea",
    room_sid="RM_1",
    identity="agent-AJ_1",
    agent_name="interviewer",
    epoch=2,
    session="S_1",
    worker="W_1",
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
OBJECTS = st.dictionaries(st.text(max_size=5), JSON, max_size=2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "AJ_1.jsonl"


@pytest.fixture
def writer(path: Path) -> Iterator[spool.Writer]:
    writer = spool.Writer(path, HEADER)
    yield writer
    writer.close()


def all_lines(reader: spool.Reader) -> list[link.Line]:
    return [line for lines in iter(reader.read, []) for line in lines]


def test_what_is_written_is_read(writer: spool.Writer, path: Path) -> None:
    assert writer.append("item", {"item": {"id": "item_1"}}, at=17) == 1
    assert writer.append("said", {"text": "Grüß Gott 👋"}, at=18) == 2
    reader = spool.Reader(path)
    assert reader.header == HEADER
    assert all_lines(reader) == [
        link.Line(seq=1, at=17, type="item", data={"item": {"id": "item_1"}}),
        link.Line(seq=2, at=18, type="said", data={"text": "Grüß Gott 👋"}),
    ]


def test_the_file_is_what_the_document_shows(writer: spool.Writer, path: Path) -> None:
    writer.append("back", {}, at=17)
    header, line = path.read_text().splitlines()
    assert json.loads(header) == {
        "v": 1, "job": "AJ_1", "room": "tea", "room_sid": "RM_1", "identity": "agent-AJ_1",
        "agent_name": "interviewer", "epoch": 2, "session": "S_1", "metadata": "", "worker": "W_1",
    }  # fmt: skip
    assert json.loads(line) == {"seq": 1, "at": 17, "type": "back", "data": {}}


def test_nobody_else_may_read_a_spool(writer: spool.Writer, path: Path) -> None:
    assert path.stat().st_mode & 0o077 == 0


def check_torn(path: Path, said: list[dict[str, Any]], size: int) -> None:
    """Tear a spool off after `size` bytes and read what is left."""
    writer = spool.Writer(path, HEADER)
    ends = [path.stat().st_size]
    for data in said:
        writer.append("item", data, at=1)
        ends.append(path.stat().st_size)
    writer.close()
    size = min(size, ends[-1])
    os.truncate(path, size)
    if size < ends[0]:
        with pytest.raises(spool.NoSpool):
            spool.Reader(path)
    else:
        whole = sum(end <= size for end in ends[1:])
        lines = all_lines(spool.Reader(path))
        assert [(line.seq, json.dumps(line.data)) for line in lines] == [
            (seq, json.dumps(data)) for seq, data in enumerate(said[:whole], 1)
        ]
    path.unlink()


def test_a_writer_that_dies_at_any_byte_loses_nothing_but_its_last_line(path: Path) -> None:
    for size in range(350):
        check_torn(path, [{"text": "Grüß Gott"}, {}, {"n": [1, None]}], size)


@settings(max_examples=50, deadline=None)
@given(st.lists(OBJECTS, min_size=1, max_size=3), st.integers(0, 1000))
def test_it_loses_nothing_else_whatever_it_wrote(said: list[dict[str, Any]], size: int) -> None:
    with TemporaryDirectory() as folder:
        check_torn(Path(folder, "AJ_1.jsonl"), said, size)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 30_000), min_size=1, max_size=40), st.data())
def test_a_reader_that_goes_back_anywhere_reads_the_same_again(sizes: list[int], data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "AJ_1.jsonl")
        writer = spool.Writer(path, HEADER)
        for size in sizes:
            writer.append("item", {"text": "x" * size}, at=1)
        writer.close()
        reader = spool.Reader(path)
        lines = all_lines(reader)
        assert [line.seq for line in lines] == list(range(1, len(sizes) + 1))
        reader.forget(data.draw(st.integers(0, len(sizes))))
        wanted = data.draw(st.integers(0, len(sizes)))
        reader.go_back(wanted)
        assert all_lines(reader) == lines[wanted:]


def test_what_is_read_at_once_fits_into_a_frame(writer: spool.Writer, path: Path) -> None:
    for size in (10, 500_000, 10, 200_000, 200_000, *[1] * 1000):
        writer.append("item", {"text": "x" * size}, at=1)
    reader = spool.Reader(path)
    frames = list(iter(reader.read, []))
    assert sum(map(len, frames)) == 1005
    for lines in frames:
        frame = link.write(link.Events(job="AJ_1", epoch=1, events=tuple(lines)))
        assert link.read_from_worker(frame) is not None


def test_a_line_that_is_too_long_is_cut_and_says_so(writer: spool.Writer, path: Path) -> None:
    text = "ä" * 2_000_000
    writer.append("item", {"item": {"id": "item_1", "content": [text]}}, at=1)
    (line,) = all_lines(spool.Reader(path))
    assert line.data["item"]["id"] == "item_1"
    kept = line.data["item"]["content"][0]
    assert text.startswith(kept)
    assert len(kept) + line.data["cut"] == len(text)


def test_a_line_of_too_many_parts_is_left_out_and_says_so(writer: spool.Writer, path: Path) -> None:
    writer.append("usage", {"parts": list(range(200_000))}, at=1)
    (line,) = all_lines(spool.Reader(path))
    assert line.type == "usage"
    assert line.data["cut"] > link.MAX_LINE


def test_what_json_does_not_know_is_written_all_the_same(writer: spool.Writer, path: Path) -> None:
    circle: dict[str, Any] = {}
    circle["self"] = circle
    writer.append("error", {"error": ValueError("no"), "text": "\ud800"}, at=1)
    writer.append("error", circle, at=1)
    writer.append("usage", {"seconds": [float("nan"), 1.5], "error": ValueError("no")}, at=1)
    first, second, third = all_lines(spool.Reader(path))
    assert third.data == {"seconds": [None, 1.5], "error": "ValueError('no')"}
    assert first.data == {"error": "ValueError('no')", "text": "?"}
    assert "unwritable" in second.data


def test_a_line_that_cannot_be_read_keeps_its_number(writer: spool.Writer, path: Path) -> None:
    writer.append("item", {}, at=1)
    with path.open("ab") as file:
        file.write(b'{"seq": 2, "at"\x00\n')
    writer.append("item", {}, at=1)
    lines = all_lines(spool.Reader(path))
    assert [(line.seq, line.type) for line in lines] == [(1, "item"), (2, "unreadable"), (3, "item")]


def test_the_last_line_says_that_the_job_is_over(writer: spool.Writer, path: Path) -> None:
    writer.append("item", {}, at=1)
    reader = spool.Reader(path)
    all_lines(reader)
    assert not reader.done
    writer.append(spool.DONE, {}, at=1)
    all_lines(reader)
    assert reader.done


def test_a_file_that_is_no_spool_is_refused(path: Path) -> None:
    for text in ("", "{}\n", "[]\n", "hello\n", '{"v":2,"job":"AJ_1"}\n', '{"v":1,"job":7}\n'):
        path.write_text(text)
        with pytest.raises(spool.NoSpool):
            spool.Reader(path)


def test_a_job_that_is_reloaded_goes_on_in_its_spool(path: Path) -> None:
    first = spool.Writer(path, HEADER)
    first.append("item", {"n": 1}, at=1)
    first.close()
    with path.open("ab") as file:
        file.write(b'{"seq":2,"at":1,"ty')
    second = spool.Writer(path, HEADER)
    assert second.append("item", {"n": 2}, at=1) == 2
    second.close()
    assert [line.data for line in all_lines(spool.Reader(path))] == [{"n": 1}, {"n": 2}]


def test_two_never_write_the_same_spool(writer: spool.Writer, path: Path) -> None:
    writer.append("item", {"n": 1}, at=1)
    other = spool.Writer(path, HEADER)
    assert other.failure is not None
    other.append("item", {"n": 2}, at=1)
    other.close()
    assert [line.data for line in all_lines(spool.Reader(path))] == [{"n": 1}]


def test_the_lock_shows_whether_the_writer_lives(path: Path) -> None:
    writer = spool.Writer(path, HEADER)
    assert spool.is_held(path)
    writer.close()
    assert not spool.is_held(path)


class FullDisk:
    """Takes so many bytes more, and then none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 0
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = self._write(fd, bytes(data[: self.room]))
        self.room -= taken
        return taken


def test_what_a_full_disk_does_not_take_is_written_when_it_does(
    writer: spool.Writer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(monkeypatch)
    disk.room = 20
    for n in range(1, 4):
        assert writer.append("item", {"n": n}, at=1) == n
    assert isinstance(writer.failure, OSError)
    assert all_lines(spool.Reader(path)) == []
    disk.room = 1 << 20
    assert writer.append("item", {"n": 4}, at=1) == 4
    assert repr(writer.failure) == "None"
    assert [line.data["n"] for line in all_lines(spool.Reader(path))] == [1, 2, 3, 4]


def test_a_disk_that_stays_full_costs_lines_and_no_memory(
    writer: spool.Writer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(monkeypatch)
    text = "x" * 100_000
    numbers = [writer.append("item", {"text": text}, at=1) for _ in range(200)]
    kept = max(numbers)
    lost = numbers.count(0)
    assert kept + lost == 200
    assert lost
    assert kept * 100_000 < 2 * spool.MAX_UNWRITTEN
    disk.room = 1 << 30
    writer.append("back", {}, at=2)
    lines = all_lines(spool.Reader(path))
    assert [line.type for line in lines] == ["item"] * kept + ["missed", "back"]
    assert lines[-2].data == {"lines": lost}


def test_a_folder_that_is_not_there_is_a_failure_and_no_error(tmp_path: Path) -> None:
    writer = spool.Writer(tmp_path / "nowhere" / "AJ_1.jsonl", HEADER)
    assert writer.append("item", {}, at=1) == 1
    assert isinstance(writer.failure, FileNotFoundError)
    (tmp_path / "nowhere").mkdir()
    assert writer.append("item", {}, at=1) == 2
    writer.close()
    assert len(all_lines(spool.Reader(tmp_path / "nowhere" / "AJ_1.jsonl"))) == 2
