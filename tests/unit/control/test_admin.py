"""Who calls: administrators, participants, and everybody else."""

from __future__ import annotations

import time
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from starlette.requests import Request

from roomkeeper.control.admin import WEEK, Admin, Member, admin_of, caller_of
from roomkeeper.control.problems import Problem
from roomkeeper.lifecycle.events import SessionOpened
from roomkeeper.lifecycle.machine import begin
from roomkeeper.wire.tokens import Claims, VideoGrants, mint

if TYPE_CHECKING:
    from roomkeeper.lifecycle.state import Session

KEYS = {"devkey": "secret"}
HOUR = 3600.0
ANN = Claims(api_key="devkey", identity="ann", video=VideoGrants(room_join=True, room="tea"))
ALL = Claims(api_key="devkey", video=VideoGrants(room_admin=True))
TEA = Claims(api_key="devkey", video=VideoGrants(room_admin=True, room="tea"))


def token(claims: Claims, *, age: float = 0, ttl: float = HOUR, secret: str = "secret") -> str:
    return mint(claims, secret=secret, now=time.time() - age, ttl=ttl)


def asking(authorization: str) -> Request:
    headers = [(b"authorization", authorization.encode())] if authorization else []
    return Request({"type": "http", "method": "GET", "path": "/", "headers": headers})


def bearing(claims: Claims, *, age: float = 0, ttl: float = HOUR) -> Request:
    return asking(f"Bearer {token(claims, age=age, ttl=ttl)}")


def session_in(room: str, session: str, opened_at: float | None = None) -> Session:
    at = int(1000 * (time.time() if opened_at is None else opened_at))
    return begin(SessionOpened(at=at, session=session, room=room))[0]


def test_room_admin_alone_is_an_administrator_of_everything() -> None:
    assert admin_of(bearing(ALL), KEYS) == Admin()
    assert Admin().reaches(session_in("anything", "S_1"), None)


def test_room_admin_of_a_room_reaches_that_room_only() -> None:
    caller = admin_of(bearing(TEA), KEYS)
    assert caller == Admin("tea")
    assert caller.reaches(session_in("tea", "S_1"), None)
    assert not caller.reaches(session_in("coffee", "S_2"), None)


def test_a_moderator_who_may_join_is_a_participant() -> None:
    both = replace(ANN, video=VideoGrants(room_join=True, room="tea", room_admin=True))
    assert isinstance(caller_of(bearing(both), KEYS), Member)
    with pytest.raises(Problem) as refused:
        admin_of(bearing(both), KEYS)
    assert refused.value.status_code == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "grants",
    [
        VideoGrants(),
        VideoGrants(room_list=True, room_create=True),
        VideoGrants(room_join=True),
        VideoGrants(agent=True),
        VideoGrants(room_admin=True, room_join=True),
    ],
)
def test_a_token_for_something_else_is_forbidden(grants: VideoGrants) -> None:
    with pytest.raises(Problem) as refused:
        caller_of(bearing(Claims(api_key="devkey", identity="x", video=grants)), KEYS)
    assert refused.value.status_code == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer nonsense", f"Basic {token(ALL)}", f"Bearer {token(ALL, secret='wrong')}"],
)
def test_no_token_of_ours_is_unauthorized_and_never_quoted(authorization: str) -> None:
    with pytest.raises(Problem) as refused:
        caller_of(asking(authorization), KEYS)
    assert refused.value.status_code == HTTPStatus.UNAUTHORIZED
    assert refused.value.headers == {"WWW-Authenticate": "Bearer"}
    assert "eyJ" not in refused.value.detail


def test_an_expired_participant_has_a_week_where_grace_is_given() -> None:
    old = bearing(ANN, age=6 * 24 * HOUR)
    assert isinstance(caller_of(old, KEYS, grace=WEEK), Member)
    with pytest.raises(Problem):
        caller_of(old, KEYS)
    with pytest.raises(Problem):
        caller_of(bearing(ANN, age=8 * 24 * HOUR), KEYS, grace=WEEK)


def test_an_expired_administrator_has_no_grace() -> None:
    with pytest.raises(Problem) as refused:
        caller_of(bearing(ALL, age=24 * HOUR), KEYS, grace=WEEK)
    assert refused.value.status_code == HTTPStatus.UNAUTHORIZED


def test_grace_is_not_for_tokens_that_are_not_valid_yet() -> None:
    with pytest.raises(Problem) as refused:
        caller_of(bearing(ANN, age=-24 * HOUR), KEYS, grace=WEEK)
    assert refused.value.status_code == HTTPStatus.UNAUTHORIZED


def test_a_participant_reaches_the_session_its_token_carries_and_no_other_of_the_room() -> None:
    first, second = session_in("tea", "S_1"), session_in("tea", "S_2")
    caller = caller_of(bearing(replace(ANN, attributes={"roomkeeper.session": "S_1"})), KEYS)
    assert caller.reaches(first, second)
    assert not caller.reaches(second, second)
    assert not caller.reaches(session_in("coffee", "S_1"), None)


def test_a_token_that_carries_none_reaches_the_latest_session_of_its_room() -> None:
    first, second = session_in("tea", "S_1"), session_in("tea", "S_2")
    caller = caller_of(bearing(ANN), KEYS)
    assert caller.reaches(second, second)
    assert not caller.reaches(first, second)


def test_an_expired_token_does_not_reach_a_session_that_began_after_it() -> None:
    caller = caller_of(bearing(ANN, age=24 * HOUR), KEYS, grace=WEEK)
    before, after = session_in("tea", "S_1", time.time() - 24 * HOUR), session_in("tea", "S_2")
    assert caller.reaches(before, before)
    assert not caller.reaches(after, after)
