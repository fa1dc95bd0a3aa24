"""The room API: which grant opens which method, and what is not here."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from livekit.protocol import agent_dispatch, connector, egress, ingress, models, room, sip
from starlette.applications import Starlette
from starlette.routing import Mount

from roomkeeper.sfu.api import services
from roomkeeper.sfu.dispatch import Dispatches
from roomkeeper.sfu.limits import Limits
from roomkeeper.sfu.live import RpcFailed
from roomkeeper.sfu.publishing import NoSuchTrack
from roomkeeper.sfu.room import NoSuchParticipant
from roomkeeper.sfu.rooms import NoSuchRoom, TooManyRooms
from roomkeeper.sfu.twirp import Twirp
from roomkeeper.sfu.workers import Workers
from roomkeeper.wire import tokens
from roomkeeper.wire.tokens import Claims, SIPGrants, VideoGrants
from tests.unit.sfu.serving import KEYS, serving

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

NOW = 1_800_000_000.0
ADMIN = Claims(video=VideoGrants(room_admin=True, room="r"))
CREATE = Claims(video=VideoGrants(room_create=True))
LIST = Claims(video=VideoGrants(room_list=True))
MOVE = Claims(video=VideoGrants(room_admin=True, room="r", destination_room="d"))

GRANTS = {
    "RoomService": {
        **dict.fromkeys(("CreateRoom", "DeleteRoom"), CREATE),
        "ListRooms": LIST,
        **dict.fromkeys(("ListParticipants", "GetParticipant", "RemoveParticipant", "MutePublishedTrack"), ADMIN),
        **dict.fromkeys(("UpdateParticipant", "UpdateSubscriptions", "SendData", "UpdateRoomMetadata"), ADMIN),
        **dict.fromkeys(("ForwardParticipant", "MoveParticipant"), MOVE),
        "PerformRpc": ADMIN,
    },
    "AgentDispatchService": dict.fromkeys(("CreateDispatch", "DeleteDispatch", "ListDispatch"), ADMIN),
}
METHODS = [(f"{service}/{name}", claims) for service, methods in GRANTS.items() for name, claims in methods.items()]

RECORD = Claims(video=VideoGrants(room_record=True))
INGRESS = Claims(video=VideoGrants(ingress_admin=True))
TRUNKS = Claims(sip=SIPGrants(admin=True))
CALLS = Claims(sip=SIPGrants(call=True))
TRANSFERS = Claims(sip=SIPGrants(call=True), video=VideoGrants(room_admin=True, room="r"))


class Host:
    """Rooms of one room `r` with one participant `ada`; what the API must pass on is written down."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.fails: Exception | None = None

    def _note(self, *call: object) -> None:
        self.calls.append(call)
        if self.fails is not None:
            raise self.fails

    def create(self, request: room.CreateRoomRequest) -> models.Room:
        self._note("create", request.name)
        return models.Room(name=request.name)

    def delete(self, name: str) -> None:
        self._note("delete", name)

    def list(self, names: Sequence[str]) -> list[models.Room]:
        return [models.Room(name="r")] if not names or "r" in names else []

    def participants(self, name: str) -> builtins.list[models.ParticipantInfo]:
        return [models.ParticipantInfo(identity="ada")] if name == "r" else []

    def participant(self, name: str, identity: str) -> models.ParticipantInfo:
        if name != "r":
            raise NoSuchRoom
        if identity != "ada":
            raise NoSuchParticipant
        return models.ParticipantInfo(identity=identity)

    def remove(self, name: str, identity: str) -> None:
        self._note("remove", name, identity)

    def mute(self, name: str, identity: str, track_sid: str, *, muted: bool) -> models.TrackInfo:
        self._note("mute", name, identity, track_sid, muted)
        return models.TrackInfo(sid=track_sid, muted=muted)

    def update_participant(self, request: room.UpdateParticipantRequest) -> models.ParticipantInfo:
        self._note("update", request.identity)
        return models.ParticipantInfo(identity=request.identity)

    def update_subscriptions(self, request: room.UpdateSubscriptionsRequest) -> None:
        self._note("subscribe", request.identity)

    def send_data(self, request: room.SendDataRequest) -> None:
        self._note("send", request.data)

    def update_room_metadata(self, name: str, metadata: str) -> models.Room:
        self._note("metadata", name, metadata)
        return models.Room(name=name, metadata=metadata)

    async def perform_rpc(self, request: room.PerformRpcRequest) -> room.PerformRpcResponse:
        self._note("rpc", request.method)
        return room.PerformRpcResponse(payload="done")


