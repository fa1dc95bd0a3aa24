"""What an access token claims: typed values, and their JSON spelling in both directions.

Source: livekit/protocol `auth/grants.go`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from google.protobuf import json_format
from livekit.protocol import models, room

from roomkeeper.errors import InvalidToken

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: Final = cast("dict[str, models.ParticipantInfo.Kind]", dict(models.ParticipantInfo.Kind.items()))
_KIND_DETAILS: Final = cast(
    "dict[str, models.ParticipantInfo.KindDetail]", dict(models.ParticipantInfo.KindDetail.items())
)
_SOURCES: Final = cast("dict[str, models.TrackSource]", dict(models.TrackSource.items()))
_LATEST: Final = 2**53
_FALSE_UNLESS_SET: Final = (
    *("room_create", "room_list", "room_record", "room_admin", "room_join", "ingress_admin"),
    *("hidden", "recorder", "agent"),
    *("can_update_own_metadata", "can_subscribe_metrics", "can_manage_agent_session"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoGrants:
    """What a token allows in rooms, with LiveKit's defaults filled in."""

    room_create: bool = False
    room_list: bool = False
    room_record: bool = False
    room_admin: bool = False
    room_join: bool = False
    room: str = ""
    destination_room: str = ""
    can_publish: bool = True
    can_subscribe: bool = True
    can_publish_data: bool = True
    can_publish_sources: tuple[models.TrackSource, ...] = ()
    """Narrows `can_publish` unless empty."""
    can_update_own_metadata: bool = False
    can_subscribe_metrics: bool = False
    can_manage_agent_session: bool = False
    ingress_admin: bool = False
    hidden: bool = False
    recorder: bool = False
    agent: bool = False

    def may_publish(self, source: models.TrackSource) -> bool:
        """Tell whether a track of this source may be published."""
        return self.can_publish and (not self.can_publish_sources or source in self.can_publish_sources)

    def permission(self) -> models.ParticipantPermission:
        """Return the same as the permission that participants see."""
        return models.ParticipantPermission(
            can_subscribe=self.can_subscribe,
            can_publish=self.can_publish,
            can_publish_data=self.can_publish_data,
            can_publish_sources=self.can_publish_sources,
            hidden=self.hidden,
            recorder=self.recorder,
            can_update_metadata=self.can_update_own_metadata,
            agent=self.agent,
            can_subscribe_metrics=self.can_subscribe_metrics,
            can_manage_agent_session=self.can_manage_agent_session,
        )

    def with_permission(self, permission: models.ParticipantPermission) -> VideoGrants:
        """Return these grants with everything a permission speaks of replaced by it."""
        return replace(
            self,
            can_subscribe=permission.can_subscribe,
            can_publish=permission.can_publish,
            can_publish_data=permission.can_publish_data,
            can_publish_sources=tuple(permission.can_publish_sources),
            hidden=permission.hidden,
            recorder=permission.recorder,
            can_update_own_metadata=permission.can_update_metadata,
            agent=permission.agent,
            can_subscribe_metrics=permission.can_subscribe_metrics,
            can_manage_agent_session=permission.can_manage_agent_session,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SIPGrants:
    """What a token allows on the telephone side."""

    admin: bool = False
    call: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentGrants:
    """What a token allows on agents in the cloud; registering a worker is `VideoGrants.agent`."""

    admin: bool = False
    simulation_admin: bool = False
    database_admin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """A token that was verified, or one to be minted.

    `issued_at` and `expires_at` are unix seconds; `digest` tells two tokens apart without being one.
    """

    api_key: str = ""
    identity: str = ""
    name: str = ""
    kind: models.ParticipantInfo.Kind = models.ParticipantInfo.STANDARD
    kind_details: tuple[models.ParticipantInfo.KindDetail, ...] = ()
    video: VideoGrants = VideoGrants()
    sip: SIPGrants = SIPGrants()
    agent: AgentGrants = AgentGrants()
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    room_config: room.RoomConfiguration | None = None
    room_preset: str = ""
    sha256: str = ""
    issued_at: float | None = None
    expires_at: float = 0.0
    digest: str = ""

    @property
    def dependent(self) -> bool:
        """True for agents and recorders, which keep no room alive.

        Source: livekit-server `pkg/rtc/participant.go`, `IsDependent`.
        """
        by_kind = self.kind in (models.ParticipantInfo.AGENT, models.ParticipantInfo.EGRESS)
        return by_kind or self.video.agent or self.video.recorder

    def updated(
        self,
        *,
        name: str,
        metadata: str,
        attributes: Mapping[str, str],
        permission: models.ParticipantPermission,
    ) -> Claims:
        """Return these claims with what may have changed while the participant was in the room."""
        video = self.video.with_permission(permission)
        return replace(self, name=name, metadata=metadata, attributes=dict(attributes), video=video)


def claims_of(payload: dict[str, Any], *, digest: str, expires_at: float) -> Claims:
    """Read the JSON object of a verified token.

    Raises:
        InvalidToken: a claim has a wrong type.
    """
    attributes = _object(payload, "attributes")
    details = _texts(payload, "kindDetails")
    issued_at = seconds_of(payload, "iat")
    if issued_at is None:
        # Tokens made by livekit-api say `nbf` only; 0 there says nothing.
        issued_at = seconds_of(payload, "nbf") or None
    return Claims(
        api_key=_text(payload, "iss"),
        identity=_text(payload, "sub") or _text(payload, "jti"),
        name=_text(payload, "name"),
        kind=_KINDS.get(_text(payload, "kind").upper(), models.ParticipantInfo.STANDARD),
        kind_details=tuple(_KIND_DETAILS[name] for each in details if (name := each.upper()) in _KIND_DETAILS),
        video=_video(_object(payload, "video")),
        sip=_grants(SIPGrants, _object(payload, "sip")),
        agent=_grants(AgentGrants, _object(payload, "agent")),
        metadata=_text(payload, "metadata"),
        attributes={_utf8(name): _text(attributes, name) for name in attributes},
        room_config=_room_config(_object(payload, "roomConfig")),
        room_preset=_text(payload, "roomPreset"),
        sha256=_text(payload, "sha256"),
        issued_at=issued_at,
        expires_at=expires_at,
        digest=digest,
    )


def _video(claims: dict[str, Any]) -> VideoGrants:
    can_publish = _flag(claims, "canPublish", default=True)
    return VideoGrants(
        room=_text(claims, "room"),
        destination_room=_text(claims, "destinationRoom"),
        can_publish=can_publish,
        can_subscribe=_flag(claims, "canSubscribe", default=True),
        can_publish_data=_flag(claims, "canPublishData", default=can_publish),
        can_publish_sources=tuple(
            # An unknown source stays in the list: it narrows, it never widens.
            _SOURCES.get(name.upper(), models.TrackSource.UNKNOWN)
            for name in _texts(claims, "canPublishSources")
        ),
        **{name: _flag(claims, _camel(name)) for name in _FALSE_UNLESS_SET},
    )


_Grants = TypeVar("_Grants", SIPGrants, AgentGrants)


def _grants(kind: type[_Grants], claims: dict[str, Any]) -> _Grants:
    return kind(**{each.name: _flag(claims, _camel(each.name)) for each in fields(kind)})


def _room_config(claims: dict[str, Any]) -> room.RoomConfiguration | None:
    if not claims:
        return None
    try:
        return json_format.ParseDict(claims, room.RoomConfiguration(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, RecursionError):
        raise InvalidToken(detail="Its claim `roomConfig` is no room configuration.") from None


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong_type(name, "a string")
    return _utf8(value)


def _utf8(text: str) -> str:
    """Refuse lone surrogates: JSON can spell them, protobuf cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidToken(detail="It holds text that is not Unicode.") from None
    return text


def _texts(claims: dict[str, Any], name: str) -> list[str]:
    value = claims.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _wrong_type(name, "a list of strings")
    return value


def _flag(claims: dict[str, Any], name: str, *, default: bool = False) -> bool:
    value = claims.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _wrong_type(name, "true or false")
    return value


def _object(claims: dict[str, Any], name: str) -> dict[str, Any]:
    value = claims.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong_type(name, "an object")
    return value


def seconds_of(payload: dict[str, Any], name: str) -> float | None:
    """Read a time in unix seconds, or None if it is not claimed.

    Raises:
        InvalidToken: it is not a number, negative, infinite or absurd.
    """
    value = payload.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LATEST:
        raise _wrong_type(name, "unix seconds")
    return float(value)


def _wrong_type(name: str, wanted: str) -> InvalidToken:
    return InvalidToken(detail=f"Its claim `{name}` is not {wanted}.")


def payload_of(claims: Claims) -> dict[str, Any]:
    """Return the JSON object of everything claimed but the times; what is empty is left out."""
    standard = claims.kind == models.ParticipantInfo.STANDARD
    payload: dict[str, Any] = {
        "iss": claims.api_key,
        "sub": claims.identity,
        "name": claims.name,
        "kind": "" if standard else models.ParticipantInfo.Kind.Name(claims.kind).lower(),
        "kindDetails": [models.ParticipantInfo.KindDetail.Name(detail).lower() for detail in claims.kind_details],
        "video": _video_payload(claims.video),
        "sip": _grants_payload(claims.sip),
        "agent": _grants_payload(claims.agent),
        "metadata": claims.metadata,
        "attributes": dict(claims.attributes),
        "roomConfig": json_format.MessageToDict(claims.room_config) if claims.room_config is not None else None,
        "roomPreset": claims.room_preset,
        "sha256": claims.sha256,
    }
    return {name: value for name, value in payload.items() if value not in ("", None, [], {})}


def _video_payload(grants: VideoGrants) -> dict[str, Any]:
    payload = _grants_payload(grants)
    # Their default is true, so that false must be said; the others are said only when set.
    payload |= {
        "canPublish": grants.can_publish,
        "canSubscribe": grants.can_subscribe,
        "canPublishData": grants.can_publish_data,
    }
    if grants.can_publish_sources:
        payload["canPublishSources"] = [
            models.TrackSource.Name(source).lower() for source in grants.can_publish_sources
        ]
    return {} if grants == VideoGrants() else payload


def _grants_payload(grants: VideoGrants | SIPGrants | AgentGrants) -> dict[str, Any]:
    return {_camel(each.name): value for each in fields(grants) if (value := getattr(grants, each.name))}


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)
