from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from roomkeeper.control.app import create_app
from roomkeeper.control.config import ControlConfig
from roomkeeper.wire.tokens import Claims, verify

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = {"devkey": "secret"}
LOOPBACK = ("127.0.0.1", 50000)
ADDRESS = "http://127.0.0.1:8080"


def client_of(config: ControlConfig, caller: tuple[str, int] = LOOPBACK) -> TestClient:
    return TestClient(create_app(config), base_url=ADDRESS, client=caller)


@pytest.fixture
def client() -> Iterator[TestClient]:
    with client_of(ControlConfig(dev=True, agent="interviewer", livekit_url="ws://127.0.0.1:7880")) as client:
        yield client


def claims_in(answer: dict[str, Any]) -> Claims:
    return verify(answer["participant_token"], KEYS, now=time.time())


def test_an_empty_object_gets_a_room_an_identity_and_the_interviewer(client: TestClient) -> None:
    response = client.post("/api/token", json={})
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    answer = response.json()
    claims = claims_in(answer)
    assert answer["server_url"] == "ws://127.0.0.1:7880"
    assert claims.video.room_join
    assert claims.video.room == answer["room_name"] != ""
    assert claims.identity == answer["participant_identity"] != ""
    assert claims.room_config is not None
    assert [each.agent_name for each in claims.room_config.agents] == ["interviewer"]


def test_an_empty_body_is_an_empty_object(client: TestClient) -> None:
    assert client.post("/api/token").status_code == 201


def test_the_answer_is_spelled_both_ways(client: TestClient) -> None:
    answer = client.post("/api/token", json={"room_name": "tea", "participant_name": "Ann"}).json()
    for snake, camel in [
        ("server_url", "serverUrl"),
        ("participant_token", "participantToken"),
        ("room_name", "roomName"),
        ("participant_name", "participantName"),
        ("participant_identity", "participantIdentity"),
    ]:
        assert answer[snake] == answer[camel]


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


@pytest.mark.parametrize("request_body", [SNAKE, CAMEL], ids=["snake", "camel"])
def test_what_is_asked_for_is_in_the_token(client: TestClient, request_body: dict[str, Any]) -> None:
    claims = claims_in(client.post("/api/token", json=request_body).json())
    assert (claims.video.room, claims.identity, claims.name, claims.metadata) == ("tea", "ann", "Ann", "m")
    assert claims.attributes == {"a": "b"}
    assert claims.room_config is not None
    assert [(each.agent_name, each.metadata) for each in claims.room_config.agents] == [("butler", "{}")]


def test_asking_twice_gives_the_same_room_and_identity(client: TestClient) -> None:
    first, second = (client.post("/api/token", json=SNAKE).json() for _ in range(2))
    assert (first["room_name"], first["participant_identity"]) == (second["room_name"], second["participant_identity"])


def test_a_token_lives_as_long_as_configured() -> None:
    client = client_of(ControlConfig(dev=True, token_ttl=90.0))
    claims = claims_in(client.post("/api/token", json={}).json())
    assert 80 < claims.expires_at - time.time() <= 90


def test_without_a_default_agent_none_is_dispatched() -> None:
    claims = claims_in(client_of(ControlConfig(dev=True)).post("/api/token", json={}).json())
    assert claims.room_config is None or not claims.room_config.agents


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"\xff",
        b"[" * 60_000,
        b'{"room_name": 3}',
        b'{"room_name": "\\ud800"}',
        b'{"participant_attributes": {"a": 1}}',
        b'{"participant_attributes": {"\\ud800": "x"}}',
        b'{"participant_attributes": [1]}',
        b'{"room_config": {"agents": 3}}',
        b'{"room_config": 3}',
        b'{"room_config": "agents"}',
        b'{"room_config": {"agents": [{"agent_name": "\\ud800"}]}}',
        b'{"room_name": "' + b"x" * 257 + b'"}',
    ],
)
def test_a_malformed_request_is_refused_as_a_problem(client: TestClient, body: bytes) -> None:
    response = client.post("/api/token", content=body)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["title"] == "Bad Request"
    assert response.json()["detail"]


def test_an_oversized_request_is_refused(client: TestClient) -> None:
    response = client.post("/api/token", content=b'{"participant_metadata": "' + b"x" * 70_000 + b'"}')
    assert response.status_code == 413
    assert response.json()["status"] == 413


def test_a_caller_from_another_machine_is_refused() -> None:
    client = client_of(ControlConfig(dev=True), caller=("192.0.2.1", 50000))
    assert client.post("/api/token", json={}).status_code == 403


def test_outside_of_development_nobody_gets_a_token_for_nothing() -> None:
    assert client_of(ControlConfig()).post("/api/token", json={}).status_code == 403


def test_another_method_is_refused_as_a_problem(client: TestClient) -> None:
    response = client.get("/api/token")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "localhost.evil", "1.2.3.4"])
def test_a_host_name_that_was_rebound_to_this_machine_is_refused(client: TestClient, host: str) -> None:
    response = client.post("/api/token", json={}, headers={"Host": host})
    assert response.status_code == 421
    assert "participant_token" not in response.text


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "[::1]:8080"])
def test_every_name_of_this_machine_is_served(client: TestClient, host: str) -> None:
    assert client.post("/api/token", json={}, headers={"Host": host}).status_code == 201


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:5173", True),
        ("http://127.0.0.1:5173", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("null", False),
    ],
)
def test_only_pages_of_this_machine_may_read_the_answer(client: TestClient, origin: str, *, allowed: bool) -> None:
    simple = client.post("/api/token", json={}, headers={"Origin": origin})
    assert (simple.headers.get("access-control-allow-origin") == origin) is allowed
    preflight = client.options(
        "/api/token",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        },
    )
    assert (preflight.headers.get("access-control-allow-origin") == origin) is allowed