@asynccontextmanager
async def api_at(
    *, strict: bool = False, auto_create: bool = True, limits: Limits | None = None
) -> AsyncIterator[tuple[Host, Callable[[str, dict[str, Any], Claims | None], Awaitable[tuple[int, dict[str, Any]]]]]]:
    host = Host()
    dispatches = Dispatches(Workers(keys=KEYS, server_info=models.ServerInfo()), host, limits=limits)
    dispatches.room_opened(models.Room(name="r"), [])
    offered = services(host, dispatches, limits=limits, auto_create=auto_create, strict=strict)
    app = Starlette(routes=[Mount("/twirp", Twirp(offered, keys=KEYS, clock=lambda: NOW))])
    async with serving(app) as address, aiohttp.ClientSession(f"http://{address}") as session:

        async def call(method: str, body: dict[str, Any], claims: Claims | None) -> tuple[int, dict[str, Any]]:
            headers = {}
            if claims is not None:
                owned = replace(claims, api_key="other")
                headers["Authorization"] = f"Bearer {tokens.mint(owned, secret=KEYS['other'], now=NOW)}"
            async with session.post(f"/twirp/livekit.{method}", json=body, headers=headers) as response:
                return response.status, await response.json()

        try:
            yield host, call
        finally:
            await dispatches.close()


def test_the_table_of_grants_holds_every_method() -> None:
    for file in (room, agent_dispatch):
        for service in file.DESCRIPTOR.services_by_name.values():
            assert set(GRANTS[service.name]) == {method.name for method in service.methods}


@pytest.mark.parametrize(("method", "claims"), METHODS, ids=[method for method, _ in METHODS])
async def test_each_method_wants_its_grant_and_its_room(method: str, claims: Claims) -> None:
    body = {"room": "r", "name": "r", "identity": "ada", "destination_identity": "ada", "destination_room": "d"}
    wrong = [None, Claims(), *(each for each in (ADMIN, CREATE, LIST) if each != claims and claims is not MOVE)]
    async with api_at() as (host, call):
        for refused in wrong:
            status, answer = await call(method, body, refused)
            assert (status, answer["code"], answer["msg"]) == (401, "unauthenticated", "permissions denied")
        if claims in (ADMIN, MOVE):
            status, _ = await call(method, body | {"room": "other"}, claims)
            assert status == 401
        assert host.calls == []
        status, _ = await call(method, body, claims)
        assert status != 401


