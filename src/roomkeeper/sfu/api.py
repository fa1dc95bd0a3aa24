"""The room API: RoomService and AgentDispatchService over the rooms.

A token without the grant is `unauthenticated`, never `permission_denied`, as in the original.

Source: livekit-server `pkg/service/roomservice.go`, `pkg/service/agent_dispatch_service.go`, `pkg/service/auth.go`.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from livekit.protocol import agent_dispatch, models, room

from roomkeeper.sfu.absent import NOT_HERE, absent_services
from roomkeeper.sfu.dispatch import InvalidDispatch, UnknownDispatch, UnknownRoom
from roomkeeper.sfu.limits import LimitExceeded, Limits
from roomkeeper.sfu.live import RpcFailed
from roomkeeper.sfu.publishing import NoSuchTrack
from roomkeeper.sfu.room import NoSuchParticipant
from roomkeeper.sfu.rooms import NoSuchRoom, TooManyRooms
from roomkeeper.sfu.twirp import Service, TwirpError, deny
from roomkeeper.sfu.worker import deployment_problem

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterator, Sequence

    from roomkeeper.sfu.dispatch import Dispatches
    from roomkeeper.wire.claims import Claims

MAX_RPC_PAYLOAD: Final = 15 * 1024
"""Bytes that an RPC may carry."""

NONCE_BYTES: Final = 16

NO_ANSWER: Final = 3.0
"""Seconds after which the original says that nobody answers for an unknown room or participant."""


class ApiHost(Protocol):
    """The rooms, as the API sees them. Every method may raise what `_translated` names."""

    def create(self, request: room.CreateRoomRequest) -> models.Room:
        """Return the live room of that name unchanged, or begin it as asked."""
        ...

    def delete(self, name: str) -> None:
        """End a room for everybody in it."""

    def list(self, names: Sequence[str]) -> builtins.list[models.Room]:
        """Return the live rooms, or those of them that are named."""
        ...

    def participants(self, name: str) -> builtins.list[models.ParticipantInfo]:
        """Return who is in a room; nobody if it is not live."""
        ...

    def participant(self, name: str, identity: str) -> models.ParticipantInfo:
        """Return one participant."""
        ...

    def remove(self, name: str, identity: str) -> None:
        """Remove a participant."""

    def mute(self, name: str, identity: str, track_sid: str, *, muted: bool) -> models.TrackInfo:
        """Mute or unmute a track."""
        ...

    def update_participant(self, request: room.UpdateParticipantRequest) -> models.ParticipantInfo:
        """Change name, metadata, attributes or permissions."""
        ...

    def update_subscriptions(self, request: room.UpdateSubscriptionsRequest) -> None:
        """Subscribe a participant to tracks, or end that."""

    def send_data(self, request: room.SendDataRequest) -> None:
        """Send a data packet in the server's name."""

    def update_room_metadata(self, name: str, metadata: str) -> models.Room:
        """Set a room's metadata."""
        ...

    async def perform_rpc(self, request: room.PerformRpcRequest) -> room.PerformRpcResponse:
        """Call a method of a participant."""
        ...


