"""A job's spool: the file that it appends to and its worker's parent ships. `docs/agent-link.md` has the format.

1. One writer, the job, with one plain `write` a line: a SIGKILL of anybody loses nothing that was written. No fsync:
   only a dead machine loses the pages that the kernel holds.
2. The writer holds a lock on its file for as long as it lives; the kernel lets go of it when the process dies.
3. A full or broken disk never reaches the conversation: lines wait in memory, bounded, until the disk takes them.
4. A line's number is its place in the file. What cannot be read there is told as a line `unreadable`, so that the
   numbers have no gap.
5. The last line of a job that is over as it should be is of type `done`; a spool without one belongs to a job that
   lives or was lost.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

from roomkeeper.errors import RoomkeeperError
from roomkeeper.wire import link

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SUFFIX: Final = ".jsonl"
DONE: Final = "done"
"""Type of the last line of a job that is over."""
MISSED: Final = "missed"
"""Type of a line that stands for `lines` others which found no place in memory while the disk was full."""
UNREADABLE: Final = "unreadable"
"""Type that the reader gives to a line that it cannot read."""

MAX_UNWRITTEN: Final = 8 * 1024 * 1024
"""Bytes that wait in memory for a disk that takes nothing."""
FRAME_BYTES: Final = 256 * 1024
"""Bytes of lines read at once; one line more than that is read alone."""
_SPARE: Final = 4096
"""Bytes of a line that are not its longest strings."""


class NoSpool(RoomkeeperError):
    """This is not a spool of Roomkeeper's; look at docs/agent-link.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first line: whose spool it is.

    Attributes:
        epoch, session, metadata: As its dispatch says; epoch 0 for a dispatch that is not ours.
        worker: Whose job it is; the lock of that name shows whether the worker lives.
    """

    v: int = link.VERSION
    job: str
    room: str
    room_sid: str
    identity: str
    agent_name: str
    epoch: int = 0
    session: str = ""
    metadata: str = ""
    worker: str = ""


def write_header(header: Header) -> bytes:
    """Return the first line of a spool."""
    return _encode(_dump(asdict(header)))


def read_header(line: bytes) -> Header:
    """Read the first line of a spool; what a newer writer added is passed over.

    Raises:
        NoSpool: It is none, or of a version that is not known here.
    """
    try:
        said = json.loads(line)
        header = Header(**{name: said[name] for name in (field.name for field in fields(Header)) if name in said})
    except (ValueError, TypeError, RecursionError) as error:
        raise NoSpool(str(error)) from None
    texts = [value for name, value in asdict(header).items() if name not in {"v", "epoch"}]
    sound = header.v == link.VERSION and type(header.epoch) is int and all(isinstance(text, str) for text in texts)
    if not sound or not header.job:
        raise NoSpool(f"Its header says {line[:200]!r}.")
    return header


def encode_line(seq: int, at: int, kind: str, data: Mapping[str, Any]) -> bytes:
    """Return a line as it is written, with its line feed; never fails.

    A line that would be longer than `link.MAX_LINE` loses the ends of its longest strings, and says in `cut` how many
    characters. What JSON does not know is written as its `repr`.
    """
    text = _line(seq, at, kind, data)
    if len(text) >= link.MAX_LINE:
        text = _line(seq, at, kind, _shorter(text))
    return text


def _line(seq: int, at: int, kind: str, data: Mapping[str, Any]) -> bytes:
    said = {"seq": seq, "at": at, "type": kind, "data": data}
    try:
        return _encode(_dump(said))
    except (ValueError, TypeError, RecursionError):
        pass
    try:
        # Python writes NaN and the infinities, and nobody else reads them.
        return _encode(_dump(json.loads(json.dumps(said, default=repr), parse_constant=lambda _: None)))
    except (ValueError, TypeError, RecursionError) as error:
        return _encode(_dump({**said, "data": {"unwritable": str(error)}}))


_dump: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=repr).encode


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace") + b"\n"


def _shorter(line: bytes) -> dict[str, Any]:
    """Return the data of a line without the ends of its strings."""
    data: dict[str, Any] = json.loads(line)["data"]
    for longest in (64 * 1024, 4 * 1024, 128):
        cut = 0

        def shortened(value: Any, limit: int = longest) -> Any:  # noqa: ANN401 - any JSON
            nonlocal cut
            match value:
                case str() if len(value) > limit:
                    cut += len(value) - limit
                    return value[:limit]
                case list():
                    return [shortened(each) for each in value]
                case dict():
                    return {name[:limit]: shortened(each) for name, each in value.items()}
                case _:
                    return value

        short: dict[str, Any] = {**shortened(data), "cut": cut}
        if len(_encode(json.dumps(short, ensure_ascii=False))) < link.MAX_LINE - _SPARE:
            return short
    return {"cut": len(line)}


class Writer:
    """Appends lines to one spool; also goes on with a file that is there already.

    Attributes:
        seq: Of the last line.
        failure: Why the disk takes nothing now; None if it does.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.seq = 0
        self.failure: OSError | None = None
        self._path = path
        self._unwritten = bytearray(write_header(header))
        self._missed = 0
        self._fd: int | None = None
        self._flush()

    def append(self, kind: str, data: Mapping[str, Any], *, at: int) -> int:
        """Write a line.

        Args:
            kind: What it tells; `docs/agent-link.md` has the list.
            data: What it says, a JSON object.
            at: Milliseconds since the Unix epoch.

        Returns:
            The number of the line; 0 if it was lost, because neither disk nor memory had room.
        """
        if self._unwritten and not self._flush() and len(self._unwritten) > MAX_UNWRITTEN:
            self._missed += 1
            return 0
        if self._missed:
            self._add(MISSED, {"lines": self._missed}, at)
            self._missed = 0
        self._add(kind, data, at)
        return self.seq

    def close(self) -> None:
        """Let go of the file."""
        if self._fd is not None:
            self._flush()
            os.close(self._fd)
            self._fd = None

    def _add(self, kind: str, data: Mapping[str, Any], at: int) -> None:
        self.seq += 1
        self._unwritten += encode_line(self.seq, at, kind, data)
        self._flush()

    def _flush(self) -> bool:
        """Give the disk what waits, and return whether it took all of it."""
        try:
            if self._fd is None:
                self._fd = self._open()
            while self._unwritten:
                # A full disk may take a part; the rest goes after it, so that no line is torn within the file.
                del self._unwritten[: os.write(self._fd, self._unwritten)]
        except OSError as error:
            self.failure = error
            return False
        self.failure = None
        return True

    def _open(self) -> int:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_size:
                self._go_on(fd)
        except OSError:
            os.close(fd)
            raise
        return fd

    def _go_on(self, fd: int) -> None:
        """Number on from what an earlier process of the same job wrote (a reload in development), its torn end cut."""
        with self._path.open("rb") as file:
            lines, whole = 0, 0
            for line in file:
                if line.endswith(b"\n"):
                    lines, whole = lines + 1, whole + len(line)
        os.ftruncate(fd, whole)
        if lines:
            self.seq = lines - 1
            self._unwritten.clear()


