"""What is written of a session as JSON: whatever somebody said comes back as it was."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkeeper.control.store.rows import body_of, policy_of, session_of, to_json
from roomkeeper.lifecycle.codec import dump_body
from roomkeeper.lifecycle.events import SessionOpened
from roomkeeper.lifecycle.machine import begin

SAID = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(SAID)
def test_json_comes_back_as_it_was(said: object) -> None:
    assert json.loads(to_json(said)) == said


@pytest.mark.parametrize("said", ["half of a character: \ud800", 2**64, -(2**70), {"\udc00": ["\x00", 10**30]}])
def test_so_does_what_the_fast_writer_does_not_take(said: object) -> None:
    assert json.loads(to_json(said)) == said


@pytest.mark.parametrize("room", ["tea", "half of a character: \ud800"])
def test_a_session_comes_back_as_it_was_whatever_its_names_are(room: str) -> None:
    session, _ = begin(SessionOpened(at=1, session="S_1", room=room))
    assert session_of(body_of(session), policy_of(session)) == session
    assert json.loads(body_of(session)) == dump_body(session)