class RoomService:
    """`livekit.RoomService`."""

    def __init__(self, host: ApiHost, *, limits: Limits | None = None, strict: bool = False) -> None:
        """Answer for these rooms.

        Args:
            host: the rooms.
            limits: sizes of names, metadata and attributes.
            strict: like the original, be slow to say that nobody answers.
        """
        self._host = host
        self._limits = limits or Limits()
        self._strict = strict

    def service(self) -> Service:
        """Return the service with its handlers."""
        return Service(
            room.DESCRIPTOR.services_by_name["RoomService"],
            {
                "CreateRoom": self._create_room,
                "ListRooms": self._list_rooms,
                "DeleteRoom": self._delete_room,
                "ListParticipants": self._list_participants,
                "GetParticipant": self._get_participant,
                "RemoveParticipant": self._remove_participant,
                "MutePublishedTrack": self._mute_published_track,
                "UpdateParticipant": self._update_participant,
                "UpdateSubscriptions": self._update_subscriptions,
                "SendData": self._send_data,
                "UpdateRoomMetadata": self._update_room_metadata,
                "ForwardParticipant": self._transfer,
                "MoveParticipant": self._transfer,
                "PerformRpc": self._perform_rpc,
            },
        )

    async def _create_room(self, claims: Claims | None, request: room.CreateRoomRequest) -> models.Room:
        if claims is None or not claims.video.room_create:
            deny()
        if request.HasField("egress") and not self._strict:
            # The original makes a room that is not recorded, and says nothing.
            raise TwirpError("unimplemented", NOT_HERE["livekit.Egress"])
        with _translated():
            self._limits.check_name(request.name, what="room name length")
            self._limits.check_metadata(request.metadata)
            for wanted in request.agents:
                self._limits.check_metadata(wanted.metadata)
                self._limits.check_attributes(wanted.attributes)
                if problem := deployment_problem(wanted.deployment):
                    raise InvalidDispatch(problem)
            if request.room_preset:
                raise TwirpError("invalid_argument", "unknown room configuration in create room request")
            return self._host.create(request)

    async def _list_rooms(self, claims: Claims | None, request: room.ListRoomsRequest) -> room.ListRoomsResponse:
        if claims is None or not claims.video.room_list:
            deny()
        return room.ListRoomsResponse(rooms=self._host.list(request.names))

    async def _delete_room(self, claims: Claims | None, request: room.DeleteRoomRequest) -> room.DeleteRoomResponse:
        if claims is None or not claims.video.room_create:
            deny()
        with _translated():
            self._host.delete(request.room)
        return room.DeleteRoomResponse()

    async def _list_participants(
        self, claims: Claims | None, request: room.ListParticipantsRequest
    ) -> room.ListParticipantsResponse:
        _require_admin(claims, request.room)
        return room.ListParticipantsResponse(participants=self._host.participants(request.room))

    async def _get_participant(
        self, claims: Claims | None, request: room.RoomParticipantIdentity
    ) -> models.ParticipantInfo:
        _require_admin(claims, request.room)
        return self._present(request.room, request.identity)

    async def _remove_participant(
        self, claims: Claims | None, request: room.RoomParticipantIdentity
    ) -> room.RemoveParticipantResponse:
        _require_admin(claims, request.room)
        self._present(request.room, request.identity)
        self._host.remove(request.room, request.identity)
        return room.RemoveParticipantResponse()

    async def _mute_published_track(
        self, claims: Claims | None, request: room.MuteRoomTrackRequest
    ) -> room.MuteRoomTrackResponse:
        _require_admin(claims, request.room)
        await self._answering(request.room, request.identity)
        if not request.muted:
            raise TwirpError("failed_precondition", "remote unmute not enabled")
        with _translated():
            track = self._host.mute(request.room, request.identity, request.track_sid, muted=True)
        return room.MuteRoomTrackResponse(track=track)

    async def _update_participant(
        self, claims: Claims | None, request: room.UpdateParticipantRequest
    ) -> models.ParticipantInfo:
        _require_admin(claims, request.room)
        with _translated():
            self._limits.check_name(request.name, what="name length")
            self._limits.check_metadata(request.metadata)
            self._limits.check_attributes(request.attributes)
            self._present(request.room, request.identity)
            return self._host.update_participant(request)

    async def _update_subscriptions(
        self, claims: Claims | None, request: room.UpdateSubscriptionsRequest
    ) -> room.UpdateSubscriptionsResponse:
        _require_admin(claims, request.room)
        await self._answering(request.room, request.identity)
        with _translated():
            self._host.update_subscriptions(request)
        return room.UpdateSubscriptionsResponse()

    async def _send_data(self, claims: Claims | None, request: room.SendDataRequest) -> room.SendDataResponse:
        _require_admin(claims, request.room)
        if len(request.nonce) not in (0, NONCE_BYTES):
            words = f"nonce should be {NONCE_BYTES}-bytes or not present, got: {len(request.nonce)} bytes"
            raise TwirpError("invalid_argument", words)
        if len(request.data) > self._limits.data_packet_bytes:
            raise TwirpError("invalid_argument", f"data exceeds {self._limits.data_packet_bytes} bytes")
        await self._answering(request.room)
        with _translated():
            self._host.send_data(request)
        return room.SendDataResponse()

    async def _update_room_metadata(
        self, claims: Claims | None, request: room.UpdateRoomMetadataRequest
    ) -> models.Room:
        _require_admin(claims, request.room)
        with _translated():
            self._limits.check_metadata(request.metadata)
            return self._host.update_room_metadata(request.room, request.metadata)

    async def _transfer(
        self, claims: Claims | None, request: room.ForwardParticipantRequest | room.MoveParticipantRequest
    ) -> NoReturn:
        """Refuse to forward or move a participant: the original, too, leaves that to the cloud."""
        _require_admin(claims, request.room)
        if claims is None or claims.video.destination_room != request.destination_room:
            deny()
        if request.room == request.destination_room:
            raise TwirpError("invalid_argument", "destination room cannot be the same as source room")
        raise TwirpError("unimplemented", "not implemented")

    async def _perform_rpc(self, claims: Claims | None, request: room.PerformRpcRequest) -> room.PerformRpcResponse:
        _require_admin(claims, request.room)
        if not request.destination_identity:
            raise TwirpError("invalid_argument", "destination identity is required")
        if len(request.payload.encode()) > MAX_RPC_PAYLOAD:
            raise TwirpError("invalid_argument", "RpcError 1402: Request payload too large")
        await self._answering(request.room, request.destination_identity)
        with _translated():
            return await self._host.perform_rpc(request)

    def _present(self, name: str, identity: str) -> models.ParticipantInfo:
        """Return a participant; whatever is unknown, the original says that the participant is."""
        try:
            return self._host.participant(name, identity)
        except (NoSuchRoom, NoSuchParticipant):
            raise TwirpError("not_found", "participant does not exist") from None

    async def _answering(self, name: str, identity: str | None = None) -> None:
        """Make sure that somebody answers for a room, or a participant; the original only notices that nobody does."""
        live = bool(self._host.list([name]))
        if live and (identity is None or any(each.identity == identity for each in self._host.participants(name))):
            return
        if self._strict:
            await asyncio.sleep(NO_ANSWER)
        raise _nobody_answers("participant does not exist" if live else "requested room does not exist")


