"""What a room decides, for the shell to carry out: values without I/O.

`room.Room` returns a list of these from every method. They name participants by `PA_` sid, because an identity may
belong to two sessions for the moment in which one replaces the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from livekit.protocol import models, rtc

WebhookName = Literal[
    "room_started",
    "room_finished",
    "participant_joined",
    "participant_left",
    "participant_connection_aborted",
    "track_published",
    "track_unpublished",
]


@dataclass(frozen=True, slots=True)
class Signal:
    """Send a signal message to one participant."""

    sid: str
    message: rtc.SignalResponse


@dataclass(frozen=True, slots=True)
class SetSubscriptions:
    """Make these tracks the whole set that the participant receives (level-triggered)."""

    sid: str
    tracks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopTrack:
    """Take no more packets of a published track."""

    sid: str
    track_sid: str


@dataclass(frozen=True, slots=True)
class CloseSession:
    """End a participant's session after its last signal message: the participant has left the room."""

    sid: str
    reason: models.DisconnectReason


@dataclass(frozen=True, slots=True)
class Deliver:
    """Send a data packet to these participants."""

    sids: tuple[str, ...]
    packet: models.DataPacket
    reliable: bool


@dataclass(frozen=True, slots=True)
class Publicize:
    """Tell the webhooks."""

    event: WebhookName
    room: models.Room
    participant: models.ParticipantInfo | None = None
    track: models.TrackInfo | None = None


@dataclass(frozen=True, slots=True)
class OfferJobs:
    """Offer agent jobs for a participant who has joined or has published first (JT_PARTICIPANT, JT_PUBLISHER)."""

    participant: models.ParticipantInfo
    publisher: bool


@dataclass(frozen=True, slots=True)
class ForgetParticipant:
    """Tell the dispatcher that a participant has left."""

    participant: models.ParticipantInfo


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """Send a participant a token with its present claims."""

    sid: str


@dataclass(frozen=True, slots=True)
class CloseRoom:
    """The room is over; nothing follows."""

    reason: models.DisconnectReason


Effect = (
    Signal
    | SetSubscriptions
    | StopTrack
    | CloseSession
    | Deliver
    | Publicize
    | OfferJobs
    | ForgetParticipant
    | RefreshToken
    | CloseRoom
)
