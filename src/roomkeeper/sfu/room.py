"""One room: who is in it, what they publish, and who may have what. Pure: no I/O, no clock, no randomness.

Rules of the file
* Every method takes the time (unix seconds) if it needs one, changes the room, and returns the effects to carry out, in
  order. The shell in `rooms.py` carries them out; nothing here waits.
* Participants are found by `PA_` sid, since a session that was replaced may still be talking.
* What a client asks for wrongly is answered (`RequestResponse`), never raised. The API's mistakes are raised as
  `NoSuchParticipant` or `NoSuchTrack`.
* A subscriber's tracks are recomputed from scratch whenever anything that decides them has changed
  (`SetSubscriptions` is level-triggered), so no sequence of events can leave a stale subscription.

Behaviour follows livekit-server; the sources are in the fact sheet's sections A (life of a room), B (participants) and
C (media signalling).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from livekit.protocol import models, rtc

from roomkeeper.errors import RoomkeeperError
from roomkeeper.sfu.effects import (
    CloseRoom,
    CloseSession,
    Effect,
    ForgetParticipant,
    OfferJobs,
    Publicize,
    RefreshToken,
    SetSubscriptions,
    Signal,
    StopTrack,
)
from roomkeeper.sfu.limits import LimitExceeded, Limits
from roomkeeper.sfu.messages import Answer, leave_message, participant_update, request_answer
from roomkeeper.sfu.participant import SOURCE_LETTERS, Joiner, Participant, State, Track, track_info
from roomkeeper.sfu.subscriptions import permission_news, wanted_tracks

Reason = models.DisconnectReason
NewId = Callable[[str], str]

MAX_TRACKS = 64
"""Tracks one participant may publish or have waiting; the original sets no limit."""
CLIENT_REASONS = frozenset({Reason.CLIENT_INITIATED, Reason.USER_UNAVAILABLE, Reason.USER_REJECTED, Reason.AGENT_ERROR})
DEPARTED_KEPT = 64
"""Departures remembered for clients that resume."""


class NoSuchParticipant(RoomkeeperError):
    """No participant with that identity is in the room; list the participants to see who is."""


class NoSuchTrack(RoomkeeperError):
    """The participant publishes no track with that sid; list the participants to see their tracks."""


class RoomFull(RoomkeeperError):
    """The room has as many participants as max_participants allows; raise the limit or use another room."""


@dataclass(slots=True)
class Room:
    """A live room.

    Attributes:
        info: The room as clients and the API see it; numbers are filled in by `describe`.
        last_left_at: When somebody last left, unix seconds; None while nobody has.
        tokens: Digests of every token that was used here.
    """

    info: models.Room
    new_id: NewId
    limits: Limits
    participants: dict[str, Participant] = field(default_factory=dict)
    joined_once: bool = False
    last_left_at: float | None = None
    tokens: set[str] = field(default_factory=set)
    departed: list[tuple[float, models.ParticipantInfo]] = field(default_factory=list)
    closed: bool = False
    speaking: dict[str, float] = field(default_factory=dict)

    # -- looking ------------------------------------------------------------------------------------------------------

    def find(self, identity: str) -> Participant:
        """Returns the participant with this identity.

        Raises:
            NoSuchParticipant: Nobody here has it.
        """
        for participant in self.participants.values():
            if participant.identity == identity:
                return participant
        raise NoSuchParticipant(f"Identity {identity!r}, room {self.info.name!r}.")

    def describe(self) -> models.Room:
        """Returns the room with its present numbers."""
        counted = [p for p in self.participants.values() if not p.dependent]
        room = models.Room()
        room.CopyFrom(self.info)
        room.num_participants = len(counted)
        room.num_publishers = sum(1 for p in self.participants.values() if p.live_tracks())
        room.active_recording = any(p.permission.recorder and p.active for p in self.participants.values())
        return room

    def others(self, sid: str) -> list[Participant]:
        """Returns whom this participant sees."""
        return [p for p in self.participants.values() if p.sid != sid and p.present and not p.hidden]

    # -- joining and leaving ------------------------------------------------------------------------------------------

    def join(self, joiner: Joiner, now: float) -> tuple[Participant, list[Effect]]:
        """Lets somebody in; whoever had the identity is told DUPLICATE_IDENTITY and leaves.

        Raises:
            RoomFull: Everybody counted, the limit is reached.
        """
        newcomer = Participant.join(self.new_id("PA_"), joiner, now)
        previous = next((p for p in self.participants.values() if p.identity == joiner.identity), None)
        counted = sum(1 for p in self.participants.values() if not p.dependent and p is not previous)
        limit = self.info.max_participants
        if limit and not newcomer.dependent and counted >= limit:
            raise RoomFull(f"The limit of room {self.info.name!r} is {limit}.")
        effects: list[Effect] = []
        if previous is not None:
            effects += self.leave(previous.sid, Reason.DUPLICATE_IDENTITY, now, tell=True)
        self.participants[newcomer.sid] = newcomer
        self.tokens.add(joiner.token_digest)
        return newcomer, effects

    def answered(self, sid: str) -> list[Effect]:
        """The JoinResponse has been sent: others see the participant."""
        participant = self.participants.get(sid)
        if participant is None or participant.state != State.JOINING:
            return []
        participant.state = State.JOINED
        if not participant.dependent:
            self.joined_once = True
        participant.touch()
        return [*self._show(participant), *self._room_update()]

    def activated(self, sid: str) -> list[Effect]:
        """The primary peer connection is up: the participant has joined for good."""
        participant = self.participants.get(sid)
        if participant is None or participant.state != State.JOINED:
            return []
        participant.state = State.ACTIVE
        participant.touch()
        effects = self._show(participant)
        if not participant.was_active:
            participant.was_active = True
            effects.append(Publicize("participant_joined", self.describe(), participant.info()))
            effects.append(OfferJobs(participant.info(), publisher=False))
        if participant.permission.recorder:
            effects += self._room_update()
        return [*effects, *self._subscriptions([participant])]

    def leave(
        self,
        sid: str,
        reason: models.DisconnectReason,
        now: float,
        *,
        tell: bool = False,
        action: rtc.LeaveRequest.Action = rtc.LeaveRequest.DISCONNECT,
    ) -> list[Effect]:
        """Takes a participant out of the room.

        Args:
            sid: The session that ends.
            reason: What others and the webhooks are told.
            now: Unix seconds.
            tell: Whether the client itself gets a Leave message.
            action: What a told client is to do next.
        """
        participant = self.participants.pop(sid, None)
        if participant is None:
            return []
        effects: list[Effect] = []
        if tell:
            effects.append(Signal(sid, leave_message(reason, action)))
        room = self.describe()
        effects += [
            Publicize("track_unpublished", room, participant.info(), track.info) for track in participant.live_tracks()
        ]
        participant.state = State.DISCONNECTED
        participant.disconnect_reason = reason
        participant.touch()
        for track in participant.tracks.values():
            track.live = False
        info = participant.info()
        effects.append(CloseSession(sid, reason))
        self.speaking.pop(sid, None)
        if not participant.hidden and reason != Reason.DUPLICATE_IDENTITY:
            self.departed = [*self.departed[-DEPARTED_KEPT:], (now, info)]
            effects += [Signal(p.sid, participant_update([info])) for p in self.present() if p.sid != sid]
        self.last_left_at = now
        effects += self._subscriptions(self.present())
        effects.append(
            Publicize("participant_left" if participant.was_active else "participant_connection_aborted", room, info)
        )
        effects.append(ForgetParticipant(info))
        return [*effects, *self._room_update()]

    def close(self, reason: models.DisconnectReason, now: float) -> list[Effect]:
        """Ends the room: everybody is told, then it is finished."""
        if self.closed:
            return []
        self.closed = True
        effects: list[Effect] = []
        for sid in list(self.participants):
            effects += self.leave(sid, reason, now, tell=True)
        return [*effects, Publicize("room_finished", self.describe()), CloseRoom(reason)]

    def tick(self, now: float) -> list[Effect]:
        """Closes the room when its timeout has run out (facts A: "Closing"; called each second)."""
        if any(not p.dependent for p in self.participants.values()):
            return []
        if self.joined_once and self.last_left_at is not None:
            over = now - self.last_left_at >= self.info.departure_timeout
        else:
            over = now - self.info.creation_time_ms / 1000 >= self.info.empty_timeout
        return self.close(Reason.ROOM_CLOSED, now) if over else []

    def departed_since(self, moment: float) -> list[models.ParticipantInfo]:
        """Returns who has left since; what a resuming client missed."""
        return [info for at, info in self.departed if at >= moment]

    # -- publishing ---------------------------------------------------------------------------------------------------

    def add_track(self, sid: str, request: rtc.AddTrackRequest) -> list[Effect]:
        """Announces a track: answered at once with its sid, or refused with the reason."""
        participant = self.participants.get(sid)
        if participant is None:
            return []
        refusal = self._refusal(participant, request)
        if refusal is not None:
            return [Signal(sid, request_answer(refusal[0], refusal[1], add_track=request))]
        if any(track.cid == request.cid for track in participant.tracks.values()):
            participant.queued.append(request)
            return [Signal(sid, request_answer(Answer.QUEUED, "A track with this cid is live.", add_track=request))]
        letter = SOURCE_LETTERS.get(request.source, "_")
        track_sid = self.new_id(f"TR_A{letter}")
        info = track_info(track_sid, request)
        participant.tracks[track_sid] = Track(info, request.cid)
        published = rtc.TrackPublishedResponse(cid=request.cid, track=info)
        return [Signal(sid, rtc.SignalResponse(track_published=published))]

    def _refusal(
        self, participant: Participant, request: rtc.AddTrackRequest
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
        if max(len(request.name.encode()), len(request.cid.encode())) > self.limits.name_bytes:
            return Answer.LIMIT_EXCEEDED, f"Name and cid may have {self.limits.name_bytes} bytes."
        return None

    def bind_track(self, sid: str, cid: str, mid: str) -> str | None:
        """Names the announced track that a section of an offer carries: by cid, else the first unbound one."""
        participant = self.participants.get(sid)
        if participant is None:
            return None
        waiting = [track for track in participant.tracks.values() if not track.live and not track.info.mid]
        track = next((t for t in waiting if t.cid == cid), waiting[0] if waiting else None)
        if track is None:
            return None
        track.info.mid = mid
        return track.info.sid

    def track_live(self, sid: str, track_sid: str) -> list[Effect]:
        """A track is negotiated: others learn of it and are subscribed."""
        participant, track = self._track(sid, track_sid)
        if participant is None or track is None or track.live:
            return []
        track.live = True
        first = not participant.has_published
        participant.has_published = True
        participant.touch()
        effects = self._show(participant)
        effects.append(Publicize("track_published", self.describe(), participant.info(), track.info))
        if first:
            effects.append(OfferJobs(participant.info(), publisher=True))
        return [*effects, *self._subscriptions(self.present()), *self._room_update()]

    def track_gone(self, sid: str, track_sid: str) -> list[Effect]:
        """A track is no longer offered by its publisher, or was taken away from it."""
        participant, track = self._track(sid, track_sid)
        if participant is None or track is None:
            return []
        del participant.tracks[track_sid]
        effects: list[Effect] = []
        if track.live:
            participant.touch()
            effects += self._show(participant)
            effects.append(Publicize("track_unpublished", self.describe(), participant.info(), track.info))
        next_up = next((request for request in participant.queued if request.cid == track.cid), None)
        if next_up is not None:
            participant.queued.remove(next_up)
            effects += self.add_track(sid, next_up)
        return [*effects, *self._subscriptions(self.present()), *self._room_update()]

    def mute(self, sid: str, track_sid: str, *, muted: bool) -> list[Effect]:
        """The client has muted or unmuted its track."""
        participant, track = self._track(sid, track_sid)
        if participant is None:
            return []
        if track is None:
            request = rtc.MuteTrackRequest(sid=track_sid, muted=muted)
            return [Signal(sid, request_answer(Answer.NOT_FOUND, "No such track.", mute=request))]
        if track.info.muted == muted:
            return []
        track.info.muted = muted
        participant.touch()
        return self._show(participant)

    def mute_by_api(self, identity: str, track_sid: str, *, muted: bool) -> tuple[models.TrackInfo, list[Effect]]:
        """Mutes a track from outside; the publisher is told to.

        Raises:
            NoSuchParticipant: Nobody here has the identity.
            NoSuchTrack: It publishes no such track.
        """
        participant = self.find(identity)
        track = participant.tracks.get(track_sid)
        if track is None:
            raise NoSuchTrack(f"Track {track_sid!r} of {identity!r}.")
        told = Signal(participant.sid, rtc.SignalResponse(mute=rtc.MuteTrackRequest(sid=track_sid, muted=muted)))
        return track.info, [told, *self.mute(participant.sid, track_sid, muted=muted)]

    def update_audio_features(
        self, sid: str, track_sid: str, features: Iterable[models.AudioTrackFeature]
    ) -> list[Effect]:
        """The client has changed what its audio track does (echo cancellation and so on)."""
        participant, track = self._track(sid, track_sid)
        if participant is None or track is None:
            return []
        del track.info.audio_features[:]
        track.info.audio_features.extend(features)
        participant.touch()
        return self._show(participant)

    # -- subscribing --------------------------------------------------------------------------------------------------

    def update_subscription(self, sid: str, tracks: Iterable[str], *, subscribe: bool) -> list[Effect]:
        """The client, or the API for it, wants single tracks or does not."""
        participant = self.participants.get(sid)
        if participant is None:
            return []
        for track_sid in tracks:
            if len(participant.wants) < MAX_TRACKS * 16 or track_sid in participant.wants:
                participant.wants[track_sid] = subscribe
        return self._subscriptions([participant])

    def set_track_permissions(self, sid: str, request: rtc.SubscriptionPermission) -> list[Effect]:
        """The publisher says who may subscribe; each message replaces the whole previous set."""
        participant = self.participants.get(sid)
        if participant is None:
            return []
        if request.all_participants:
            participant.allowed = None
        else:
            participant.allowed = {
                p.participant_identity or p.participant_sid: None if p.all_tracks else frozenset(p.track_sids)
                for p in request.track_permissions
            }
        return self._subscriptions(self.present())

    def set_disabled(self, sid: str, tracks: Iterable[str], *, disabled: bool) -> list[Effect]:
        """The client wants no packets of some tracks for now."""
        participant = self.participants.get(sid)
        if participant is None:
            return []
        known = {track.info.sid for p in self.participants.values() for track in p.live_tracks()}
        chosen = known & set(tracks)
        participant.disabled = participant.disabled | chosen if disabled else participant.disabled - chosen
        return [SetSubscriptions(sid, tuple(wanted_tracks(self.participants.values(), participant)))]

    def tracks_subscribed(self, sid: str, tracks: Iterable[str]) -> list[Effect]:
        """Media of these tracks has begun to flow to a subscriber: each publisher is told once a track."""
        effects: list[Effect] = []
        wanted = set(tracks)
        for publisher in self.participants.values():
            for track in publisher.live_tracks():
                if track.info.sid in wanted and publisher.sid != sid and not track.announced_subscribed:
                    track.announced_subscribed = True
                    told = rtc.TrackSubscribed(track_sid=track.info.sid)
                    effects.append(Signal(publisher.sid, rtc.SignalResponse(track_subscribed=told)))
        return effects

    def _subscriptions(self, subscribers: Iterable[Participant]) -> list[Effect]:
        effects: list[Effect] = []
        for subscriber in subscribers:
            effects += permission_news(self.participants.values(), subscriber)
            wanted = wanted_tracks(self.participants.values(), subscriber)
            if set(wanted) != subscriber.subscribed:
                subscriber.subscribed = set(wanted)
                effects.append(SetSubscriptions(subscriber.sid, tuple(wanted)))
        return effects

    # -- what participants say of themselves --------------------------------------------------------------------------

    def update_own_metadata(self, sid: str, request: rtc.UpdateParticipantMetadata) -> list[Effect]:
        """The client changes its own name, metadata or attributes; empty values change nothing, attributes merge."""
        participant = self.participants.get(sid)
        if participant is None:
            return []
        if not participant.permission.can_update_metadata:
            words = "The token lacks canUpdateOwnMetadata."
            return [Signal(sid, request_answer(Answer.NOT_ALLOWED, words, update_metadata=request))]
        try:
            self._apply(participant, request.name, request.metadata, dict(request.attributes))
        except LimitExceeded as error:
            return [Signal(sid, request_answer(Answer.LIMIT_EXCEEDED, error.detail, update_metadata=request))]
        answer = request_answer(Answer.OK, "", update_metadata=request)
        return [Signal(sid, answer), *self._show(participant), RefreshToken(sid)]

    def update_by_api(
        self,
        identity: str,
        *,
        name: str,
        metadata: str,
        attributes: dict[str, str],
        permission: models.ParticipantPermission | None,
    ) -> tuple[models.ParticipantInfo, list[Effect]]:
        """Changes a participant from outside; new permissions take forbidden tracks away.

        Raises:
            NoSuchParticipant: Nobody here has the identity.
            LimitExceeded: Something is too long.
        """
        participant = self.find(identity)
        self._apply(participant, name, metadata, attributes)
        effects: list[Effect] = []
        if permission is not None:
            participant.permission.CopyFrom(permission)
            participant.touch()
            for track in list(participant.tracks.values()):
                if not participant.may_publish(track.info.source):
                    told = rtc.TrackUnpublishedResponse(track_sid=track.info.sid)
                    effects.append(Signal(participant.sid, rtc.SignalResponse(track_unpublished=told)))
                    effects.append(StopTrack(participant.sid, track.info.sid))
                    effects += self.track_gone(participant.sid, track.info.sid)
            effects += self._subscriptions(self.present())
        effects = [*self._show(participant), *effects, RefreshToken(participant.sid)]
        return participant.info(), effects

    def _apply(self, participant: Participant, name: str, metadata: str, attributes: dict[str, str]) -> None:
        merged = {**participant.attributes, **attributes}
        merged = {key: value for key, value in merged.items() if value}
        self.limits.check_name(name)
        self.limits.check_metadata(metadata)
        self.limits.check_attributes(merged)
        participant.name = name or participant.name
        participant.metadata = metadata or participant.metadata
        participant.attributes = merged
        participant.touch()

    def update_metadata(self, metadata: str) -> list[Effect]:
        """Sets the room's metadata; everybody is told at once."""
        self.info.metadata = metadata
        return self._room_update()

    # -- helpers ------------------------------------------------------------------------------------------------------

    def present(self) -> list[Participant]:
        """Returns those who can be sent to."""
        return [p for p in self.participants.values() if p.present]

    def _track(self, sid: str, track_sid: str) -> tuple[Participant | None, Track | None]:
        participant = self.participants.get(sid)
        return participant, participant.tracks.get(track_sid) if participant is not None else None

    def _show(self, participant: Participant) -> list[Effect]:
        """Sends the participant's present state to all who may see it, itself included."""
        message = participant_update([participant.info()])
        if participant.hidden:
            return [Signal(participant.sid, message)] if participant.present else []
        return [Signal(p.sid, message) for p in self.present()]

    def _room_update(self) -> list[Effect]:
        if self.closed:
            return []
        message = rtc.SignalResponse(room_update=rtc.RoomUpdate(room=self.describe()))
        return [Signal(p.sid, message) for p in self.present()]