class Reader:
    """Reads one spool, also while it is written.

    Attributes:
        path: Of the file.
        header: Its first line.
        seq: Of the last line that was read.
        done: True once the last line was read, which says that the job is over.
    """

    def __init__(self, path: Path) -> None:
        """Open a spool.

        Raises:
            NoSpool: Its header is missing or is none; a writer may just be at it.
            OSError: It cannot be read.
        """
        self.path = path
        with path.open("rb") as file:
            first = file.readline(link.MAX_LINE)
        if not first.endswith(b"\n"):
            raise NoSpool("Its header is not whole.")
        self.header = read_header(first)
        self.seq = 0
        self.done = False
        self._offset = len(first)
        self._marks = [(0, self._offset)]
        """Places to go back to: number of a line, and where it ends."""

    def is_empty(self) -> bool:
        """Whether there is nothing but the header.

        Raises:
            OSError: It cannot be read.
        """
        return self.path.stat().st_size == self._marks[0][1]

    def read(self) -> list[link.Line]:
        """Read the next lines, as many as fit into a frame; none if there are none yet.

        A last line without line feed is not there yet, and never will be if its writer died.

        Raises:
            OSError: It cannot be read.
        """
        lines: list[link.Line] = []
        room = FRAME_BYTES
        with self.path.open("rb") as file:
            file.seek(self._offset)
            for raw in file:
                room -= len(raw)
                if not raw.endswith(b"\n") or len(lines) == link.MAX_LINES or (lines and room < 0):
                    break
                self._offset += len(raw)
                self.seq += 1
                lines.append(self._line(raw))
        if lines:
            self._marks.append((self.seq, self._offset))
        return lines

    def go_back(self, seq: int) -> None:
        """Read on after line `seq`; what is not there yet is not skipped.

        Raises:
            OSError: It cannot be read.
        """
        while self._marks[-1][0] > max(seq, 0):
            self._marks.pop()
        self.seq, self._offset = self._marks[-1]
        with self.path.open("rb") as file:
            file.seek(self._offset)
            while self.seq < seq and (raw := file.readline()).endswith(b"\n"):
                self._offset += len(raw)
                self.seq += 1

    def forget(self, seq: int) -> None:
        """Keep no place before line `seq`: it arrived. Going back further begins at the head of the file again."""
        kept = [mark for mark in self._marks[1:] if mark[0] >= seq]
        self._marks[1:] = kept

    def _line(self, raw: bytes) -> link.Line:
        try:
            line = link.read_line(raw[:-1])
        except link.InvalidFrame as error:
            line = link.Line(seq=self.seq, at=0, type=UNREADABLE, data={"bytes": len(raw), "why": error.detail})
        if line.type == DONE:
            self.done = True
        return line if line.seq == self.seq else replace(line, seq=self.seq)


def is_held(path: Path) -> bool:
    """Whether the process that writes a spool, or whose lock this is, lives.

    Raises:
        OSError: It cannot be opened.
    """
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
