"""Our room configuration, as an application's own backend makes it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit import api
from livekit.protocol.agent_dispatch import JobRestartPolicy
from livekit.protocol.room import RoomConfiguration

import roomkeeper
from roomkeeper.lifecycle.policy import Kind
from roomkeeper.wire.ids import derived_id
from roomkeeper.wire.room_config import Mark, configure, mark_in, metadata_object
from tests.unit.wire.anything import JSON, TEXTS, objects


def test_it_outlasts_the_policy_and_sends_the_agent_once() -> None:
    config = roomkeeper.room_config("interviewer", metadata="M")
    assert config.empty_timeout > 300
    assert config.departure_timeout > 300
    [agent] = config.agents
    assert (agent.agent_name, agent.metadata, agent.restart_policy) == ("interviewer", "M", JobRestartPolicy.JRP_NEVER)
    mark = mark_in(config.metadata)
    assert mark is not None
    assert (mark.agent, mark.kind) == ("interviewer", Kind.WEB)
    assert mark.session.startswith("S_")
    assert dict(agent.attributes) == {"roomkeeper.epoch": "1", "roomkeeper.session": mark.session}


def test_each_conversation_has_its_own_session_but_a_dispatch_rule_has_none() -> None:
    marks = [mark_in(roomkeeper.room_config("interviewer").metadata) for _ in range(2)]
    assert marks[0] != marks[1]
    rule = roomkeeper.room_config("interviewer", kind="sip", hold=0)
    assert mark_in(rule.metadata) == Mark(session="", agent="interviewer", kind=Kind.SIP)
    assert "roomkeeper.session" not in rule.agents[0].attributes
    assert rule.departure_timeout < 60
    assert mark_in(roomkeeper.room_config("interviewer", session="S_1").metadata) == Mark("S_1", "interviewer")


def test_it_goes_into_a_token_of_livekits_own_library() -> None:
    token = api.AccessToken("key", "a-secret-of-enough-length-for-hs256")
    token.with_room_config(roomkeeper.room_config("interviewer", room_metadata={"mine": 1}))
    config = api.TokenVerifier("key", "a-secret-of-enough-length-for-hs256").verify(token.to_jwt()).room_config
    assert config is not None
    assert json.loads(config.metadata)["mine"] == 1
    assert mark_in(config.metadata) is not None


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="fax"):
        roomkeeper.room_config("interviewer", kind="fax")


def test_what_the_application_chose_stays() -> None:
    theirs = RoomConfiguration(departure_timeout=7, max_participants=3, metadata="not json")
    theirs.agents.add(agent_name="interviewer", metadata="theirs")
    theirs.agents.add(agent_name="scribe")
    ours = configure(theirs, Mark("S_1", "interviewer"), metadata="ours", hold=300, join_timeout=300)
    assert (ours.departure_timeout, ours.max_participants, ours.metadata) == (7, 3, "not json")
    assert [(each.agent_name, each.metadata) for each in ours.agents] == [("interviewer", "theirs"), ("scribe", "")]
    assert ours.agents[0].attributes["roomkeeper.session"] == "S_1"
    assert not theirs.agents[0].attributes


@pytest.mark.parametrize("metadata", ["", "{}", "[]", "x", '{"roomkeeper": 1}', "[" * 100_000])
def test_metadata_of_others_is_no_mark(metadata: str) -> None:
    assert mark_in(metadata) is None


def test_a_mark_that_makes_no_sense_is_read_as_far_as_it_goes() -> None:
    assert mark_in('{"roomkeeper": {"session": 1, "agent": null, "kind": "fax"}}') == Mark()


@pytest.mark.parametrize("session", ["", "interview", "RM_1", "S_", "S_" + "x" * 63, "S_\x00"])
def test_a_mark_with_an_id_that_no_session_can_have_names_none(session: str) -> None:
    metadata = json.dumps({"roomkeeper": {"session": session, "agent": "interviewer"}})
    assert mark_in(metadata) == Mark(session="", agent="interviewer")


_NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
_MARKS = st.builds(Mark, session=_NAMES.map("S_x{}".format), agent=_NAMES, kind=st.sampled_from(Kind))


def strict(text: str) -> object:
    """Read JSON as a browser does."""

    def refuse(number: str) -> None:
        raise AssertionError(number)

    return json.loads(text, parse_constant=refuse)


@given(mark=_MARKS, theirs=st.one_of(TEXTS, objects("mine", "roomkeeper").map(json.dumps), JSON.map(json.dumps)))
def test_a_mark_is_read_as_it_was_written_and_what_it_stands_beside_stays(mark: Mark, theirs: str) -> None:
    others = metadata_object(theirs)
    ours = configure(RoomConfiguration(metadata=sendable(theirs)), mark, hold=1, join_timeout=1)
    if others is None:
        assert ours.metadata == sendable(theirs)
        return
    assert mark_in(ours.metadata) == mark
    written = strict(ours.metadata)
    assert isinstance(written, dict)
    assert {**written, "roomkeeper": None} == {**others, "roomkeeper": None}


def sendable(text: str) -> str:
    """What protobuf takes: no halves of characters."""
    return text.encode("utf-8", "replace").decode()


@given(objects("session", "agent", "kind"))
def test_whatever_a_mark_says_is_read_as_something_that_can_be_looked_up(said: dict[str, object]) -> None:
    mark = mark_in(json.dumps({"roomkeeper": said}))
    if mark is not None:
        f"{mark.session}{mark.agent}".encode()


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_metadata_that_no_browser_reads_is_no_object(number: str) -> None:
    assert metadata_object(f'{{"mine": {number}}}') is None


def test_a_derived_id_is_always_the_same_and_needs_the_secret() -> None:
    one = derived_id("S_", "tea", 1, secret="secret")
    assert one == derived_id("S_", "tea", 1, secret="secret")
    assert len(one) == len("S_") + 12
    others = {derived_id("S_", *parts, secret=secret) for parts, secret in ((("tea", 2), "secret"), (("tea", 1), "x"))}
    assert one not in others
    assert derived_id("S_", "a", "b,c", secret="s") != derived_id("S_", "a,b", "c", secret="s")


def test_importing_the_package_stays_light() -> None:
    code = "import sys, roomkeeper; print([name for name in ('livekit', 'google', 'jwt') if name in sys.modules])"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50
    ).stdout
    assert printed == "[]\n"
    with pytest.raises(AttributeError):
        _ = roomkeeper.nothing  # type: ignore[attr-defined]