async def test_the_rooms_are_asked_for_what_was_asked() -> None:
    async with api_at() as (host, call):
        assert (await call("RoomService/CreateRoom", {"name": "n"}, CREATE))[1]["name"] == "n"
        assert await call("RoomService/DeleteRoom", {"room": "n"}, CREATE) == (200, {})
        assert (await call("RoomService/ListRooms", {"names": ["r"]}, LIST))[1]["rooms"][0]["name"] == "r"
        people = await call("RoomService/ListParticipants", {"room": "r"}, ADMIN)
        assert people[1]["participants"][0]["identity"] == "ada"
        ada = {"room": "r", "identity": "ada"}
        assert (await call("RoomService/GetParticipant", ada, ADMIN))[1]["identity"] == "ada"
        assert await call("RoomService/RemoveParticipant", ada, ADMIN) == (200, {})
        muted = await call("RoomService/MutePublishedTrack", ada | {"track_sid": "TR_1", "muted": True}, ADMIN)
        assert muted[1]["track"]["muted"] is True
        assert (await call("RoomService/UpdateParticipant", ada, ADMIN))[0] == 200
        assert await call("RoomService/UpdateSubscriptions", ada, ADMIN) == (200, {})
        assert await call("RoomService/SendData", {"room": "r", "data": "aGk="}, ADMIN) == (200, {})
        told = await call("RoomService/UpdateRoomMetadata", {"room": "r", "metadata": "m"}, ADMIN)
        assert told[1]["metadata"] == "m"
        rpc = {"room": "r", "destination_identity": "ada", "method": "hello"}
        assert await call("RoomService/PerformRpc", rpc, ADMIN) == (200, {"payload": "done"})
        assert host.calls == [
            ("create", "n"),
            ("delete", "n"),
            ("remove", "r", "ada"),
            ("mute", "r", "ada", "TR_1", True),
            ("update", "ada"),
            ("subscribe", "ada"),
            ("send", b"hi"),
            ("metadata", "r", "m"),
            ("rpc", "hello"),
        ]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NoSuchRoom(), 404, "not_found"),
        (NoSuchParticipant(), 404, "not_found"),
        (NoSuchTrack(), 404, "not_found"),
        (TooManyRooms(), 429, "resource_exhausted"),
        (RpcFailed(1400, "Method not supported"), 400, "invalid_argument"),
        (ZeroDivisionError(), 500, "internal"),
    ],
)
async def test_what_the_rooms_refuse_is_said_in_the_codes_of_twirp(error: Exception, status: int, code: str) -> None:
    rpc = {"room": "r", "destination_identity": "ada", "method": "hello"}
    async with api_at() as (host, call):
        host.fails = error
        answered, answer = await call("RoomService/PerformRpc", rpc, ADMIN)
        assert (answered, answer["code"]) == (status, code)
        if isinstance(error, RpcFailed):
            assert answer["msg"] == "RpcError 1400: Method not supported"


@pytest.mark.parametrize(
    ("method", "body", "claims"),
    [
        ("RoomService/CreateRoom", {"name": "12345"}, CREATE),
        ("RoomService/CreateRoom", {"metadata": "12345"}, CREATE),
        ("RoomService/CreateRoom", {"agents": [{"metadata": "12345"}]}, CREATE),
        ("RoomService/CreateRoom", {"agents": [{"attributes": {"123": "45"}}]}, CREATE),
        ("RoomService/CreateRoom", {"agents": [{"deployment": "a_b"}]}, CREATE),
        ("RoomService/CreateRoom", {"room_preset": "none"}, CREATE),
        ("RoomService/UpdateParticipant", {"room": "r", "identity": "ada", "name": "12345"}, ADMIN),
        ("RoomService/UpdateParticipant", {"room": "r", "identity": "ada", "metadata": "12345"}, ADMIN),
        ("RoomService/UpdateParticipant", {"room": "r", "identity": "ada", "attributes": {"123": "45"}}, ADMIN),
        ("RoomService/UpdateRoomMetadata", {"room": "r", "metadata": "12345"}, ADMIN),
        ("RoomService/SendData", {"room": "r", "data": "MTIzNDU="}, ADMIN),
        ("RoomService/SendData", {"room": "r", "nonce": "aGk="}, ADMIN),
        ("RoomService/PerformRpc", {"room": "r"}, ADMIN),
        ("RoomService/PerformRpc", {"room": "r", "destination_identity": "ada", "payload": "x" * 15_361}, ADMIN),
        ("RoomService/MoveParticipant", {"room": "r", "destination_room": "r"}, None),
        ("AgentDispatchService/CreateDispatch", {"room": "r", "metadata": "12345"}, ADMIN),
        ("AgentDispatchService/CreateDispatch", {"room": "r", "deployment": "a_b"}, ADMIN),
    ],
)
async def test_what_is_too_large_or_impossible_is_an_invalid_argument_and_changes_nothing(
    method: str, body: dict[str, Any], claims: Claims | None
) -> None:
    limits = Limits(name_bytes=4, metadata_bytes=4, attributes_bytes=4, data_packet_bytes=4)
    same = Claims(video=VideoGrants(room_admin=True, room="r", destination_room="r"))
    async with api_at(limits=limits) as (host, call):
        status, answer = await call(method, body, claims or same)
        assert (status, answer["code"]) == (400, "invalid_argument")
        assert host.calls == []


