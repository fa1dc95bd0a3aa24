"""Tokens: who is let in, who is not, and how the page of a browser learns it."""

from __future__ import annotations

import base64
import hmac
import json
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from livekit import api, rtc

from tests.conformance.support.server import Options
from tests.conformance.support.signal import join_request, signal_to

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

    from tests.conformance.support.clients import Joiner, SignalPath
    from tests.conformance.support.server import Server, ServerProcess

VALIDATE = ("/rtc/validate", "/rtc/v1/validate")
ORIGIN = {"Origin": "https://page.example"}


def claims(server: Server, room: str, **changed: Any) -> dict[str, Any]:  # noqa: ANN401
    """The claims of a good token, some changed; None removes one, a timedelta is a time from now."""
    now = int(time.time())
    good = {
        "iss": server.key,
        "sub": "ann",
        "nbf": now - 5,
        "exp": now + 600,
        "video": {"roomJoin": True, "room": room},
    }
    return {
        name: now + int(value.total_seconds()) if isinstance(value, timedelta) else value
        for name, value in {**good, **changed}.items()
        if value is not None
    }


def signed(server: Server, payload: dict[str, Any], secret: str | None = None) -> str:
    """Sign claims; not by the API, since it makes good tokens only."""
    return jwt.encode(payload, secret or server.secret, algorithm="HS256")


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _with_mac(signing_input: str, secret: str, digest: str) -> str:
    return f"{signing_input}.{_base64url(hmac.digest(secret.encode(), signing_input.encode(), digest))}"


async def validate(http: aiohttp.ClientSession, server: Server, path: str, token: str) -> tuple[int, str]:
    """Ask whether a token would be let in."""
    params = {"access_token": token, "join_request": join_request()}
    async with http.get(f"{server.http}{path}", params=params) as answer:
        return answer.status, (await answer.text()).strip()


@pytest.mark.parametrize("path", VALIDATE)
async def test_a_good_token_is_valid(http: aiohttp.ClientSession, server: Server, room: str, path: str) -> None:
    assert await validate(http, server, path, signed(server, claims(server, room))) == (200, "success")


@pytest.mark.parametrize("path", VALIDATE)
async def test_a_token_may_come_in_the_header(
    http: aiohttp.ClientSession, server: Server, room: str, path: str
) -> None:
    headers = {"Authorization": f"Bearer {signed(server, claims(server, room))}"}
    async with http.get(f"{server.http}{path}", params={"join_request": join_request()}, headers=headers) as answer:
        assert (answer.status, await answer.text()) == (200, "success")


async def test_v1_wants_to_know_what_the_client_asks_for(
    http: aiohttp.ClientSession, server: Server, room: str
) -> None:
    params = {"access_token": server.token("ann", room=room)}
    async with http.get(f"{server.http}/rtc/v1/validate", params=params) as answer:
        assert answer.status == 400
        assert "join_request is required" in await answer.text()


BAD_CLAIMS: dict[str, tuple[dict[str, Any], int, str]] = {
    "expired beyond the leeway": ({"exp": timedelta(seconds=-90)}, 401, ""),
    "not valid yet": ({"nbf": timedelta(seconds=600)}, 401, ""),
    "without expiry": ({"exp": None}, 401, ""),
    "of another key": ({"iss": "unknown-key"}, 401, ""),
    "without issuer": ({"iss": None}, 401, ""),
    "without grants": ({"video": None}, 401, "no permissions to access the room"),
    "without roomJoin": ({"video": {"room": "r"}}, 401, "permissions"),
    "without identity": ({"sub": None}, 400, "identity cannot be empty"),
    "without room": ({"video": {"roomJoin": True}}, 400, "no room name"),
    "with a long identity": ({"sub": "i" * 257}, 400, ""),
    "with a long room": ({"video": {"roomJoin": True, "room": "r" * 257}}, 400, ""),
}


@pytest.mark.parametrize("path", VALIDATE)
@pytest.mark.parametrize(("changed", "status", "text"), BAD_CLAIMS.values(), ids=[*BAD_CLAIMS])
async def test_a_bad_token_is_refused_with_the_reason(
    http: aiohttp.ClientSession,
    server: Server,
    room: str,
    path: str,
    changed: dict[str, Any],
    status: int,
    text: str,
) -> None:
    token = signed(server, claims(server, room, **changed))
    got, said = await validate(http, server, path, token)
    assert got == status
    assert text in said


