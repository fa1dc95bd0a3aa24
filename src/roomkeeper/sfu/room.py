"""One room: who is in it, what they publish, and who may have what. Pure: no I/O, no clock, no randomness.

Rules of the file
* Every method takes the time (unix seconds) if it needs one, changes the room, and returns the effects to carry out, in
  order. The shell in `rooms.py` carries them out; nothing here waits.
* Participants are found by `PA_` sid, since a session that was replaced may still be talking.
* What a client asks for wrongly is answered (`RequestResponse`), never raised. The API's mistakes are raised as
  `NoSuchParticipant`, or `NoSuchTrack` of `publishing.py`, where tracks come and go.
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
from roomkeeper.sfu import publishing
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
from roomkeeper.sfu.participant import Joiner, Participant, State
from roomkeeper.sfu.subscriptions import permission_news, wanted_tracks

Reason = models.DisconnectReason
NewId = Callable[[str], str]

CLIENT_REASONS = frozenset({Reason.CLIENT_INITIATED, Reason.USER_UNAVAILABLE, Reason.USER_REJECTED, Reason.AGENT_ERROR})
MAX_WISHES = 1024
"""Tracks that one participant may have subscribed or unsubscribed by name."""
MAX_TOKENS = 4096
"""Digests of tokens remembered, the latest ones: each change of attributes brings a new token."""
DEPARTED_KEPT = 64
"""Departures remembered for clients that resume."""


class NoSuchParticipant(RoomkeeperError):
    """No participant with that identity is in the room; list the participants to see who is."""


class RoomFull(RoomkeeperError):
    """The room has as many participants as max_participants allows; raise the limit or use another room."""


@dataclass(slots=True)
class Room:
    """A live room.

    Attributes:
        info: The room as clients and the API see it; numbers are filled in by `describe`.
        last_left_at: When somebody last left, unix seconds; None while nobody has.
        tokens: Digests of the tokens that were used or issued here, oldest first.
    """

    info: models.Room
    new_id: NewId
    limits: Limits
    participants: dict[str, Participant] = field(default_factory=dict)
    joined_once: bool = False
    last_left_at: float | None = None
    tokens: dict[str, None] = field(default_factory=dict)
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
        self.remember_token(joiner.token_digest)
        return newcomer, effects

    def remember_token(self, digest: str) -> None:
        """Keeps the digest of a token that was used or issued here, for the room's tombstone."""
        self.tokens.pop(digest, None)
        self.tokens[digest] = None
        if len(self.tokens) > MAX_TOKENS:
            del self.tokens[next(iter(self.tokens))]

    def answered(self, sid: str) -> list[Effect]:
        """The JoinResponse has been sent: others see the participant, who is to receive their tracks."""
        participant = self.participants.get(sid)
        if participant is None or participant.state != State.JOINING:
            return []
        participant.state = State.JOINED
        if not participant.dependent:
            self.joined_once = True
        participant.touch()
        return [*self.show(participant), *self.room_update(), *self.resubscribe([participant])]

    def activated(self, sid: str) -> list[Effect]:
        """The primary peer connection is up: the participant has joined for good."""
        participant = self.participants.get(sid)
        if participant is None or participant.state != State.JOINED:
            return []
        participant.state = State.ACTIVE
        participant.touch()
        effects = self.show(participant)
        if not participant.was_active:
            participant.was_active = True
            effects.append(Publicize("participant_joined", self.describe(), participant.info()))
            effects.append(OfferJobs(participant.info(), publisher=False))
        if participant.permission.recorder:
            effects += self.room_update()
        return effects

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
        effects += self.resubscribe(self.present())
        effects.append(
            Publicize("participant_left" if participant.was_active else "participant_connection_aborted", room, info)
        )
        effects.append(ForgetParticipant(info))
        return [*effects, *self.room_update()]

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
        """Closes the room when its timeout has run out (facts A: "Closing"; called each tick)."""
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

    # -- subscribing --------------------------------------------------------------------------------------------------

    def update_subscription(self, sid: str, tracks: Iterable[str], *, subscribe: bool) -> list[Effect]:
        """The client, or the API for it, wants single tracks or does not."""
        participant = self.participants.get(sid)
        if participant is None:
            return []
        for track_sid in tracks:
            if len(participant.wants) < MAX_WISHES or track_sid in participant.wants:
                participant.wants[track_sid] = subscribe
        return self.resubscribe([participant])

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
        return self.resubscribe(self.present())

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
        """A subscriber hears these tracks from now on: each publisher is told once a track, and not of hidden ones."""
        subscriber = self.participants.get(sid)
        if subscriber is None or not subscriber.active or subscriber.hidden:
            return []
        effects: list[Effect] = []
        wanted = set(tracks)
        for publisher in self.participants.values():
            for track in publisher.live_tracks():
                if track.info.sid in wanted and publisher.sid != sid and not track.announced_subscribed:
                    track.announced_subscribed = True
                    told = rtc.TrackSubscribed(track_sid=track.info.sid)
                    effects.append(Signal(publisher.sid, rtc.SignalResponse(track_subscribed=told)))
        return effects

    def resubscribe(self, subscribers: Iterable[Participant]) -> list[Effect]:
        """Recomputes what these are to receive, and tells what has changed."""
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
        return [Signal(sid, answer), *self.show(participant), RefreshToken(sid)]

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
                    effects += publishing.track_gone(self, participant.sid, track.info.sid)
            effects += self.resubscribe(self.present())
        effects = [*self.show(participant), *effects, RefreshToken(participant.sid)]
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
        return self.room_update()

    # -- helpers ------------------------------------------------------------------------------------------------------

    def present(self) -> list[Participant]:
        """Returns those who can be sent to."""
        return [p for p in self.participants.values() if p.present]

    def show(self, participant: Participant) -> list[Effect]:
        """Sends the participant's present state to all who may see it, itself included."""
        message = participant_update([participant.info()])
        if participant.hidden:
            return [Signal(participant.sid, message)] if participant.present else []
        return [Signal(p.sid, message) for p in self.present()]

    def room_update(self) -> list[Effect]:
        """Sends the room's present state to everybody in it."""
        if self.closed:
            return []
        message = rtc.SignalResponse(room_update=rtc.RoomUpdate(room=self.describe()))
        return [Signal(p.sid, message) for p in self.present()]
