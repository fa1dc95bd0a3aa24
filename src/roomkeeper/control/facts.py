"""LiveKit's messages as the core's events. Pure.

The core has its own words for kinds and keeps the raw ones for reasons; what LiveKit adds tomorrow is read as the most
ordinary kind, and its raw name stays in the journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit.protocol import models

from roomkeeper.lifecycle.events import (
    EgressEnded,
    EgressStarted,
    ParticipantAborted,
    ParticipantJoined,
    ParticipantLeft,
    RoomFinished,
    RoomSeen,
    RoomStarted,
    Seen,
)
from roomkeeper.lifecycle.vocabulary import ParticipantKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from livekit.protocol.webhook import WebhookEvent

    from roomkeeper.lifecycle.events import RoomFact

AGENT_NAME = "lk.agent_name"
ON_BEHALF = "lk.publish_on_behalf"
CALL, CALL_STATUS = "sip.callStatus", "sip.callStatusCode"
"""Attributes that LiveKit writes on agents, avatars and calls; the code of RFC 3261 only in some of its versions."""
REFERRED = "roomkeeper.referred"
"""Attribute that whoever transfers a call by REFER may set on the caller before: LiveKit itself tells a REFER from a
BYE by nothing, both leave with CLIENT_INITIATED."""
CALL_PREFIX = "sip."
MOST_SHOWN, LONGEST_SHOWN = 32, 256
"""Attributes of a call that are kept, and characters of each; headers of calls are somebody else's to fill."""
UNANSWERED = frozenset({"dialing", "ringing"})
CANCELLED = 487
"""RFC 3261, 21.4.25: ended before it was answered."""

_KINDS = {
    models.ParticipantInfo.STANDARD: ParticipantKind.STANDARD,
    models.ParticipantInfo.INGRESS: ParticipantKind.INGRESS,
    models.ParticipantInfo.EGRESS: ParticipantKind.EGRESS,
    models.ParticipantInfo.SIP: ParticipantKind.SIP,
    models.ParticipantInfo.AGENT: ParticipantKind.AGENT,
    models.ParticipantInfo.CONNECTOR: ParticipantKind.CONNECTOR,
    models.ParticipantInfo.BRIDGE: ParticipantKind.BRIDGE,
}


def kind_of(participant: models.ParticipantInfo) -> ParticipantKind:
    """Return the kind of a participant."""
    return _KINDS.get(participant.kind, ParticipantKind.STANDARD)


def raw_reason(participant: models.ParticipantInfo) -> str:
    """Return the name of the DisconnectReason; a number that has no name yet is kept as it is."""
    number = participant.disconnect_reason
    names = {value: name for name, value in models.DisconnectReason.items()}
    return names.get(number, f"DISCONNECT_REASON_{int(number)}")


def fact_of(event: WebhookEvent) -> RoomFact | None:
    """Read a webhook; None for one that tells nothing about a session (tracks, ingress)."""
    person, room_sid, told_by = event.participant, event.room.sid, f"webhook {event.id}"
    match event.event:
        case "room_started":
            return RoomStarted(at=0, sid=room_sid, told_by=told_by)
        case "room_finished":
            return RoomFinished(at=0, sid=room_sid, told_by=told_by)
        case "participant_joined":
            return joined(person, room_sid, told_by)
        case "participant_left":
            return ParticipantLeft(
                at=0,
                sid=person.sid,
                identity=person.identity,
                kind=kind_of(person),
                room_sid=room_sid,
                raw=raw_reason(person),
                sip_status=_status(person),
                referred=person.attributes.get(REFERRED, "") not in {"", "false"},
                hidden=person.permission.hidden,
                told_by=told_by,
            )
        case "participant_connection_aborted":
            return ParticipantAborted(
                at=0,
                sid=person.sid,
                identity=person.identity,
                kind=kind_of(person),
                room_sid=room_sid,
                raw=raw_reason(person),
                sip_status=_status(person),
                told_by=told_by,
            )
        case "egress_started":
            return EgressStarted(at=0, egress=event.egress_info.egress_id, told_by=told_by)
        case "egress_ended":
            return EgressEnded(at=0, egress=event.egress_info.egress_id, told_by=told_by)
        case _:
            return None


def joined(person: models.ParticipantInfo, room_sid: str, told_by: str) -> ParticipantJoined:
    """Say that somebody is in a room.

    Args:
        person: Who.
        room_sid: The room's.
        told_by: Who says so.
    """
    return ParticipantJoined(
        at=0,
        sid=person.sid,
        identity=person.identity,
        kind=kind_of(person),
        room_sid=room_sid,
        agent_name=person.attributes.get(AGENT_NAME, ""),
        on_behalf=person.attributes.get(ON_BEHALF, ""),
        hidden=person.permission.hidden,
        told_by=told_by,
        attributes=shown(person),
    )


def shown(person: models.ParticipantInfo) -> dict[str, str]:
    """Choose the attributes that the report shows: what LiveKit says of a call."""
    chosen = sorted(name for name in person.attributes if name.startswith(CALL_PREFIX))[:MOST_SHOWN]
    return {name: person.attributes[name][:LONGEST_SHOWN] for name in chosen}


def recorders(people: Iterable[models.ParticipantInfo]) -> list[str]:
    """Return the recordings that are in a room: their participants go by the id of the egress."""
    return [
        person.identity
        for person in people
        if person.kind == models.ParticipantInfo.EGRESS and person.identity.startswith("EG_")
    ]


def room_of(event: WebhookEvent) -> str:
    """Return the name of the room a webhook is about; empty if it is about none."""
    return event.room.name or event.egress_info.room_name


def seen(sid: str | None, people: Iterable[models.ParticipantInfo]) -> RoomSeen:
    """Read a listing of a room.

    Args:
        sid: The room's; None if there is no such room.
        people: Everybody listed; who has not joined yet, or has left, is passed over.
    """
    there = (models.ParticipantInfo.JOINED, models.ParticipantInfo.ACTIVE)
    return RoomSeen(
        at=0,
        sid=sid,
        people=tuple(
            Seen(
                sid=person.sid,
                identity=person.identity,
                kind=kind_of(person),
                agent_name=person.attributes.get(AGENT_NAME, ""),
                on_behalf=person.attributes.get(ON_BEHALF, ""),
                hidden=person.permission.hidden,
                attributes=shown(person),
            )
            for person in people
            if person.state in there
        ),
    )


def _status(person: models.ParticipantInfo) -> int:
    text = person.attributes.get(CALL_STATUS, "")
    if text.isascii() and text.isdigit() and len(text) == len("200"):
        return int(text)
    # No code, but the call was never answered: who left, left it ringing.
    return CANCELLED if person.attributes.get(CALL, "") in UNANSWERED else 0
