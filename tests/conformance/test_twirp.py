"""The room API as HTTP: encodings, grants, error codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from livekit import api

if TYPE_CHECKING:
    import aiohttp

    from tests.conformance.support.server import Server
    from tests.conformance.support.twirp import Twirp

ADMIN = {"room_admin": True, "room": "r"}
GRANTS: dict[str, dict[str, Any]] = {
    "RoomService/CreateRoom": {"room_create": True},
    "RoomService/DeleteRoom": {"room_create": True},
    "RoomService/ListRooms": {"room_list": True},
    "RoomService/ListParticipants": ADMIN,
    "RoomService/GetParticipant": ADMIN,
    "RoomService/RemoveParticipant": ADMIN,
    "RoomService/MutePublishedTrack": ADMIN,
    "RoomService/UpdateParticipant": ADMIN,
    "RoomService/UpdateSubscriptions": ADMIN,
    "RoomService/SendData": ADMIN,
    "RoomService/PerformRpc": ADMIN,
    "RoomService/UpdateRoomMetadata": ADMIN,
    "AgentDispatchService/CreateDispatch": ADMIN,
    "AgentDispatchService/DeleteDispatch": ADMIN,
    "AgentDispatchService/ListDispatch": ADMIN,
}
EVERY_OTHER: dict[str, Any] = {"room_create": True, "room_list": True, "room_record": True, "ingress_admin": True}


@pytest.mark.parametrize("method", [*GRANTS, "RoomService/ForwardParticipant", "RoomService/MoveParticipant"])
async def test_a_method_without_its_grant_is_unauthenticated(twirp: Twirp, method: str) -> None:
    needed = GRANTS.get(method, {})
    others = {name: value for name, value in EVERY_OTHER.items() if name not in needed}
    answer = await twirp(method, {"room": "r"}, **others)
    assert answer.error == (401, "unauthenticated")
    assert answer.json["msg"]


@pytest.mark.parametrize("method", [name for name, grants in GRANTS.items() if "room" in grants])
async def test_the_admin_of_one_room_is_not_admin_of_another(twirp: Twirp, method: str) -> None:
    answer = await twirp(method, {"room": "other"}, room_admin=True, room="r")
    assert answer.error == (401, "unauthenticated")


async def test_without_any_token_a_method_is_unauthenticated(twirp: Twirp) -> None:
    answer = await twirp("RoomService/ListRooms", token="")
    assert answer.error == (401, "unauthenticated")


@pytest.mark.parametrize("method", ["RoomService/CreateRoom", "RoomService/ListRooms"])
async def test_a_token_of_another_secret_is_refused_before_the_method(
    twirp: Twirp, server: Server, method: str
) -> None:
    grants = api.VideoGrants(room_create=True, room_list=True)
    forged = api.AccessToken(server.key, "another-secret-of-sufficient-length").with_grants(grants).to_jwt()
    answer = await twirp(method, token=forged)
    assert answer.status == 401


async def test_json_answers_are_snake_case_with_defaults_and_long_numbers_as_strings(twirp: Twirp, room: str) -> None:
    answer = await twirp("RoomService/CreateRoom", {"name": room, "emptyTimeout": 30})
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert answer.json["empty_timeout"] == 30
    assert (answer.json["num_participants"], answer.json["metadata"], answer.json["active_recording"]) == (0, "", False)
    assert isinstance(answer.json["creation_time"], str)
    assert int(answer.json["creation_time_ms"]) > 1_700_000_000_000


async def test_unknown_json_fields_are_ignored_or_refused_like_the_original(twirp: Twirp, room: str) -> None:
    answer = await twirp("RoomService/CreateRoom", {"name": room, "no_such_field": 1})
    assert answer.status == 200


async def test_protobuf_bodies_get_protobuf_answers(twirp: Twirp, server: Server, room: str) -> None:
    request = api.CreateRoomRequest(name=room, metadata="m")
    answer = await twirp.protobuf("RoomService/CreateRoom", request, server.token(room_create=True))
    assert (answer.status, answer.content_type) == (200, "application/protobuf")
    assert api.Room.FromString(answer.body).metadata == "m"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{not json", "application/json"),
        (b"[]", "application/json"),
        (b'{"empty_timeout": "soon"}', "application/json"),
        (b"\xff\xff\xff\xff", "application/protobuf"),
    ],
)
async def test_a_body_that_does_not_parse_is_malformed(
    twirp: Twirp, server: Server, body: bytes, content_type: str
) -> None:
    token = server.token(room_create=True)
    answer = await twirp.post("RoomService/CreateRoom", body, content_type, token=token)
    assert answer.error == (400, "malformed")
    assert (await twirp("RoomService/ListRooms", room_list=True)).status == 200


@pytest.mark.parametrize("method", ["RoomService/NoSuchMethod", "RoomService/createroom"])
async def test_an_unknown_method_is_a_bad_route(twirp: Twirp, method: str) -> None:
    answer = await twirp(method, {})
    assert answer.error == (404, "bad_route")


async def test_an_unknown_content_type_is_a_bad_route(twirp: Twirp, server: Server) -> None:
    token = server.token(room_list=True)
    answer = await twirp.post("RoomService/ListRooms", b"{}", "text/plain", token=token)
    assert answer.error == (404, "bad_route")


async def test_only_post_is_a_route(server: Server, http: aiohttp.ClientSession) -> None:
    headers = {"Authorization": f"Bearer {server.token(room_list=True)}", "Content-Type": "application/json"}
    async with http.get(f"{server.http}/twirp/livekit.RoomService/ListRooms", headers=headers) as answer:
        assert answer.status == 404
        assert (await answer.json())["code"] == "bad_route"


async def test_a_service_that_is_not_there_is_not_found(twirp: Twirp) -> None:
    answer = await twirp("NoSuchService/Do", {})
    assert (answer.status, answer.json) == (404, None)


@pytest.mark.parametrize(
    ("method", "grants"),
    [
        ("Egress/ListEgress", {"room_record": True}),
        pytest.param(
            "Egress/StartRoomCompositeEgress",
            {"room_record": True},
            marks=pytest.mark.improvement,  # the original waits ten seconds and more for somebody to answer
        ),
        ("Ingress/ListIngress", {"ingress_admin": True}),
    ],
)
async def test_a_service_that_needs_more_says_that_it_is_not_here(
    twirp: Twirp, method: str, grants: dict[str, Any]
) -> None:
    answer = await twirp(method, {}, **grants)
    assert answer.status in {500, 501, 503}
    assert answer.json["code"] in {"internal", "unimplemented", "unavailable"}
    assert answer.json["msg"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"metadata": "x" * 512 * 1024}, 200),
        ({"metadata": "x" * (512 * 1024 + 1)}, 400),
        ({"name": "n" * 257}, 400),
        ({"name": "", "metadata": "nameless"}, 200),
        ({"room_preset": "no such preset"}, 400),
    ],
    ids=["largest metadata", "too large metadata", "too long name", "no name", "unknown preset"],
)
async def test_what_is_too_large_or_unknown_is_an_invalid_argument(
    twirp: Twirp, room: str, body: dict[str, Any], status: int
) -> None:
    answer = await twirp("RoomService/CreateRoom", {"name": room, **body})
    assert answer.status == status
    if status == 400:
        assert answer.json["code"] == "invalid_argument"


@pytest.mark.parametrize("method", ["RoomService/DeleteRoom", "RoomService/UpdateRoomMetadata"])
async def test_an_unknown_room_is_not_found(twirp: Twirp, room: str, method: str) -> None:
    answer = await twirp(method, {"room": room, "metadata": "m"})
    assert answer.error == (404, "not_found")


async def test_too_much_metadata_of_a_room_is_refused_and_changes_nothing(twirp: Twirp, room: str) -> None:
    await twirp("RoomService/CreateRoom", {"name": room, "metadata": "old"})
    answer = await twirp("RoomService/UpdateRoomMetadata", {"room": room, "metadata": "x" * (512 * 1024 + 1)})
    assert answer.error == (400, "invalid_argument")
    listed = await twirp("RoomService/ListRooms", {"names": [room]})
    assert listed.json["rooms"][0]["metadata"] == "old"