class AgentDispatchService:
    """`livekit.AgentDispatchService`."""

    def __init__(self, dispatches: Dispatches, host: ApiHost, *, auto_create: bool, strict: bool = False) -> None:
        """Answer for these dispatches.

        Args:
            dispatches: the dispatches.
            host: the rooms.
            auto_create: whether a dispatch makes its room.
            strict: like the original, be slow to say that nobody answers.
        """
        self._dispatches = dispatches
        self._host = host
        self._auto_create = auto_create
        self._strict = strict

    def service(self) -> Service:
        """Return the service with its handlers."""
        return Service(
            agent_dispatch.DESCRIPTOR.services_by_name["AgentDispatchService"],
            {"CreateDispatch": self._create, "DeleteDispatch": self._delete, "ListDispatch": self._list},
        )

    async def _create(
        self, claims: Claims | None, request: agent_dispatch.CreateAgentDispatchRequest
    ) -> agent_dispatch.AgentDispatch:
        _require_admin(claims, request.room)
        with _translated():
            self._dispatches.check(request)
            if self._auto_create:
                self._host.create(room.CreateRoomRequest(name=request.room))
            await self._answering(request.room)
            return self._dispatches.create(request)

    async def _delete(
        self, claims: Claims | None, request: agent_dispatch.DeleteAgentDispatchRequest
    ) -> agent_dispatch.AgentDispatch:
        _require_admin(claims, request.room)
        await self._answering(request.room)
        with _translated():
            return self._dispatches.delete(request.room, request.dispatch_id)

    async def _list(
        self, claims: Claims | None, request: agent_dispatch.ListAgentDispatchRequest
    ) -> agent_dispatch.ListAgentDispatchResponse:
        _require_admin(claims, request.room)
        await self._answering(request.room)
        with _translated():
            found = self._dispatches.list(request.room, request.dispatch_id)
        return agent_dispatch.ListAgentDispatchResponse(agent_dispatches=found)

    async def _answering(self, name: str) -> None:
        if not self._host.list([name]):
            if self._strict:
                await asyncio.sleep(NO_ANSWER)
            raise _nobody_answers("requested room does not exist")


def services(
    host: ApiHost,
    dispatches: Dispatches,
    *,
    limits: Limits | None = None,
    auto_create: bool = True,
    strict: bool = False,
) -> list[Service]:
    """Return every service of the API, the absent ones too.

    Args:
        host: the rooms.
        dispatches: their agent dispatches.
        limits: sizes of names, metadata and attributes.
        auto_create: whether a dispatch makes its room.
        strict: behave like the original.
    """
    return [
        RoomService(host, limits=limits, strict=strict).service(),
        AgentDispatchService(dispatches, host, auto_create=auto_create, strict=strict).service(),
        *absent_services(strict=strict),
    ]


RPC_CODES: Final = {1400: "invalid_argument", 1402: "invalid_argument", 1501: "canceled", 1502: "canceled"}
"""Twirp's word for the failures of a call that LiveKit numbers (1400: unknown method, 1402: too long, timeouts)."""

# --- refusing --------------------------------------------------------------------------------------------------


def _nobody_answers(cause: str) -> TwirpError:
    """Return what the original says of an unknown room or participant, and the cause, which it does not know."""
    return TwirpError("unavailable", "no response from servers", meta={"cause": cause})


def _require_admin(claims: Claims | None, name: str) -> None:
    if claims is None or not claims.video.room_admin or claims.video.room != name:
        deny()


@contextmanager
def _translated() -> Iterator[None]:
    """Say in Twirp's codes what the rooms and dispatches refuse."""
    try:
        yield
    except (NoSuchRoom, UnknownRoom):
        raise TwirpError("not_found", "requested room does not exist") from None
    except NoSuchParticipant:
        raise TwirpError("not_found", "participant does not exist") from None
    except NoSuchTrack:
        raise TwirpError("not_found", "track is not found") from None
    except UnknownDispatch:
        raise TwirpError("not_found", "dispatch ID not found") from None
    except (InvalidDispatch, LimitExceeded) as refused:
        raise TwirpError("invalid_argument", refused.detail) from None
    except TooManyRooms as refused:
        raise TwirpError("resource_exhausted", str(refused)) from None
    except RpcFailed as failed:
        words = f"RpcError {failed.code}: {failed.words}" + (f": {failed.data}" if failed.data else "")
        raise TwirpError(RPC_CODES.get(failed.code, "internal"), words) from None