@pytest.mark.parametrize(
    "changed",
    [{"exp": timedelta(seconds=-30)}, {"nbf": timedelta(seconds=30)}],
    ids=["expired half a minute ago", "valid in half a minute"],
)
async def test_a_clock_may_be_wrong_by_a_minute(
    http: aiohttp.ClientSession, server: Server, room: str, changed: dict[str, timedelta]
) -> None:
    token = signed(server, claims(server, room, **changed))
    assert await validate(http, server, VALIDATE[0], token) == (200, "success")


def forge(server: Server, payload: dict[str, Any], how: str) -> str:
    """Make a token that the server must not trust."""
    good = signed(server, payload)
    head, body, signature = good.split(".")
    match how:
        case "wrong secret":
            return signed(server, payload, "another-secret-of-sufficient-length")
        case "no algorithm":
            return f"{_base64url(json.dumps({'alg': 'none'}).encode())}.{body}."
        case "other algorithm":
            head = _base64url(b'{"alg":"HS384","typ":"JWT"}')
            return _with_mac(f"{head}.{body}", server.secret, "sha384")
        case "changed claims":
            return f"{head}.{_base64url(json.dumps({**payload, 'sub': 'mallory'}).encode())}.{signature}"
        case "signed with the public key id":
            return _with_mac(f"{head}.{body}", server.key, "sha256")
        case _:
            return how


@pytest.mark.parametrize(
    "how",
    [
        "wrong secret",
        "no algorithm",
        "other algorithm",
        "changed claims",
        "signed with the public key id",
        "rubbish",
        "a.b.c",
        "\N{SNOWMAN}.x.y",
    ],
)
@pytest.mark.parametrize("path", VALIDATE)
async def test_a_forged_token_is_refused(
    http: aiohttp.ClientSession, server: Server, room: str, path: str, how: str
) -> None:
    status, _ = await validate(http, server, path, forge(server, claims(server, room), how))
    assert status == 401


@pytest.mark.parametrize("path", VALIDATE)
async def test_no_token_at_all_is_refused(http: aiohttp.ClientSession, server: Server, path: str) -> None:
    async with http.get(f"{server.http}{path}") as answer:
        assert answer.status == 401


async def test_a_client_with_a_bad_token_is_told_so(join: Joiner, path: SignalPath, server: Server, room: str) -> None:
    with pytest.raises(rtc.ConnectError) as refused:
        await join("ann", token=signed(server, claims(server, room), "another-secret-of-sufficient-length"))
    assert "401" in refused.value.message or "nauthorized" in refused.value.message


async def test_a_joined_client_gets_a_fresh_token_for_the_same_participant(join: Joiner, server: Server) -> None:
    ann = await join("ann", can_publish_data=False, kind="sip")
    await ann.wait_for("token_refreshed")
    token = ann.room._token
    assert token
    fresh = jwt.decode(token, server.secret, algorithms=["HS256"])
    assert (fresh["sub"], fresh["kind"], fresh["video"]["room"]) == ("ann", "sip", ann.room.name)
    assert fresh["video"]["roomJoin"]
    assert fresh["video"]["canPublishData"] is False
    assert fresh["exp"] - time.time() >= 599


async def test_changed_attributes_bring_a_token_that_carries_them(join: Joiner, server: Server) -> None:
    ann = await join("ann", can_update_own_metadata=True)
    await ann.wait_for("token_refreshed")
    await ann.me.set_attributes({"a": "1"})
    await ann.wait_for("token_refreshed")
    assert ann.room._token
    assert jwt.decode(ann.room._token, server.secret, algorithms=["HS256"])["attributes"] == {"a": "1"}


async def test_the_server_is_healthy(http: aiohttp.ClientSession, server: Server) -> None:
    async with http.get(server.http) as answer:
        assert (answer.status, await answer.text()) == (200, "OK")
    async with http.head(server.http) as answer:
        assert answer.status == 200


