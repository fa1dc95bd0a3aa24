"""The frames of the agent link: what is written is read, what is malformed is refused by name."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkeeper.wire import link

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=3)
NUMBERS = st.integers(0, 2**53)
LINES = st.builds(link.Line, seq=NUMBERS, at=NUMBERS, type=NAMES, data=OBJECTS)
ATTACHES = st.builds(
    link.Attach, job=NAMES, room=NAMES, room_sid=NAMES, identity=NAMES, agent_name=NAMES, session=NAMES
)
FROM_WORKER = st.one_of(
    st.builds(link.Hello, v=NUMBERS, worker=NAMES, agent_name=NAMES, versions=st.dictionaries(NAMES, NAMES)),
    ATTACHES,
    st.builds(link.Events, job=NAMES, epoch=NUMBERS, events=st.lists(LINES, max_size=3).map(tuple)),
    st.builds(link.End, job=NAMES, reason=NAMES, detail=st.none() | NAMES, data=JSON),
    st.builds(link.Heartbeat, n=NUMBERS, jobs=st.lists(NAMES, max_size=3).map(tuple)),
    st.builds(link.Lost, job=NAMES, exit=st.none() | st.integers(-64, 255)),
    st.builds(link.Yield, job=NAMES),
    st.builds(link.Done, job=NAMES),
)
FROM_CONTROL = st.one_of(
    st.builds(link.Welcome, v=NUMBERS),
    st.builds(link.Attached, job=NAMES, epoch=NUMBERS, session=NAMES, state=OBJECTS, policy=OBJECTS),
    st.builds(link.Ack, job=NAMES, seq=NUMBERS, over=st.booleans()),
    st.builds(link.EndNow, job=NAMES, reason=NAMES, message=NAMES, goodbye=st.booleans()),
    st.builds(link.Fenced, job=NAMES, why=NAMES),
    st.builds(link.Mute, job=NAMES),
    st.builds(link.Unmute, job=NAMES),
    st.builds(link.Warning, job=NAMES, remaining=NUMBERS),
    st.builds(link.Refused, why=NAMES, job=NAMES),
)


@given(FROM_WORKER)
def test_what_a_worker_writes_is_read_as_it_was(frame: link.FromWorker) -> None:
    assert link.read_from_worker(link.write(frame)) == frame


@given(FROM_CONTROL)
def test_what_the_control_plane_writes_is_read_as_it_was(frame: link.FromControl) -> None:
    assert link.read_from_control(link.write(frame)) == frame


@given(LINES)
def test_a_line_of_a_spool_is_one_line_and_read_as_it_was(line: link.Line) -> None:
    text = link.write_line(line)
    assert "\n" not in text
    assert link.read_line(text.encode()) == line


@given(FROM_WORKER, st.data())
def test_a_frame_without_a_field_it_needs_is_refused_by_name(frame: link.FromWorker, data: st.DataObject) -> None:
    needed = [line.name for line in fields(frame) if line.default is MISSING and line.default_factory is MISSING]
    missing = data.draw(st.sampled_from(needed))
    said = json.loads(link.write(frame))
    del said[missing]
    with pytest.raises(link.InvalidFrame, match=missing):
        link.read_from_worker(json.dumps(said))


@given(st.one_of(JSON.map(json.dumps), st.text(), st.binary(), FROM_CONTROL.map(link.write)), st.data())
def test_whatever_comes_is_read_or_refused(text: str | bytes, data: st.DataObject) -> None:
    if isinstance(text, str) and text and data.draw(st.booleans()):
        cut = data.draw(st.integers(0, len(text) - 1))
        text = text[:cut] + data.draw(st.text(max_size=2)) + text[cut + 1 :]
    for read in (link.read_from_worker, link.read_from_control, link.read_line):
        try:
            read(text)
        except link.InvalidFrame as refused:
            assert refused.detail  # noqa: PT017 - the other outcome is as good


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"job": 1}, "`attach.job` has to be a string"),
        ({"job": "x" * 513}, "`attach.job` has more than 512 characters"),
        ({"room": "a\x00b"}, "`attach.room` has a character that no name has"),
        ({"identity": "\ud800"}, "`attach.identity` has a character that no name has"),
        ({"epoch": float("nan")}, "It is not JSON"),
        ({"epoch": "2"}, "`attach.epoch` has to be a whole number"),
        ({"epoch": True}, "`attach.epoch` has to be a whole number"),
        ({"epoch": 2**60}, "`attach.epoch` is out of range"),
    ],
)
def test_a_wrong_field_is_refused_by_name(changed: dict[str, Any], said: str) -> None:
    frame = {"type": "attach", "job": "j", "room": "r", "room_sid": "", "identity": "i", "agent_name": ""}
    assert link.read_from_worker(json.dumps(frame)) is not None
    with pytest.raises(link.InvalidFrame, match=said):
        link.read_from_worker(json.dumps(frame | changed))


def line_with(data: str) -> str:
    return f'{{"seq":1,"at":1,"type":"usage","data":{data}}}'


def test_what_cannot_be_stored_of_an_applications_data_is_mended_not_refused() -> None:
    said = link.read_line(line_with(r'{"a":["\ud83d","\ud83d\ude00"],"b":1e999,"c":1.5}'))
    assert said.data == {"a": ["\ufffd", "\U0001f600"], "b": None, "c": 1.5}
    mended = link.write_line(link.Line(seq=1, at=1, type="usage", data={"a": float("nan"), "b": "\ud800", "c": (1,)}))
    assert link.read_line(mended).data == {"a": None, "b": "\ufffd", "c": [1]}


def test_what_is_nested_too_deeply_to_be_written_again_is_refused() -> None:
    assert link.read_line(line_with(f'{{"a":{"[" * 50}{"]" * 50}}}')).data
    with pytest.raises(link.InvalidFrame, match=r"nested too deeply|not JSON"):
        link.read_line(line_with(f'{{"a":1e999,"b":{"[" * 100_000}{"]" * 100_000}}}'))


def test_too_many_lines_and_too_large_frames_are_refused() -> None:
    lines = [{"seq": 1, "at": 1, "type": "x"}] * (link.MAX_LINES + 1)
    with pytest.raises(link.InvalidFrame, match="at most 500"):
        link.read_from_worker(json.dumps({"type": "events", "job": "j", "epoch": 1, "events": lines}))
    with pytest.raises(link.InvalidFrame, match="are allowed"):
        link.read_from_worker(json.dumps({"type": "yield", "job": "j", "more": "x" * link.MAX_FRAME}))


def test_what_a_newer_version_says_is_passed_over() -> None:
    assert link.read_from_worker('{"type":"sing"}') is None
    assert link.read_from_control('{"type":"ack","job":"j","seq":1,"loud":true}') == link.Ack(job="j", seq=1)
