"""One participant of a room: what others see of it, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from livekit.protocol import models, rtc

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

Number = TypeVar("Number", bound=int)
Kind = models.ParticipantInfo.Kind
State = models.ParticipantInfo.State

DEPENDENT_KINDS = frozenset({Kind.AGENT, Kind.EGRESS})
"""Kinds that do not keep a room alive (facts, livekit-server A: "Dependent")."""

SOURCE_LETTERS = {
    models.TrackSource.CAMERA: "C",
    models.TrackSource.MICROPHONE: "M",
    models.TrackSource.SCREEN_SHARE: "S",
    models.TrackSource.SCREEN_SHARE_AUDIO: "s",
}


@dataclass(frozen=True, slots=True)
class Joiner:
    """Who wants to join, from a verified token and the client's own words."""

    identity: str
    name: str = ""
    kind: models.ParticipantInfo.Kind = Kind.STANDARD
    kind_details: tuple[models.ParticipantInfo.KindDetail, ...] = ()
    metadata: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    permission: models.ParticipantPermission = field(default_factory=models.ParticipantPermission)
    client: models.ClientInfo = field(default_factory=models.ClientInfo)
    auto_subscribe: bool = True
    token_digest: str = ""


@dataclass(slots=True)
class Track:
    """A published track. `live` once its section is negotiated: until then only the publisher knows it."""

    info: models.TrackInfo
    cid: str
    live: bool = False
    announced_subscribed: bool = False


@dataclass(slots=True)
class Participant:
    """A participant session, from join to leave.

    Attributes:
        joined_at: Unix time in seconds.
        wants: What the client said about single tracks: True subscribed, False unsubscribed.
        disabled: Tracks that the client receives no packets of for now.
        allowed: None if everybody may subscribe to its tracks, else identity → allowed tracks (None: all).
        last_sequence: The last reliable message number that came from this client.
    """

    sid: str
    joiner: Joiner
    joined_at: float
    state: models.ParticipantInfo.State = State.JOINING
    name: str = ""
    metadata: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    permission: models.ParticipantPermission = field(default_factory=models.ParticipantPermission)
    tracks: dict[str, Track] = field(default_factory=dict)
    queued: list[rtc.AddTrackRequest] = field(default_factory=list)
    version: int = 1
    was_active: bool = False
    has_published: bool = False
    wants: dict[str, bool] = field(default_factory=dict)
    disabled: set[str] = field(default_factory=set)
    subscribed: set[str] = field(default_factory=set)
    told_allowed: dict[str, bool] = field(default_factory=dict)
    allowed: dict[str, frozenset[str] | None] | None = None
    last_sequence: int = 0
    told_quality: dict[str, models.ConnectionQuality] = field(default_factory=dict)
    disconnect_reason: models.DisconnectReason = models.DisconnectReason.UNKNOWN_REASON

    @classmethod
    def join(cls, sid: str, joiner: Joiner, now: float) -> Participant:
        """Makes the participant that a joiner becomes."""
        participant = cls(sid=sid, joiner=joiner, joined_at=now, name=joiner.name, metadata=joiner.metadata)
        participant.attributes = dict(joiner.attributes)
        participant.permission.CopyFrom(joiner.permission)
        return participant

    @property
    def identity(self) -> str:
        """The identity in the room."""
        return self.joiner.identity

    @property
    def hidden(self) -> bool:
        """Whether others do not see it."""
        return self.permission.hidden

    @property
    def dependent(self) -> bool:
        """Whether it does not count for the room's life, limit and number."""
        return self.joiner.kind in DEPENDENT_KINDS or self.permission.agent or self.permission.recorder

    @property
    def present(self) -> bool:
        """Whether its signal connection has been answered."""
        return self.state in {State.JOINED, State.ACTIVE}

    @property
    def active(self) -> bool:
        """Whether its primary peer connection is up."""
        return self.state == State.ACTIVE

    def live_tracks(self) -> list[Track]:
        """Tracks that others may have."""
        return [track for track in self.tracks.values() if track.live]

    def admits(self, subscriber: Participant, track_sid: str) -> bool:
        """Whether the publisher's own permissions let the subscriber have the track."""
        if self.allowed is None or subscriber.permission.recorder:
            return True
        for key in (subscriber.identity, subscriber.sid):
            if key in self.allowed:
                tracks = self.allowed[key]
                return tracks is None or track_sid in tracks
        return False

    def may_publish(self, source: models.TrackSource) -> bool:
        """Whether its grants let it publish from this source."""
        sources = self.permission.can_publish_sources
        return self.permission.can_publish and (not sources or source in sources)

    def touch(self) -> None:
        """Counts a change, so that clients can drop older states."""
        self.version += 1

    def info(self) -> models.ParticipantInfo:
        """Returns what others see."""
        return models.ParticipantInfo(
            sid=self.sid,
            identity=self.identity,
            state=self.state,
            tracks=[track.info for track in self.live_tracks()],
            metadata=self.metadata,
            joined_at=int(self.joined_at),
            joined_at_ms=int(self.joined_at * 1000),
            name=self.name,
            version=self.version,
            permission=self.permission,
            is_publisher=bool(self.live_tracks()),
            kind=self.joiner.kind,
            kind_details=list(self.joiner.kind_details),
            attributes=self.attributes,
            disconnect_reason=self.disconnect_reason,
            client_protocol=self.joiner.client.client_protocol,
            capabilities=known(self.joiner.client.capabilities, models.ClientInfo.Capability.values()),
        )


def known(numbers: Iterable[Number], meant: Collection[int]) -> list[Number]:
    """Returns each number once that means something: everybody in the room is told them."""
    return [number for number in dict.fromkeys(numbers) if number in meant]


def track_info(sid: str, request: rtc.AddTrackRequest) -> models.TrackInfo:
    """Returns the track that a request to publish describes."""
    features = known(request.audio_features, models.AudioTrackFeature.values())
    if request.stereo and models.AudioTrackFeature.TF_STEREO not in features:
        features.append(models.AudioTrackFeature.TF_STEREO)
    if request.disable_dtx and models.AudioTrackFeature.TF_NO_DTX not in features:
        features.append(models.AudioTrackFeature.TF_NO_DTX)
    screen = request.source in {models.TrackSource.SCREEN_SHARE, models.TrackSource.SCREEN_SHARE_AUDIO}
    return models.TrackInfo(
        sid=sid,
        type=request.type,
        name=request.name,
        muted=request.muted,
        disable_dtx=request.disable_dtx,
        source=request.source,
        mime_type="audio/opus",
        stereo=request.stereo,
        disable_red=request.disable_red,
        encryption=request.encryption,
        stream=request.stream or ("screen" if screen else "camera"),
        audio_features=features,
    )