async def test_rtc_without_a_websocket_is_not_found(http: aiohttp.ClientSession, server: Server, room: str) -> None:
    params = {"access_token": server.token("ann", room=room)}
    async with http.get(f"{server.http}/rtc", params=params) as answer:
        assert answer.status == 404


@pytest.mark.parametrize("path", ["/rtc/validate", "/rtc/v1/validate", "/rtc", "/"])
async def test_a_page_of_any_origin_may_read_the_answer(
    http: aiohttp.ClientSession, server: Server, room: str, path: str
) -> None:
    params = {"access_token": server.token("ann", room=room)}
    async with http.get(f"{server.http}{path}", params=params, headers=ORIGIN) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] in {"*", ORIGIN["Origin"]}
    async with http.get(f"{server.http}{path}", params={"access_token": "bad"}, headers=ORIGIN) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] in {"*", ORIGIN["Origin"]}


async def test_a_page_of_any_origin_may_call_the_room_api(http: aiohttp.ClientSession, server: Server) -> None:
    asked = {
        **ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    async with http.options(f"{server.http}/twirp/livekit.RoomService/ListRooms", headers=asked) as answer:
        assert answer.status in {200, 204}
        assert answer.headers["Access-Control-Allow-Origin"] in {"*", ORIGIN["Origin"]}
        assert "authorization" in answer.headers["Access-Control-Allow-Headers"].lower()
        assert answer.headers["Access-Control-Max-Age"] == "86400"


@pytest.mark.own_server
async def test_without_auto_create_an_unknown_room_does_not_exist(
    start_server: Callable[[Options], ServerProcess], http: aiohttp.ClientSession, room: str
) -> None:
    server = start_server(Options(auto_create=False)).server
    token = server.token("ann", room=room)
    for path in VALIDATE:
        status, said = await validate(http, server, path, token)
        assert (status, said) == (404, "requested room does not exist")
    creator = server.unsigned_token("ann").with_grants(api.VideoGrants(room_join=True, room=room, room_create=True))
    assert (await validate(http, server, VALIDATE[0], creator.to_jwt()))[0] == 200
    client = rtc.Room()
    with pytest.raises(rtc.ConnectError):
        await client.connect(server.url, token)
    async with api.LiveKitAPI(server.http, server.key, server.secret) as lkapi:
        await lkapi.room.create_room(api.CreateRoomRequest(name=room))
    assert await validate(http, server, VALIDATE[0], token) == (200, "success")
    await client.connect(server.url, token)
    await client.disconnect()


@pytest.mark.parametrize(
    "wanted", [{"attributes": {"a": "mine"}}, {"metadata": "mine"}], ids=["attributes", "metadata"]
)
@pytest.mark.parametrize("path", VALIDATE)
async def test_what_a_client_says_of_itself_needs_the_grant_already_at_the_join(
    http: aiohttp.ClientSession, server: Server, room: str, path: str, wanted: dict[str, Any]
) -> None:
    asked = join_request(metadata=wanted.get("metadata", ""), participant_attributes=wanted.get("attributes", {}))
    for allowed, expected in ((False, 401), (True, 200)):
        token = server.token("ann", room=room, can_update_own_metadata=allowed)
        params = {"access_token": token, "join_request": asked}
        async with http.get(f"{server.http}{path}", params=params) as answer:
            assert (answer.status, expected == 401) == (expected, "no permissions" in await answer.text())


async def test_the_clients_own_attributes_add_to_those_of_the_token_and_delete_none(server: Server, room: str) -> None:
    token = server.unsigned_token("ann", room=room, can_update_own_metadata=True)
    token = token.with_attributes({"a": "issued", "b": "issued"})
    own = {"a": "", "b": "mine", "c": "mine"}
    async with signal_to(server, token.to_jwt(), "v1", participant_attributes=own, metadata="mine") as ann:
        joined = (await ann.wait_for("join")).participant
    assert (dict(joined.attributes), joined.metadata) == ({"a": "issued", "b": "mine", "c": "mine"}, "mine")


async def test_a_token_may_be_as_long_as_its_metadata_wants_it(server: Server, room: str) -> None:
    token = server.unsigned_token("ann", room=room).with_metadata("m" * 60_000).to_jwt()
    async with signal_to(server, token) as ann:
        assert len((await ann.wait_for("join")).participant.metadata) == 60_000
