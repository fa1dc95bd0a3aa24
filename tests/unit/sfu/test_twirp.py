"""Twirp on real connections: both encodings, the error codes, and what is never echoed."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from livekit import api
from livekit.protocol import models, room
from starlette.applications import Starlette
from starlette.routing import Mount

from roomkeeper.sfu.limits import Limits, Rate
from roomkeeper.sfu.twirp import STATUS, Service, Twirp, TwirpError
from tests.unit.sfu.serving import KEYS, serving, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from roomkeeper.wire.claims import Claims

DESCRIPTOR = room.DESCRIPTOR.services_by_name["RoomService"]
LIST = "/twirp/livekit.RoomService/ListRooms"
JSON = {"Content-Type": "application/json"}
PROTOBUF = {"Content-Type": "application/protobuf"}


class Echo:
    """Handlers that show what came in."""

    def __init__(self) -> None:
        self.claims: Claims | None = None

    async def list_rooms(self, claims: Claims | None, request: room.ListRoomsRequest) -> room.ListRoomsResponse:
        self.claims = claims
        if "wait" in request.names:
            await asyncio.Event().wait()
        if "boom" in request.names:
            raise ZeroDivisionError("secret")
        return room.ListRoomsResponse(rooms=[models.Room(name=name, creation_time=2**53 + 1) for name in request.names])

    async def refuse(self, claims: Claims | None, request: Any) -> models.Room:  # noqa: ANN401
        raise TwirpError(request.name, "as asked")

    def service(self) -> Service:
        handlers = dict.fromkeys((method.name for method in DESCRIPTOR.methods), self.refuse)
        return Service(DESCRIPTOR, handlers | {"ListRooms": self.list_rooms})


@asynccontextmanager
async def twirp_at(limits: Limits | None = None) -> AsyncIterator[tuple[str, aiohttp.ClientSession, Echo]]:
    echo = Echo()
    app = Starlette(routes=[Mount("/twirp", Twirp([echo.service()], keys=KEYS, limits=limits))])
    async with serving(app) as address, aiohttp.ClientSession(f"http://{address}") as session:
        yield address, session, echo


async def error(response: aiohttp.ClientResponse) -> tuple[int, str, str]:
    body = await response.json()
    assert set(body) - {"meta"} == {"code", "msg"}
    return response.status, body["code"], body["msg"]


async def test_the_client_of_livekit_api_is_answered_in_protobuf() -> None:
    async with twirp_at() as (address, _, echo), api.LiveKitAPI(f"http://{address}", "other", KEYS["other"]) as lkapi:
        answer = await lkapi.room.list_rooms(api.ListRoomsRequest(names=["a", "b"]))
        assert [each.name for each in answer.rooms] == ["a", "b"]
        assert echo.claims is not None
        assert echo.claims.video.room_list


async def test_json_goes_out_in_snake_case_with_defaults_and_long_numbers_as_strings() -> None:
    async with twirp_at() as (_, session, _), session.post(LIST, json={"names": ["a"]}) as response:
        assert response.headers["content-type"] == "application/json"
        (told,) = (await response.json())["rooms"]
        assert told["name"] == "a"
        assert told["creation_time"] == str(2**53 + 1)
        assert (told["num_participants"], told["metadata"], told["enabled_codecs"]) == (0, "", [])


@pytest.mark.parametrize("spelling", ["empty_timeout", "emptyTimeout"])
async def test_json_comes_in_in_both_spellings_and_with_unknown_fields(spelling: str) -> None:
    body = {"name": "not_found", spelling: 3, "of_tomorrow": {"a": 1}}
    async with (
        twirp_at() as (_, session, _),
        session.post("/twirp/livekit.RoomService/CreateRoom", json=body) as response,
    ):
        assert await error(response) == (404, "not_found", "as asked")


@pytest.mark.parametrize("code", sorted(STATUS))
async def test_each_error_code_has_its_status(code: str) -> None:
    async with (
        twirp_at() as (_, session, _),
        session.post("/twirp/livekit.RoomService/CreateRoom", json={"name": code}) as response,
    ):
        assert await error(response) == (STATUS[code], code, "as asked")


async def test_a_call_without_a_token_reaches_its_handler_without_claims() -> None:
    async with twirp_at() as (_, session, echo), session.post(LIST, json={}) as response:
        assert response.status == 200
        assert echo.claims is None


@pytest.mark.parametrize(
    "authorization", ["Bearer nonsense.of.mine", "Basic bm9uc2Vuc2U=", f"Bearer {'x' * 5000}", "Bearer a.b"]
)
async def test_a_bad_token_is_answered_in_plain_text_and_never_echoed(authorization: str) -> None:
    async with (
        twirp_at() as (_, session, _),
        session.post(LIST, json={}, headers={"Authorization": authorization}) as response,
    ):
        body = await response.text()
        assert response.status == 401
        assert response.headers["content-type"].startswith("text/plain")
        assert authorization.split()[1] not in body
        assert body.startswith("invalid token: ")


async def test_the_token_may_come_in_the_query() -> None:
    grants = token(api.VideoGrants(room_list=True))
    async with twirp_at() as (_, session, echo):
        async with session.post(LIST, params={"access_token": grants}, json={}) as response:
            assert response.status == 200
            assert echo.claims is not None
        async with session.post(LIST, params={"access_token": grants + "x"}, json={}) as response:
            assert response.status == 401
            assert grants not in await response.text()


async def test_what_is_no_route_is_a_bad_route() -> None:
    async with twirp_at() as (_, session, _):
        async with session.get(LIST) as response:
            assert (await response.json())["meta"] == {"twirp_invalid_route": f"GET {LIST}"}
            assert await error(response) == (404, "bad_route", "unsupported method 'GET' (only POST is allowed)")
        async with session.post("/twirp/livekit.RoomService/Nothing", json={}) as response:
            assert (await error(response))[:2] == (404, "bad_route")
        async with session.post(LIST, data=b"{}", headers={"Content-Type": "text/html"}) as response:
            assert await error(response) == (404, "bad_route", "unexpected Content-Type: 'text/html'")


@pytest.mark.parametrize(
    "path", ["/twirp/livekit.Nothing/ListRooms", "/twirp/livekit.RoomService", "/twirp/", "/twirp/é"]
)
async def test_what_is_no_service_is_not_found(path: str) -> None:
    async with twirp_at() as (_, session, _), session.post(path, json={}) as response:
        assert (response.status, await response.text()) == (404, "404 page not found")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (JSON, b""),
        (JSON, b"{"),
        (JSON, b"[]"),
        (JSON, b'"names"'),
        (JSON, b'{"names": "secret-word"}'),
        (JSON, b'{"names": [1]}'),
        (JSON, b'{"names": ["\\ud800"]}'),
        (JSON, b"\xff"),
        (JSON, b"[" * 100_000),
        (PROTOBUF, b"\xff\xff\xffsecret-word"),
    ],
)
async def test_a_malformed_body_is_refused_in_words_that_do_not_hold_it(headers: dict[str, str], body: bytes) -> None:
    async with twirp_at() as (_, session, _), session.post(LIST, data=body, headers=headers) as response:
        status, code, words = await error(response)
        assert (status, code) == (400, "malformed")
        assert "secret-word" not in words


async def test_a_body_that_is_too_large_is_refused_before_it_is_read_to_the_end() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536

    async with (
        twirp_at(Limits(body_bytes=100_000)) as (_, session, _),
        session.post(LIST, data=endless(), headers=JSON) as response,
    ):
        assert await error(response) == (400, "invalid_argument", "the body exceeds 100000 bytes")


async def test_a_call_may_take_as_long_as_the_client_says() -> None:
    async with twirp_at() as (_, session, _):
        headers = JSON | {"X-Twirp-Timeout-Ms": "50"}
        async with session.post(LIST, data=json.dumps({"names": ["wait"]}), headers=headers) as response:
            assert (await error(response))[:2] == (408, "deadline_exceeded")
        for odd in ("-1", "0", "soon"):
            async with session.post(LIST, json={}, headers={"X-Twirp-Timeout-Ms": odd}) as response:
                assert response.status == 200


async def test_a_handler_that_fails_is_an_internal_error_without_its_words() -> None:
    async with twirp_at() as (_, session, _), session.post(LIST, json={"names": ["boom"]}) as response:
        status, code, words = await error(response)
        assert (status, code) == (500, "internal")
        assert "secret" not in words


async def test_one_api_key_cannot_use_up_the_rate_of_another() -> None:
    limits = Limits(twirp_requests=Rate(per_second=0.001, burst=2))
    headers = {key: {"Authorization": f"Bearer {token(api.VideoGrants(room_list=True), key=key)}"} for key in KEYS}
    async with twirp_at(limits) as (_, session, _):
        statuses = []
        for key in ("other", "other", "other", "first"):
            async with session.post(LIST, json={}, headers=headers[key]) as response:
                statuses.append(response.status)
        assert statuses == [200, 200, 429, 200]


def test_a_service_without_a_handler_is_noticed_when_it_is_put_together() -> None:
    with pytest.raises(KeyError):
        Twirp([Service(DESCRIPTOR, {})], keys=KEYS)


async def test_a_body_that_does_not_come_is_given_up() -> None:
    async def dripping() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with (
        twirp_at(Limits(body_seconds=0.05)) as (_, session, _),
        session.post(LIST, data=dripping(), headers=JSON) as response,
    ):
        assert await error(response) == (408, "deadline_exceeded", "no body within 0.05 s")
