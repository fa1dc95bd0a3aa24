"""Data packets on their way through a room (facts, livekit-server C: "DataPacket"). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit.protocol import models

from roomkeeper.sfu.effects import Deliver

if TYPE_CHECKING:
    from roomkeeper.sfu.participant import Participant
    from roomkeeper.sfu.room import Room

SPOKEN_FOR_OTHERS = frozenset({"chat_message", "stream_header", "stream_chunk", "stream_trailer"})
"""Contents that an agent may send in another participant's name."""
SERVERS_OWN = frozenset({"speaker", "metrics"})
"""Contents that no client may send to others."""


def forward(room: Room, sid: str, packet: models.DataPacket, *, reliable: bool) -> list[Deliver]:
    """Forwards a client's packet, after writing over it who sent it.

    Args:
        room: Where it was sent.
        sid: The sender.
        packet: Changed in place.
        reliable: Whether it came, and goes on, by the reliable channel.
    """
    sender = room.participants.get(sid)
    if sender is None or not sender.permission.can_publish_data:
        return []
    if reliable and packet.sequence:
        if packet.sequence <= sender.last_sequence:
            return []
        sender.last_sequence = packet.sequence
    content = packet.WhichOneof("value") or ""
    is_agent = sender.permission.agent or sender.joiner.kind == models.ParticipantInfo.AGENT
    if content in SERVERS_OWN or (content == "transcription" and not is_agent):
        return []
    _sign(packet, sender, keep_identity=is_agent and content in SPOKEN_FOR_OTHERS)
    packet.kind = models.DataPacket.RELIABLE if reliable else models.DataPacket.LOSSY
    return deliver(room, packet, reliable=reliable, sender=sid)


def _sign(packet: models.DataPacket, sender: Participant, *, keep_identity: bool) -> None:
    identity, sid = ("", "") if sender.hidden else (sender.identity, sender.sid)
    if not (keep_identity and packet.participant_identity):
        packet.participant_identity = identity
    packet.participant_sid = sid
    if packet.HasField("user"):
        packet.user.participant_identity = identity
        packet.user.participant_sid = sid


def deliver(room: Room, packet: models.DataPacket, *, reliable: bool, sender: str = "") -> list[Deliver]:
    """Sends a packet to its destinations, or to everybody but its sender."""
    identities = set(packet.destination_identities)
    sids: set[str] = set()
    if packet.HasField("user"):
        identities |= set(packet.user.destination_identities)
        sids = set(packet.user.destination_sids)
    chosen = [
        p.sid
        for p in room.present()
        if p.sid != sender and (not (identities or sids) or p.identity in identities or p.sid in sids)
    ]
    return [Deliver(tuple(chosen), packet, reliable)] if chosen else []
