"""One spool's way out, through every kind of trouble, in no time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from roomkeeper.agent import spool
from roomkeeper.agent.parent.shipper import RETRY, Frame, Shipper
from roomkeeper.wire import link

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADER = spool.Header(
    job="AJ_1", room="tea", room_sid="RM_1", identity="agent", agent_name="a", epoch=2, session="S_1", metadata="{}"
)
ATTACH = link.Attach(
    job="AJ_1", room="tea", room_sid="RM_1", identity="agent", agent_name="a", epoch=2, session="S_1", metadata="{}"
)


class Control:
    """Keeps lines as docs/agent-link.md says."""

    def __init__(self) -> None:
        self.stored: list[link.Line] = []
        self.over: link.Lost | link.Done | None = None
        self.attached = False

    def answer(self, frame: Frame, rng: random.Random) -> list[link.Attached | link.Fenced | link.Ack | link.Refused]:
        ack = link.Ack(job="AJ_1", seq=len(self.stored), over=self.over is not None)
        match frame:
            case link.Attach():
                if rng.random() < 0.1:
                    return [link.Refused(job="AJ_1", why="not now")]
                self.attached = True
                if rng.random() < 0.2:
                    return [link.Fenced(job="AJ_1", why="another one is in charge"), ack]
                answer = link.Attached(job="AJ_1", epoch=2, session="S_1", state={}, policy={}, seq=len(self.stored))
                return [answer, ack]
            case _ if not self.attached:
                return [link.Refused(job="AJ_1", why="say `attach` first")]
            case link.Events(events=events):
                assert self.over is None or len(self.stored) >= events[-1].seq, "after the end nothing new"
                assert events[0].seq <= len(self.stored) + 1, "a line is missing"
                new = [line for line in events if line.seq > len(self.stored)]
                self.stored += new[: rng.randint(0, len(new))] if rng.random() < 0.3 else new
                return [link.Ack(job="AJ_1", seq=len(self.stored))]
            case link.Lost() | link.Done():
                self.over = frame
                return [link.Ack(job="AJ_1", seq=len(self.stored), over=True)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "AJ_1.jsonl"


@pytest.fixture
def writer(path: Path) -> Iterator[spool.Writer]:
    writer = spool.Writer(path, HEADER)
    yield writer
    writer.close()


def take(shipper: Shipper, frame: link.Attached | link.Fenced | link.Ack | link.Refused, now: float) -> None:
    match frame:
        case link.Ack():
            shipper.ack(frame, now=now)
        case link.Refused():
            shipper.refused(now=now)
        case _:
            shipper.answered(frame)


@pytest.mark.parametrize("seed", range(12))
def test_every_line_arrives_once_whatever_happens(seed: int, path: Path) -> None:
    rng = random.Random(seed)
    writer = spool.Writer(path, HEADER)
    control, shipper, now = Control(), Shipper("AJ_1", path), 0.0
    shipper.asks(ATTACH, 1)
    orderly = rng.random() < 0.5
    trouble = True
    for step in range(600):
        now += rng.choice([0.0, 0.1, RETRY])
        if step == 300:
            if orderly:
                writer.append(spool.DONE, {}, at=1)
            writer.close()
            shipper.gone, shipper.exit = True, -9
        elif step < 300 and rng.random() < 0.3:
            for _ in range(rng.choice([1, 2, 3, 5, 8, 600] if rng.random() < 0.1 else [1, 2])):
                writer.append("item", {"n": writer.seq + 1}, at=1)
        trouble = step < 450
        if trouble and rng.random() < 0.1:
            control.attached = False
            shipper.connected()
        if trouble and rng.random() < 0.05:
            shipper.asks(ATTACH, step)
        if (frame := shipper.next(now=now)) is None:
            continue
        if trouble and rng.random() < 0.1:
            continue  # lost with its connection, or not answered in time
        for answer in control.answer(frame, rng):
            take(shipper, answer, now)
    assert [line.seq for line in control.stored] == list(range(1, writer.seq + 1))
    assert control.over == (link.Done(job="AJ_1") if orderly else link.Lost(job="AJ_1", exit=-9))
    assert shipper.over


def test_nothing_is_said_of_a_job_before_it_attached(writer: spool.Writer, path: Path) -> None:
    shipper = Shipper("AJ_1", path)
    writer.append("item", {}, at=1)
    assert shipper.next(now=0) is None
    shipper.asks(ATTACH, 1)
    assert shipper.next(now=0) == ATTACH
    assert shipper.next(now=0) is None, "it is not answered yet"
    assert shipper.answered(link.Fenced(job="AJ_1", why="no")) == 1
    assert shipper.next(now=0) is None, "nor is it said from where to go on"
    shipper.ack(link.Ack(job="AJ_1", seq=0), now=0)
    assert isinstance(shipper.next(now=0), link.Events)


def test_answers_tell_which_question_they_answer(writer: spool.Writer, path: Path) -> None:
    shipper = Shipper("AJ_1", path)
    attached = link.Attached(job="AJ_1", epoch=2, session="S_1", state={}, policy={})
    for n in (1, 2):
        shipper.asks(ATTACH, n)
        shipper.next(now=0)
    assert [shipper.answered(attached) for _ in range(3)] == [1, 2, 0]
    shipper.asks(ATTACH, 3)
    shipper.next(now=0)
    shipper.connected()
    assert shipper.answered(attached) == 0, "of another connection"


def test_what_was_stored_before_is_not_sent_again(writer: spool.Writer, path: Path) -> None:
    for _ in range(5):
        writer.append("item", {}, at=1)
    shipper = Shipper("AJ_1", path)
    shipper.asks(ATTACH, 1)
    shipper.next(now=0)
    shipper.answered(link.Fenced(job="AJ_1", why="no"))
    shipper.ack(link.Ack(job="AJ_1", seq=3), now=0)
    frame = shipper.next(now=0)
    assert isinstance(frame, link.Events)
    assert [line.seq for line in frame.events] == [4, 5]


def test_a_dead_job_attaches_as_its_header_says(writer: spool.Writer, path: Path) -> None:
    writer.close()
    shipper = Shipper("AJ_1", path)
    shipper.gone = True
    assert shipper.next(now=0) == ATTACH


def test_a_spool_that_is_none_or_gone_is_over_with_its_job(path: Path) -> None:
    for text in (None, "hello\n"):
        if text is not None:
            path.write_text(text)
        shipper = Shipper("AJ_1", path)
        shipper.asks(ATTACH, 1)
        assert shipper.next(now=0) is None
        assert not shipper.over
        shipper.gone = True
        assert shipper.next(now=0) is None
        assert shipper.over