async def test_a_track_is_not_unmuted_from_outside() -> None:
    body = {"room": "r", "identity": "ada", "track_sid": "TR_1", "muted": False}
    async with api_at() as (host, call):
        status, answer = await call("RoomService/MutePublishedTrack", body, ADMIN)
        assert (status, answer["code"], answer["msg"]) == (412, "failed_precondition", "remote unmute not enabled")
        assert host.calls == []


async def test_a_participant_is_neither_forwarded_nor_moved() -> None:
    async with api_at() as (_, call):
        for method in ("ForwardParticipant", "MoveParticipant"):
            status, answer = await call(f"RoomService/{method}", {"room": "r", "destination_room": "d"}, MOVE)
            assert (status, answer["code"]) == (501, "unimplemented")


async def test_nobody_answers_for_an_unknown_room_or_participant_and_the_cause_is_told() -> None:
    elsewhere = Claims(video=VideoGrants(room_admin=True, room="other"))
    async with api_at(auto_create=False) as (_, call):
        for method in (
            "RoomService/SendData",
            "AgentDispatchService/ListDispatch",
            "AgentDispatchService/CreateDispatch",
        ):
            status, answer = await call(method, {"room": "other"}, elsewhere)
            assert (status, answer["code"], answer["msg"]) == (503, "unavailable", "no response from servers")
            assert answer["meta"] == {"cause": "requested room does not exist"}
        status, answer = await call("RoomService/UpdateSubscriptions", {"room": "r", "identity": "bob"}, ADMIN)
        assert (status, answer["meta"]) == (503, {"cause": "participant does not exist"})


async def test_a_dispatch_is_made_listed_and_deleted() -> None:
    wanted = {"room": "r", "agent_name": "a", "metadata": "m", "attributes": {"k": "v"}}
    async with api_at() as (host, call):
        status, made = await call("AgentDispatchService/CreateDispatch", wanted, ADMIN)
        assert status == 200
        assert host.calls == [("create", "r")]  # which returns the live room unchanged
        assert (made["agent_name"], made["metadata"], made["attributes"]) == ("a", "m", {"k": "v"})
        _, listed = await call("AgentDispatchService/ListDispatch", {"room": "r"}, ADMIN)
        assert [each["agent_name"] for each in listed["agent_dispatches"]] == ["", "a"]
        one = {"room": "r", "dispatch_id": made["id"]}
        _, listed = await call("AgentDispatchService/ListDispatch", one, ADMIN)
        assert [each["id"] for each in listed["agent_dispatches"]] == [made["id"]]
        assert (await call("AgentDispatchService/DeleteDispatch", one, ADMIN))[0] == 200
        status, answer = await call("AgentDispatchService/DeleteDispatch", one, ADMIN)
        assert (status, answer["msg"]) == (404, "dispatch ID not found")


@pytest.mark.parametrize("strict", [False, True])
async def test_what_is_not_here_says_so_to_those_who_may_ask(*, strict: bool) -> None:
    absent = [
        (egress.DESCRIPTOR.services_by_name["Egress"], RECORD),
        (ingress.DESCRIPTOR.services_by_name["Ingress"], INGRESS),
        (sip.DESCRIPTOR.services_by_name["SIP"], TRUNKS),
    ]
    if not strict:
        absent.append((connector.DESCRIPTOR.services_by_name["Connector"], ADMIN))
    async with api_at(strict=strict) as (_, call):
        for service, usual in absent:
            for method in service.methods:
                claims = {"CreateSIPParticipant": CALLS, "TransferSIPParticipant": TRANSFERS}.get(method.name, usual)
                path = f"{service.name}/{method.name}"
                assert (await call(path, {}, None))[0] == 401
                status, answer = await call(path, {}, claims)
                assert (status, answer["code"]) == ((500, "internal") if strict else (501, "unimplemented"))
                assert "not here" in answer["msg"]
        assert (await call("SIP/TransferSIPParticipant", {}, CALLS))[0] == 401


async def test_a_room_to_be_recorded_is_refused_and_by_strict_made_unrecorded() -> None:
    body = {"name": "n", "egress": {"room": {}}}
    async with api_at() as (host, call):
        assert (await call("RoomService/CreateRoom", body, CREATE))[0] == 501
        assert host.calls == []
    async with api_at(strict=True) as (host, call):
        assert (await call("RoomService/CreateRoom", body, CREATE))[0] == 200
