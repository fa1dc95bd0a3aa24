"""The rooms as the room API and the dispatcher see them: by name and identity, in protobuf messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit.protocol import models, room

from roomkeeper.sfu import data, publishing
from roomkeeper.sfu.session import subscribed_sids

if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence

    from roomkeeper.sfu.rooms import Rooms

DEFAULT_RPC_TIMEOUT = 10.0
"""Seconds a participant has to answer an RPC that names no time (facts, livekit-server D)."""
NONCES = 100
"""Nonces remembered a room, so that a repeated SendData arrives once."""


class RoomHost:
    """What outsiders may do with rooms.

    Every method raises `NoSuchRoom`, `NoSuchParticipant`, `NoSuchTrack` or `LimitExceeded` as its words say.
    """

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def create(self, request: room.CreateRoomRequest) -> models.Room:
        """Returns the live room of that name unchanged, or begins it as asked."""
        return self._rooms.open(request).room.describe()

    def delete(self, name: str) -> None:
        """Ends a room for everybody in it."""
        self._rooms.delete(name)

    def list(self, names: Sequence[str]) -> builtins.list[models.Room]:
        """Returns the live rooms, or those of them that are named."""
        return [live.room.describe() for live in self._rooms if not names or live.name in names]

    def participants(self, name: str) -> builtins.list[models.ParticipantInfo]:
        """Returns who is in a room; nobody if it is not live."""
        live = self._rooms.find(name)
        return [p.info() for p in live.room.participants.values()] if live is not None else []

    def participant(self, name: str, identity: str) -> models.ParticipantInfo:
        """Returns one participant."""
        return self._rooms.get(name).room.find(identity).info()

    def remove(self, name: str, identity: str) -> None:
        """Removes a participant; its token is not revoked."""
        live = self._rooms.get(name)
        live.leave(live.room.find(identity).sid, models.DisconnectReason.PARTICIPANT_REMOVED, tell=True)

    def mute(self, name: str, identity: str, track_sid: str, *, muted: bool) -> models.TrackInfo:
        """Mutes or unmutes a track; its publisher is told to."""
        live = self._rooms.get(name)
        info, effects = publishing.mute_by_api(live.room, identity, track_sid, muted=muted)
        live.apply(effects)
        return info

    def update_participant(self, request: room.UpdateParticipantRequest) -> models.ParticipantInfo:
        """Changes name, metadata, attributes or permissions."""
        live = self._rooms.get(request.room)
        info, effects = live.room.update_by_api(
            request.identity,
            name=request.name,
            metadata=request.metadata,
            attributes=dict(request.attributes),
            permission=request.permission if request.HasField("permission") else None,
        )
        live.apply(effects)
        return info

    def update_subscriptions(self, request: room.UpdateSubscriptionsRequest) -> None:
        """Subscribes a participant to tracks, or ends that."""
        live = self._rooms.get(request.room)
        sid = live.room.find(request.identity).sid
        live.apply(live.room.update_subscription(sid, subscribed_sids(request), subscribe=request.subscribe))

    def send_data(self, request: room.SendDataRequest) -> None:
        """Sends a data packet in the server's name; one with a known nonce was sent before."""
        live = self._rooms.get(request.room)
        if request.nonce:
            if request.nonce in live.nonces:
                return
            live.nonces[request.nonce] = None
            if len(live.nonces) > NONCES:
                del live.nonces[next(iter(live.nonces))]
        user = models.UserPacket(
            payload=request.data,
            destination_sids=request.destination_sids,
            destination_identities=request.destination_identities,
            topic=request.topic if request.HasField("topic") else None,
            nonce=request.nonce,
        )
        packet = models.DataPacket(kind=request.kind, destination_identities=request.destination_identities, user=user)
        live.apply(data.deliver(live.room, packet, reliable=request.kind == models.DataPacket.RELIABLE))

    def update_room_metadata(self, name: str, metadata: str) -> models.Room:
        """Sets a room's metadata; everybody in it is told at once."""
        self._rooms.limits.check_metadata(metadata)
        live = self._rooms.get(name)
        live.apply(live.room.update_metadata(metadata))
        return live.room.describe()

    async def perform_rpc(self, request: room.PerformRpcRequest) -> room.PerformRpcResponse:
        """Calls a method of a participant.

        Raises:
            RpcFailed: The participant refused, failed or did not answer in time.
        """
        live = self._rooms.get(request.room)
        timeout = request.response_timeout_ms / 1000 or DEFAULT_RPC_TIMEOUT
        payload = await live.perform_rpc(request.destination_identity, request.method, request.payload, timeout)
        return room.PerformRpcResponse(payload=payload)
