"""`POST /api/sessions`: a session, its token, and asking twice."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from roomkeeper.lifecycle.events import EndAsked, SessionOpened
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.vocabulary import Dispatcher, Origin
from roomkeeper.wire.tokens import Claims, VideoGrants, verify
from tests.unit.control.serving import ADMIN, ANN, KEY, KEYS, Answer, Site, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FULL = {
    "agent": "butler",
    "room": "tea",
    "user": {"identity": "ann", "name": "Ann", "metadata": "m", "attributes": {"a": "b"}},
    "kind": "sip",
    "dispatch": "room",
    "policy": {"hold": {"web": 7}, "time_limit": 60},
    "metadata": {"job": 17},
}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as served:
        yield served


async def open_(served: Site, body: object, *, key: str = "", by: Claims = ADMIN) -> Answer:
    return await served("POST", "/api/sessions", body, by=by, headers={"Idempotency-Key": key} if key else None)


async def journal(served: Site, session: str) -> list[Any]:
    return await served.plane.store.journal(session)


async def test_a_session_is_opened_as_it_was_asked_for(served: Site) -> None:
    answer = await open_(served, FULL)
    assert answer.status == 201
    session, given = answer.json["session"], answer.json["token"]
    assert (session["room"], session["state"], session["agent_name"]) == ("tea", "waiting", "butler")
    [opened] = await journal(served, session["id"])
    assert isinstance(opened, SessionOpened)
    assert (opened.origin, opened.dispatcher, opened.host) == (Origin.API, Dispatcher.ROOM, "ann")
    assert (opened.policy.hold_web, opened.policy.time_limit, opened.metadata) == (7, 60, '{"job":17}')

    claims = verify(given["participant_token"], KEYS, now=time.time())
    assert (claims.identity, claims.name, claims.metadata, claims.video.room) == ("ann", "Ann", "m", "tea")
    assert (claims.attributes["a"], claims.attributes["roomkeeper.session"]) == ("b", session["id"])
    assert claims.room_config is not None
    assert [(each.agent_name, each.metadata) for each in claims.room_config.agents] == [("butler", '{"job":17}')]


async def test_the_same_key_is_the_same_session_and_another_request_is_refused(served: Site) -> None:
    first = await open_(served, {"metadata": "m"}, key="k1")
    again = await open_(served, {"metadata": "m"}, key="k1")
    in_the_body = await open_(served, {"metadata": "m", "idempotency_key": "k1"})
    assert [first.status, again.status, in_the_body.status] == [201, 200, 200]
    ids = {answer.json["session"]["id"] for answer in (first, again, in_the_body)}
    assert len(ids) == 1
    assert len(await journal(served, ids.pop())) == 1
    for other in ({"metadata": "n"}, {"metadata": "m", "room": "tea"}, {"metadata": "m", "policy": {"linger": 9}}):
        assert (await open_(served, other, key="k1")).status == 422
    assert (await open_(served, {"metadata": "m"}, key="k2")).json["session"]["id"] not in ids


async def test_the_same_key_at_the_same_time_is_the_same_session(served: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await open_(served, {"room": "tea"}, key="k1")
    find, unseen = served.plane.store.find, [first.json["session"]["id"]]

    async def late(name: str) -> object:  # the second came before the first was stored
        if name in unseen:
            unseen.clear()
            return None
        return await find(name)

    monkeypatch.setattr(served.plane.store, "find", late)
    second = await open_(served, {"room": "tea"}, key="k1")
    assert (second.status, second.json["session"]["id"]) == (201, first.json["session"]["id"])


async def test_asked_again_after_the_end_there_is_no_token(served: Site) -> None:
    session = (await open_(served, {}, key="k")).json["session"]["id"]
    await served.plane.store.tell(session, EndAsked(at=0, reason=Reason.COMPLETED, by=By.APP))
    again = await open_(served, {}, key="k")
    assert (again.status, again.json["session"]["state"], again.json["token"]) == (200, "ended", None)


async def test_a_room_has_one_session_at_a_time_and_its_name_is_not_used_again(served: Site) -> None:
    session = (await open_(served, {"room": "tea"})).json["session"]["id"]
    taken = await open_(served, {"room": "tea"})
    assert (taken.status, taken.json["session"]) == (409, session)
    await served.plane.store.tell(session, EndAsked(at=0, reason=Reason.COMPLETED, by=By.APP))
    gone = await open_(served, {"room": "tea"})
    assert (gone.status, gone.json["reason"], gone.json["session"]) == (410, "completed", session)


async def test_the_room_that_is_told_to_reuse_its_name_has_generations(served: Site) -> None:
    body = {"room": "tea", "policy": {"reuse": "after_end"}}
    first = (await open_(served, body)).json["session"]
    await served.plane.store.tell(first["id"], EndAsked(at=0, reason=Reason.COMPLETED, by=By.APP))
    second = (await open_(served, body)).json["session"]
    assert (first["generation"], second["generation"], second["room"]) == (1, 2, "tea")


@pytest.mark.parametrize(
    "body",
    [
        {"agent": 1},
        {"room": "x" * 300},
        {"room": "\x00"},
        {"user": {}},
        {"user": "ann"},
        {"user": {"identity": "ann", "attributes": {"a": 1}}},
        {"kind": "fax"},
        {"kind": ["web"]},
        {"dispatch": "maybe"},
        {"policy": {"holt.web": 1}},
        {"policy": {"linger": -1}},
        {"policy": []},
        {"metadata": 3},
        {"idempotency_key": 3},
    ],
)
async def test_what_makes_no_sense_opens_nothing(served: Site, body: dict[str, Any]) -> None:
    answer = await open_(served, body)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json["detail"]
    assert await served.plane.store.open_sessions() == []


async def test_an_administrator_of_one_room_opens_sessions_there_only(served: Site) -> None:
    tea = Claims(api_key=KEY, video=VideoGrants(room_admin=True, room="tea"))
    assert (await open_(served, {"room": "coffee"}, by=tea)).status == 403
    assert (await open_(served, {}, by=tea)).json["session"]["room"] == "tea"
    assert (await open_(served, {}, by=ANN)).status == 403
    assert len(await served.plane.store.open_sessions()) == 1


async def test_without_a_default_agent_one_has_to_be_named(tmp_path: Path) -> None:
    async with site(tmp_path, agent="") as served:
        assert (await open_(served, {})).status == 400
        assert (await open_(served, {"agent": "butler"})).status == 201


async def test_a_link_signs_in_for_hours_once(served: Site) -> None:
    from roomkeeper.wire.signin import sign_in

    link = sign_in(api_key=KEY, secret=KEYS[KEY], now=time.time(), room="tea")
    exchanged = await served("POST", "/api/login", by=link)
    assert (exchanged.status, exchanged.json["room"]) == (200, "tea")
    assert (await served("GET", "/api/sessions", by=exchanged.json["token"])).status == 200
    for other in (exchanged.json["token"], ADMIN):
        assert (await served("POST", "/api/login", by=other)).status == 403
    assert (await served("POST", "/api/login")).status == 401


async def test_an_invite_made_over_http_gets_a_token(served: Site) -> None:
    made = await served("POST", "/api/invites", {"identity": "ann", "room": "tea", "ttl": 60}, by=ADMIN)
    assert made.status == 201
    given = await served("POST", "/api/token", {}, by=made.json["invite"])
    assert (given.json["participant_identity"], given.json["room_name"]) == ("ann", "tea")
    assert (await served("GET", "/api/sessions", by=made.json["invite"])).status == 403
    for wrong in ({}, {"identity": "ann", "ttl": 0}, {"identity": "ann", "ttl": True}, {"identity": 3}):
        assert (await served("POST", "/api/invites", wrong, by=ADMIN)).status == 400
    tea = Claims(api_key=KEY, video=VideoGrants(room_admin=True, room="coffee"))
    assert (await served("POST", "/api/invites", {"identity": "ann", "room": "tea"}, by=tea)).status == 403
