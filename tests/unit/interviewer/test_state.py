"""The state that the agent publishes while no control plane does."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from examples.interviewer.state import ATTRIBUTE, SESSION_ATTRIBUTE, StateAttribute, away, completed, failed

if TYPE_CHECKING:
    from livekit import rtc

KEYS = ["v", "session", "seq", "state", "since", "now", "until", "reason", "by", "message", "detail", "provisional"]


class FakeRoom:
    """As much of a room as the attribute needs."""

    def __init__(self, *attributes: dict[str, str]) -> None:
        self.written: list[dict[str, Any]] = []
        self.local_participant = self
        self.remote_participants = {str(n): SimpleNamespace(attributes=a) for n, a in enumerate(attributes)}

    @property
    async def sid(self) -> str:
        return "RM_abc"

    async def set_attributes(self, attributes: dict[str, str]) -> None:
        assert list(attributes) == [ATTRIBUTE]
        self.written.append(json.loads(attributes[ATTRIBUTE]))


def state_in(room: FakeRoom) -> StateAttribute:
    return StateAttribute(cast("rtc.Room", room))


async def test_the_object_is_the_contracts_and_marked_as_provisional() -> None:
    room = FakeRoom()
    await state_in(room).publish("live")
    (written,) = room.written
    assert list(written) == KEYS
    assert (written["v"], written["seq"], written["state"], written["provisional"]) == (1, 1, "live", True)
    assert written["reason"] is written["by"] is written["message"] is written["detail"] is written["until"] is None


async def test_seq_only_grows_and_times_are_utc() -> None:
    room = FakeRoom()
    state = state_in(room)
    await state.publish("live")
    await state.publish("ending", completed("all questions asked"))
    await state.publish("ended", completed("all questions asked"))
    assert [written["seq"] for written in room.written] == [1, 2, 3]
    for written in room.written:
        assert written["now"].endswith("Z")
        assert datetime.fromisoformat(written["now"]).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("ending", "reason", "by"),
    [
        (completed("done"), "completed", "agent"),
        (away(), "user_away", "user"),
        (failed("no"), "model_failed", "system"),
    ],
)
async def test_an_ending_tells_why_and_by_whom(ending: Any, reason: str, by: str) -> None:  # noqa: ANN401
    room = FakeRoom()
    await state_in(room).publish("ended", ending)
    (written,) = room.written
    assert (written["reason"], written["by"], written["detail"]) == (reason, by, ending.detail)
    assert written["message"]


async def test_a_session_named_by_a_token_keeps_its_name() -> None:
    room = FakeRoom({}, {SESSION_ATTRIBUTE: "S_token"})
    await state_in(room).publish("live")
    assert room.written[0]["session"] == "S_token"


async def test_any_other_session_is_named_after_the_room_as_long_as_it_lasts() -> None:
    room = FakeRoom({})
    state = state_in(room)
    await state.publish("live")
    room.remote_participants["late"] = SimpleNamespace(attributes={SESSION_ATTRIBUTE: "S_late"})
    await state.publish("ended", away())
    assert [written["session"] for written in room.written] == ["S_abc", "S_abc"]
