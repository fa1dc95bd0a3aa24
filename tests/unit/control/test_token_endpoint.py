"""`POST /api/token`: what a token holds, who gets one, and who is told that it is over."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from roomkeeper.control.tokens import ASKED_A_MINUTE
from roomkeeper.lifecycle.events import EndAsked, ParticipantJoined, RoomStarted, SessionOpened, TokenAsked
from roomkeeper.lifecycle.policy import Policy
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import Session, State
from roomkeeper.lifecycle.vocabulary import Dispatcher, Origin
from roomkeeper.wire.room_config import mark_in
from roomkeeper.wire.signin import Invite, invite
from roomkeeper.wire.tokens import Claims, VideoGrants, verify
from tests.unit.control.serving import ADMIN, ANN, ELSEWHERE, KEY, KEYS, SECRET, Site, site, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


SNAKE = {
    "room_name": "tea",
    "participant_identity": "ann",
    "participant_name": "Ann",
    "participant_metadata": "m",
    "participant_attributes": {"a": "b"},
    "room_config": {"agents": [{"agent_name": "butler", "metadata": "{}"}]},
}
CAMEL = {
    "roomName": "tea",
    "participantIdentity": "ann",
    "participantName": "Ann",
    "participantMetadata": "m",
    "participantAttributes": {"a": "b"},
    "roomConfig": {"agents": [{"agentName": "butler", "metadata": "{}"}]},
}


@pytest.fixture
async def dev(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path, dev=True, livekit_url="ws://127.0.0.1:7880") as served:
        yield served


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path, policy=Policy(hold_web=100)) as served:
        yield served


def claims_in(answer: Any) -> Claims:  # noqa: ANN401 - JSON
    return verify(answer["participant_token"], KEYS, now=time.time())


async def ask(served: Site, body: object = None, *, by: Claims | str | None = None) -> Any:  # noqa: ANN401 - JSON
    answer = await served("POST", "/api/token", body, by=by)
    assert answer.status == 201, answer.text
    return answer.json


def invitation(**about: str) -> str:
    return invite(Invite("ann", **about), api_key=KEY, secret=SECRET, now=time.time())


async def test_browsers_are_sent_to_the_public_address(tmp_path: Path) -> None:
    public = "wss://rooms.example.com"
    async with site(tmp_path, dev=True, livekit_url="ws://inner:7880", livekit_public_url=public) as served:
        assert (await ask(served, {}))["server_url"] == public


async def test_an_empty_object_gets_a_room_an_identity_and_the_interviewer(dev: Site) -> None:
    answer = await dev("POST", "/api/token", {})
    assert (answer.status, answer.headers["cache-control"]) == (201, "no-store")
    claims, said = claims_in(answer.json), answer.json
    assert said["server_url"] == "ws://127.0.0.1:7880"
    assert claims.video.room_join
    assert claims.video.room == said["room_name"] != ""
    assert claims.identity == said["participant_identity"] != ""
    assert claims.room_config is not None
    assert [each.agent_name for each in claims.room_config.agents] == ["interviewer"]
    assert (await dev("POST", "/api/token")).status == 201  # no body at all


@pytest.mark.parametrize("body", [SNAKE, CAMEL], ids=["snake", "camel"])
async def test_what_is_asked_for_is_in_the_token_and_the_answer_is_spelled_both_ways(
    dev: Site, body: dict[str, Any]
) -> None:
    answer = await ask(dev, body)
    claims = claims_in(answer)
    assert (claims.video.room, claims.identity, claims.name, claims.metadata) == ("tea", "ann", "Ann", "m")
    assert claims.attributes["a"] == "b"
    assert claims.room_config is not None
    assert [(each.agent_name, each.metadata) for each in claims.room_config.agents] == [("butler", "{}")]
    for snake, camel in [
        ("server_url", "serverUrl"),
        ("participant_token", "participantToken"),
        ("room_name", "roomName"),
        ("participant_name", "participantName"),
        ("participant_identity", "participantIdentity"),
    ]:
        assert answer[snake] == answer[camel]


async def test_a_token_carries_its_session_and_a_room_that_outlasts_the_hold(live: Site) -> None:
    answer = await ask(live, {"room_name": "tea", "participant_identity": "ann"}, by=ADMIN)
    claims = claims_in(answer)
    config = claims.room_config
    assert config is not None
    assert claims.attributes["roomkeeper.session"] == answer["session"]
    assert claims.attributes["roomkeeper.agent"] == "interviewer"
    assert config.departure_timeout >= 100
    mark = mark_in(config.metadata)
    assert mark is not None
    assert (mark.session, mark.agent) == (answer["session"], "interviewer")
    [agent] = config.agents
    assert dict(agent.attributes) == {"roomkeeper.session": answer["session"], "roomkeeper.epoch": "1"}
    assert agent.restart_policy == 1  # JRP_NEVER


async def test_asking_stores_nothing_and_gives_everybody_in_a_room_one_session(live: Site) -> None:
    first = await ask(live, {"room_name": "tea", "participant_identity": "ann"}, by=ADMIN)
    again = await ask(live, {"room_name": "tea", "participant_identity": "ann"}, by=ADMIN)
    other = await ask(live, {"room_name": "tea", "participant_identity": "bob"}, by=ADMIN)
    elsewhere = await ask(live, {"room_name": "coffee"}, by=ADMIN)
    assert first["session"] == again["session"] == other["session"] != elsewhere["session"]
    assert await live.plane.store.find(first["session"]) is None
    assert await live.plane.store.find("tea") is None


async def test_a_session_that_goes_on_is_joined_and_told(live: Site) -> None:
    opened = SessionOpened(
        at=0, session="S_1", room="tea", agent_name="butler", origin=Origin.API, metadata="M", policy=Policy()
    )
    await live.plane.store.open(opened)
    claims = claims_in(await ask(live, {"room_name": "tea", "participant_identity": "ann"}, by=ADMIN))
    assert claims.attributes["roomkeeper.session"] == "S_1"
    assert claims.room_config is not None
    assert [(each.agent_name, each.metadata) for each in claims.room_config.agents] == [("butler", "M")]
    assert (await live.plane.store.journal("S_1"))[-1] == replace(
        TokenAsked(at=0, identity="ann"), at=(await live.plane.store.journal("S_1"))[-1].at
    )


async def test_a_session_that_begins_while_a_token_is_asked_for_is_joined(
    live: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = (await ask(live, {"room_name": "tea"}, by=ADMIN))["session"]
    store = live.plane.store
    find = store.find

    async def find_just_too_early(name: str) -> Session | None:
        found = await find(name)
        if name == "tea":
            await store.open(SessionOpened(at=0, session=session, room="tea", agent_name="interviewer"))
        return found

    monkeypatch.setattr(store, "find", find_just_too_early)
    answer = await ask(live, {"room_name": "tea", "participant_identity": "bob"}, by=ADMIN)
    assert answer["session"] == session
    assert TokenAsked in map(type, await store.journal(session))


async def test_a_session_whose_agent_the_application_sends_dispatches_none(live: Site) -> None:
    opened = SessionOpened(
        at=0, session="S_1", room="tea", agent_name="interviewer", dispatcher=Dispatcher.NOBODY, policy=Policy()
    )
    await live.plane.store.open(opened)
    claims = claims_in(await ask(live, {"room_name": "tea"}, by=ADMIN))
    assert claims.room_config is not None
    assert not claims.room_config.agents


async def test_after_the_end_the_answer_is_gone_with_the_reason(live: Site) -> None:
    session = (await ask(live, {"room_name": "tea"}, by=ADMIN))["session"]
    await live.plane.store.open(SessionOpened(at=0, session=session, room="tea", agent_name="interviewer"))
    ended = EndAsked(at=0, reason=Reason.COMPLETED, by=By.APP, detail="all asked")
    assert (await live.plane.store.tell(session, ended)).session.state is State.ENDED
    answer = await live("POST", "/api/token", {"room_name": "tea"}, by=ADMIN)
    assert (answer.status, answer.headers["content-type"]) == (410, "application/problem+json")
    said = answer.json
    assert (said["status"], said["v"], said["session"], said["state"]) == (410, 1, session, "ended")
    assert (said["reason"], said["by"], said["detail"]) == ("completed", "agent", "all asked")
    assert "participant_token" not in answer.text


async def test_a_name_that_may_be_used_again_waits_for_the_old_room_to_go(live: Site) -> None:
    opened = SessionOpened(at=0, session="S_1", room="tea", agent_name="interviewer", origin=Origin.SIP)
    await live.plane.store.open(opened)
    await live.plane.store.tell(
        "S_1",
        RoomStarted(at=0, sid="RM_1"),
        ParticipantJoined(at=0, sid="PA_1", identity="caller", room_sid="RM_1"),
        EndAsked(at=0, reason=Reason.COMPLETED, by=By.APP),
    )
    answer = await live("POST", "/api/token", {"room_name": "tea"}, by=ADMIN)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_an_invite_is_for_its_identity_its_room_and_its_agent(live: Site) -> None:
    wanted = {
        "room_name": "mine",
        "participant_identity": "eve",
        "participant_name": "Eve",
        "room_config": {"agents": [{"agent_name": "spy"}], "metadata": "{}", "departureTimeout": 99999},
    }
    claims = claims_in(await ask(live, wanted, by=invitation(agent="butler", room="tea", name="Ann")))
    assert (claims.identity, claims.video.room, claims.name) == ("ann", "tea", "Ann")
    assert not claims.video.room_admin
    assert claims.room_config is not None
    assert [each.agent_name for each in claims.room_config.agents] == ["butler"]
    assert claims.room_config.departure_timeout < 1000


async def test_an_invite_without_a_room_has_one_of_its_own(live: Site) -> None:
    one = invitation()
    first, again, other = [await ask(live, {}, by=each) for each in (one, one, invitation(name="Ann"))]
    assert first["room_name"] == again["room_name"] != other["room_name"]
    assert first["session"] == again["session"]


@pytest.mark.parametrize("name", ["roomkeeper.session", "roomkeeper.agent", "lk.agent_name", "sip.callStatusCode"])
async def test_attributes_that_mean_something_cannot_be_asked_for(live: Site, name: str) -> None:
    answer = await live("POST", "/api/token", {"participant_attributes": {name: "x"}}, by=invitation())
    assert answer.status == 400


async def test_only_administrators_and_invitees_get_tokens(live: Site) -> None:
    refused = {
        "nobody": (None, 401),
        "a participant": (token(ANN), 403),
        "an agent": (token(Claims(api_key=KEY, video=VideoGrants(agent=True))), 403),
        "an invite with grants": (token(replace(ANN, attributes={"roomkeeper.invite": "interviewer"})), 403),
        "a forged invite": (invite(Invite("ann"), api_key=KEY, secret="other", now=time.time()), 401),
        "an old invite": (invite(Invite("ann"), api_key=KEY, secret=SECRET, now=time.time() - 90_000), 401),
    }
    for who, (sent, status) in refused.items():
        answer = await live("POST", "/api/token", {"room_name": "tea"}, by=sent)
        assert (who, answer.status) == (who, status)
        assert "participant_token" not in answer.text


async def test_an_administrator_of_one_room_gives_tokens_of_that_room_only(live: Site) -> None:
    tea = Claims(api_key=KEY, video=VideoGrants(room_admin=True, room="tea"))
    assert (await ask(live, {}, by=tea))["room_name"] == "tea"
    assert (await live("POST", "/api/token", {"room_name": "coffee"}, by=tea)).status == 403


async def test_in_development_only_this_machine_is_served(dev: Site) -> None:
    answer = await dev("POST", "/api/token", {}, headers={"X-Forwarded-For": ELSEWHERE})
    assert answer.status == 401


async def test_who_asks_too_often_is_told_to_wait(dev: Site) -> None:
    body = {"room_name": "tea", "participant_identity": "ann"}
    said = [(await dev("POST", "/api/token", body)).status for _ in range(ASKED_A_MINUTE + 1)]
    assert (set(said[:-1]), said[-1]) == ({201}, 429)
    assert (await dev("POST", "/api/token", {**body, "participant_identity": "bob"})).status == 201


async def test_a_token_lives_as_long_as_configured(tmp_path: Path) -> None:
    async with site(tmp_path, dev=True, token_ttl=90.0) as served:
        claims = claims_in(await ask(served))
        assert 60 < claims.expires_at - time.time() <= 90


MALFORMED = [
    b"{",
    b"[]",
    b'"text"',
    b"\xff",
    b"[" * 60_000,
    b'{"room_name": 3}',
    b'{"room_name": "\\ud800"}',
    b'{"room_name": "\\u0000"}',
    b'{"participant_attributes": {"a": 1}}',
    b'{"participant_attributes": {"\\ud800": "x"}}',
    b'{"participant_attributes": [1]}',
    b'{"room_config": {"agents": 3}}',
    b'{"room_config": 3}',
    b'{"room_config": "agents"}',
    b'{"room_config": {"agents": [{"agent_name": "\\ud800"}]}}',
    b'{"room_name": "' + b"x" * 257 + b'"}',
]


async def test_malformed_and_oversized_requests_are_refused_as_problems(dev: Site) -> None:
    for body in MALFORMED:
        answer = await dev("POST", "/api/token", body)
        assert (body[:40], answer.status) == (body[:40], 400)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json["title"] == "Bad Request"
        assert answer.json["detail"]
    answer = await dev("POST", "/api/token", b'{"participant_metadata": "' + b"x" * 70_000 + b'"}')
    assert (answer.status, answer.json["status"]) == (413, 413)
    answer = await dev("GET", "/api/token")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_host_name_that_was_rebound_to_this_machine_is_refused(dev: Site) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "[::1", "localhost.evil", "1.2.3.4"):
        answer = await dev("POST", "/api/token", {}, headers={"Host": host})
        assert (host, answer.status) == (host, 421)
        assert "participant_token" not in answer.text
    for host in ("localhost", "localhost:8080", "127.0.0.1", "[::1]:8080"):
        assert (await dev("POST", "/api/token", {}, headers={"Host": host})).status == 201


async def test_only_pages_of_this_machine_may_ask_and_read_the_answer(dev: Site) -> None:
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for origin, allowed in [
        ("http://localhost:5173", True),
        ("http://127.0.0.1:5173", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("null", False),
    ]:
        for answer in (
            await dev("POST", "/api/token", {}, headers={"Origin": origin}),
            await dev("OPTIONS", "/api/token", headers={"Origin": origin, **preflight}),
        ):
            assert (answer.headers.get("access-control-allow-origin") == origin) is allowed
            assert (answer.status in {400, 403}) is not allowed


async def test_metadata_of_the_room_that_is_no_object_is_left_alone(live: Site) -> None:
    for metadata, marked in (("not json", False), (json.dumps({"mine": 1}), True)):
        config = claims_in(await ask(live, {"room_config": {"metadata": metadata}}, by=ADMIN)).room_config
        assert config is not None
        assert (mark_in(config.metadata) is not None) is marked
        assert "mine" in config.metadata or config.metadata == metadata
