"""The tables of reasons and of the raw words they are read from."""

from __future__ import annotations

import pytest
from livekit.protocol.models import DisconnectReason
from livekit.protocol.sip import SIPStatusCode

from roomkeeper.lifecycle.evidence import (
    CLOSINGS,
    DEPARTURES,
    NOT_SEEN,
    AgentLeft,
    call_meaning,
    call_reason,
    departure,
    exit_meaning,
)
from roomkeeper.lifecycle.reasons import REASONS, By, Outcome, Reason

CONTRACT = """
completed agent finished
transferred agent finished
time_limit system finished
user_ended user finished
caller_hung_up user finished
user_left user abandoned
user_lost user abandoned
user_away user abandoned
user_never_joined user abandoned
call_failed system failed
voicemail system finished
agent_left agent finished
operator_ended operator finished
removed operator finished
room_deleted app finished
agent_failed system failed
model_failed system failed
agent_unavailable system failed
room_lost system failed
"""


def test_the_table_is_the_contracts() -> None:
    told = [tuple(line.split()) for line in CONTRACT.split("\n") if line]

    assert [(reason, row.by, row.outcome) for reason, row in REASONS.items()] == told
    assert list(REASONS) == list(Reason)
    assert {row.by for row in REASONS.values()} == set(By)
    assert {row.outcome for row in REASONS.values()} == set(Outcome)


def test_every_reason_has_words_for_user_and_operator() -> None:
    for row in REASONS.values():
        assert row.message.endswith(".")
        assert row.when


def test_every_disconnect_reason_of_the_protocol_is_read_on_purpose() -> None:
    assert set(DEPARTURES) == set(DisconnectReason.keys())


@pytest.mark.parametrize(
    ("raw", "user", "caller", "agent", "final"),
    [
        ("CLIENT_INITIATED", Reason.USER_LEFT, Reason.CALLER_HUNG_UP, AgentLeft.FAREWELL, False),
        ("CONNECTION_TIMEOUT", Reason.USER_LOST, Reason.USER_LOST, AgentLeft.LOST, False),
        ("DUPLICATE_IDENTITY", Reason.USER_LOST, Reason.USER_LOST, AgentLeft.REJOINING, False),
        ("PARTICIPANT_REMOVED", Reason.REMOVED, Reason.REMOVED, AgentLeft.LOST, True),
        ("ROOM_DELETED", Reason.ROOM_DELETED, Reason.ROOM_DELETED, AgentLeft.ROOM_CLOSED, True),
        ("SERVER_SHUTDOWN", Reason.ROOM_LOST, Reason.ROOM_LOST, AgentLeft.LOST, False),
        ("USER_REJECTED", Reason.USER_LEFT, Reason.CALL_FAILED, AgentLeft.FAREWELL, True),
        ("A_WORD_OF_TOMORROW", Reason.USER_LOST, Reason.USER_LOST, AgentLeft.LOST, False),
        (NOT_SEEN, Reason.USER_LOST, Reason.USER_LOST, AgentLeft.LOST, False),
    ],
)
def test_the_same_word_means_different_things_to_different_people(
    raw: str,
    user: Reason,
    caller: Reason,
    agent: AgentLeft,
    final: bool,  # noqa: FBT001
) -> None:
    read = departure(raw)

    assert (read.user, read.caller, read.agent, read.final) == (user, caller, agent, final)
    assert read.meaning


def test_the_closings_of_a_stock_session_say_what_they_can() -> None:
    assert CLOSINGS["error"].reason is Reason.MODEL_FAILED
    assert CLOSINGS["task_completed"].reason is Reason.COMPLETED
    assert CLOSINGS["participant_disconnected"].reason is None
    assert set(CLOSINGS) == {"error", "job_shutdown", "participant_disconnected", "user_initiated", "task_completed"}


def test_every_sip_status_of_the_protocol_has_words_and_refusals_a_reason() -> None:
    for status in SIPStatusCode.values():
        assert f"({status})" in call_meaning(status)
        assert (call_reason(status) is Reason.CALL_FAILED) is (status >= 300)
    assert call_meaning(486) == "the callee is busy (486)"
    assert call_meaning(599) == "the trunk or a server on the way failed (599)"
    assert call_meaning(700) == "an unknown SIP status (700)"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "vanished; nobody saw how"),
        (0, "exited cleanly, exit 0"),
        (-9, "was killed (SIGKILL): out of memory, or by its supervisor, exit -9"),
        (-4, "was killed by signal 4"),
        (3, "failed with exit 3"),
    ],
)
def test_an_exit_code_is_said_in_words(code: int | None, words: str) -> None:
    assert exit_meaning(code) == words
