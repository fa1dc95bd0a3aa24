"""Tracks come and go: announced, negotiated, muted, taken away. Pure, like the room they are in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit.protocol import models, rtc

from roomkeeper.errors import RoomkeeperError
from roomkeeper.sfu.effects import Effect, OfferJobs, Publicize, Signal
from roomkeeper.sfu.messages import Answer, request_answer
from roomkeeper.sfu.participant import SOURCE_LETTERS, Participant, Track, known, track_info

if TYPE_CHECKING:
    from collections.abc import Iterable

    from roomkeeper.sfu.limits import Limits
    from roomkeeper.sfu.room import Room

MAX_TRACKS = 64
"""Tracks one participant may publish or have waiting; the original sets no limit."""


class NoSuchTrack(RoomkeeperError):
    """The participant publishes no track with that sid; list the participants to see their tracks."""


def add_track(room: Room, sid: str, request: rtc.AddTrackRequest) -> list[Effect]:
    """Announces a track: answered at once with its sid, or refused with the reason."""
    participant = room.participants.get(sid)
    if participant is None:
        return []
    refusal = _refusal(room.limits, participant, request)
    if refusal is not None:
        return [Signal(sid, request_answer(refusal[0], refusal[1], add_track=request))]
    if any(track.cid == request.cid for track in participant.tracks.values()):
        participant.queued.append(request)
        return [Signal(sid, request_answer(Answer.QUEUED, "A track with this cid is live.", add_track=request))]
    letter = SOURCE_LETTERS.get(request.source, "_")
    track_sid = room.new_id(f"TR_A{letter}")
    info = track_info(track_sid, request)
    participant.tracks[track_sid] = Track(info, request.cid)
    published = rtc.TrackPublishedResponse(cid=request.cid, track=info)
    return [Signal(sid, rtc.SignalResponse(track_published=published))]


def _refusal(
    limits: Limits, participant: Participant, request: rtc.AddTrackRequest
) -> tuple[rtc.RequestResponse.Reason, str] | None:
    if request.sid:
        return Answer.NOT_FOUND, "No such track; roomkeeper.sfu has one codec a track."
    if not participant.may_publish(request.source):
        return Answer.NOT_ALLOWED, "The token does not let this participant publish from this source."
    if request.type == models.TrackType.VIDEO:
        return Answer.UNSUPPORTED_TYPE, "roomkeeper.sfu forwards audio and data only; use livekit-server for video."
    if request.type != models.TrackType.AUDIO:
        return Answer.UNSUPPORTED_TYPE, "Only audio tracks can be published."
    if len(participant.tracks) + len(participant.queued) >= MAX_TRACKS:
        return Answer.LIMIT_EXCEEDED, f"A participant may publish {MAX_TRACKS} tracks."
    if max(len(text.encode()) for text in (request.name, request.cid, request.stream)) > limits.name_bytes:
        return Answer.LIMIT_EXCEEDED, f"Name, cid and stream may have {limits.name_bytes} bytes."
    return None


def bind_track(room: Room, sid: str, cid: str, mid: str) -> str | None:
    """Names the announced track that a section of an offer carries: by cid, else the first unbound one."""
    participant = room.participants.get(sid)
    if participant is None:
        return None
    waiting = [track for track in participant.tracks.values() if not track.live and not track.info.mid]
    track = next((t for t in waiting if t.cid == cid), waiting[0] if waiting else None)
    if track is None:
        return None
    track.info.mid = mid
    return track.info.sid


def track_live(room: Room, sid: str, track_sid: str) -> list[Effect]:
    """A track is negotiated: others learn of it and are subscribed."""
    participant, track = _track(room, sid, track_sid)
    if participant is None or track is None or track.live:
        return []
    track.live = True
    first = not participant.has_published
    participant.has_published = True
    participant.touch()
    effects = room.show(participant)
    effects.append(Publicize("track_published", room.describe(), participant.info(), track.info))
    if first:
        effects.append(OfferJobs(participant.info(), publisher=True))
    return [*effects, *room.resubscribe(room.present()), *room.room_update()]


def track_gone(room: Room, sid: str, track_sid: str) -> list[Effect]:
    """A track is no longer offered by its publisher, or was taken away from it."""
    participant, track = _track(room, sid, track_sid)
    if participant is None or track is None:
        return []
    del participant.tracks[track_sid]
    effects: list[Effect] = []
    if track.live:
        participant.touch()
        effects += room.show(participant)
        effects.append(Publicize("track_unpublished", room.describe(), participant.info(), track.info))
    next_up = next((request for request in participant.queued if request.cid == track.cid), None)
    if next_up is not None:
        participant.queued.remove(next_up)
        effects += add_track(room, sid, next_up)
    return [*effects, *room.resubscribe(room.present()), *room.room_update()]


def mute(room: Room, sid: str, track_sid: str, *, muted: bool) -> list[Effect]:
    """The client has muted or unmuted its track."""
    participant, track = _track(room, sid, track_sid)
    if participant is None:
        return []
    if track is None:
        request = rtc.MuteTrackRequest(sid=track_sid, muted=muted)
        return [Signal(sid, request_answer(Answer.NOT_FOUND, "No such track.", mute=request))]
    if track.info.muted == muted:
        return []
    track.info.muted = muted
    participant.touch()
    return room.show(participant)


def mute_by_api(room: Room, identity: str, track_sid: str, *, muted: bool) -> tuple[models.TrackInfo, list[Effect]]:
    """Mutes a track from outside; the publisher is told to.

    Raises:
        NoSuchParticipant: Nobody here has the identity.
        NoSuchTrack: It publishes no such track.
    """
    participant = room.find(identity)
    track = participant.tracks.get(track_sid)
    if track is None:
        raise NoSuchTrack(f"Track {track_sid!r} of {identity!r}.")
    told = Signal(participant.sid, rtc.SignalResponse(mute=rtc.MuteTrackRequest(sid=track_sid, muted=muted)))
    return track.info, [told, *mute(room, participant.sid, track_sid, muted=muted)]


def update_audio_features(
    room: Room, sid: str, track_sid: str, features: Iterable[models.AudioTrackFeature]
) -> list[Effect]:
    """The client has changed what its audio track does (echo cancellation and so on)."""
    participant, track = _track(room, sid, track_sid)
    if participant is None or track is None:
        return []
    del track.info.audio_features[:]
    track.info.audio_features.extend(known(features, models.AudioTrackFeature.values()))
    participant.touch()
    return room.show(participant)


def _track(room: Room, sid: str, track_sid: str) -> tuple[Participant | None, Track | None]:
    participant = room.participants.get(sid)
    return participant, participant.tracks.get(track_sid) if participant is not None else None
