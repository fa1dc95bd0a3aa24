"""The pure room: single stories, then hypothesis drives it at random and checks what must always hold."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from livekit.protocol import models, rtc

from roomkeeper.sfu import activity, data, publishing
from roomkeeper.sfu.effects import (
    CloseRoom,
    CloseSession,
    Deliver,
    Effect,
    OfferJobs,
    Publicize,
    SetSubscriptions,
    Signal,
)
from roomkeeper.sfu.limits import Limits
from roomkeeper.sfu.messages import Answer
from roomkeeper.sfu.participant import Joiner
from roomkeeper.sfu.publishing import NoSuchTrack
from roomkeeper.sfu.room import NoSuchParticipant, Room, RoomFull
from roomkeeper.sfu.subscriptions import wanted_tracks

if TYPE_CHECKING:
    from collections.abc import Iterable

Reason = models.DisconnectReason
Kind = models.ParticipantInfo
ALL = models.ParticipantPermission(
    can_subscribe=True, can_publish=True, can_publish_data=True, can_update_metadata=True
)
START = 1_000.0


def new_room(*, empty_timeout: int = 300, departure_timeout: int = 20, max_participants: int = 0) -> Room:
    numbers = count(1)
    info = models.Room(
        sid="RM_1",
        name="tea",
        creation_time_ms=int(START * 1000),
        empty_timeout=empty_timeout,
        departure_timeout=departure_timeout,
        max_participants=max_participants,
    )
    return Room(info, lambda prefix: f"{prefix}{next(numbers)}", Limits(name_bytes=8, attributes_bytes=16))


def enter(room: Room, identity: str, now: float = START, **fields: object) -> str:
    """Bring somebody in up to ACTIVE; return the sid."""
    joiner = Joiner(identity=identity, **{"permission": ALL} | fields)  # type: ignore[arg-type]
    participant, _ = room.join(joiner, now)
    room.answered(participant.sid)
    room.activated(participant.sid)
    return participant.sid


def publish(room: Room, sid: str, cid: str = "mic") -> str:
    """Announce, bind and negotiate a microphone; return the track's sid."""
    publishing.add_track(
        room, sid, rtc.AddTrackRequest(cid=cid, type=models.TrackType.AUDIO, source=models.TrackSource.MICROPHONE)
    )
    track_sid = publishing.bind_track(room, sid, cid, mid=cid)
    assert track_sid is not None
    publishing.track_live(room, sid, track_sid)
    return track_sid


def signals(effects: Iterable[Effect], sid: str) -> list[rtc.SignalResponse]:
    return [e.message for e in effects if isinstance(e, Signal) and e.sid == sid]


def answers(effects: Iterable[Effect], sid: str) -> list[rtc.RequestResponse.Reason]:
    return [m.request_response.reason for m in signals(effects, sid) if m.HasField("request_response")]


def webhooks(effects: Iterable[Effect]) -> list[str]:
    return [e.event for e in effects if isinstance(e, Publicize)]


def test_a_participant_joins_once_for_the_webhooks_and_the_dispatcher() -> None:
    room = new_room()
    participant, _ = room.join(Joiner("ann", permission=ALL), START)
    assert webhooks(room.answered(participant.sid)) == []
    effects = room.activated(participant.sid)
    assert webhooks(effects) == ["participant_joined"]
    assert [e.publisher for e in effects if isinstance(e, OfferJobs)] == [False]
    assert room.activated(participant.sid) == []


def test_a_joiner_is_subscribed_at_once_and_the_publisher_told_when_media_can_flow() -> None:
    room = new_room()
    ann = enter(room, "ann")
    track = publish(room, ann)
    bob, _ = room.join(Joiner("bob", permission=ALL), START)
    effects = room.answered(bob.sid)
    assert [e.tracks for e in effects if isinstance(e, SetSubscriptions)] == [(track,)]
    assert room.tracks_subscribed(bob.sid, [track]) == []
    room.activated(bob.sid)
    told = signals(room.tracks_subscribed(bob.sid, [track]), ann)
    assert [message.track_subscribed.track_sid for message in told] == [track]
    assert room.tracks_subscribed(bob.sid, [track]) == []  # once a track


def test_a_publisher_is_not_told_of_subscribers_whom_nobody_sees() -> None:
    room = new_room()
    ann = enter(room, "ann")
    track = publish(room, ann)
    spy = enter(room, "spy", permission=models.ParticipantPermission(hidden=True, can_subscribe=True))
    assert room.tracks_subscribed(spy, [track]) == []


def test_who_never_became_active_is_an_aborted_connection() -> None:
    room = new_room()
    participant, _ = room.join(Joiner("ann", permission=ALL), START)
    assert webhooks(room.leave(participant.sid, Reason.SIGNAL_CLOSE, START)) == ["participant_connection_aborted"]


def test_the_same_identity_replaces_the_older_session_without_a_goodbye_to_the_others() -> None:
    room = new_room()
    old, bob = enter(room, "ann"), enter(room, "bob")
    newcomer, effects = room.join(Joiner("ann", permission=ALL), START + 1)
    [leave] = [m.leave for m in signals(effects, old)]
    assert (leave.reason, leave.action) == (Reason.DUPLICATE_IDENTITY, rtc.LeaveRequest.DISCONNECT)
    assert [e.sid for e in effects if isinstance(e, CloseSession)] == [old]
    assert not [m for m in signals(effects, bob) if m.HasField("update")]
    assert room.find("ann").sid == newcomer.sid


def test_max_participants_counts_neither_agents_nor_recorders() -> None:
    room = new_room(max_participants=1)
    enter(room, "agent", kind=Kind.AGENT)
    enter(room, "recorder", kind=Kind.EGRESS)
    enter(room, "ann")
    with pytest.raises(RoomFull):
        room.join(Joiner("bob", permission=ALL), START)
    room.join(Joiner("ann", permission=ALL), START)


@pytest.mark.parametrize(
    ("kind", "keeps_alive"),
    [
        (Kind.STANDARD, True),
        (Kind.SIP, True),
        (Kind.INGRESS, True),
        (Kind.CONNECTOR, True),
        (Kind.BRIDGE, True),
        (Kind.AGENT, False),
        (Kind.EGRESS, False),
    ],
)
def test_kinds_that_keep_a_room_alive(kind: models.ParticipantInfo.Kind, keeps_alive: bool) -> None:  # noqa: FBT001
    room = new_room()
    enter(room, "somebody", kind=kind)
    assert bool(room.tick(START + 301)) is not keeps_alive


def test_an_empty_room_closes_after_its_empty_timeout() -> None:
    room = new_room(empty_timeout=10)
    assert room.tick(START + 9.9) == []
    effects = room.tick(START + 10)
    assert webhooks(effects) == ["room_finished"]
    assert effects[-1] == CloseRoom(Reason.ROOM_CLOSED)
    assert room.close(Reason.ROOM_DELETED, START + 11) == []


def test_an_agent_that_leaves_last_starts_the_departure_clock_again() -> None:
    room = new_room()
    ann, agent = enter(room, "ann"), enter(room, "agent", kind=Kind.AGENT)
    room.leave(ann, Reason.CLIENT_INITIATED, START + 100)
    room.leave(agent, Reason.CLIENT_INITIATED, START + 115)
    assert room.tick(START + 134.9) == []
    assert room.tick(START + 135) != []


def test_an_announced_track_is_seen_by_others_only_when_negotiated() -> None:
    room = new_room()
    ann, bob = enter(room, "ann"), enter(room, "bob")
    effects = publishing.add_track(room, ann, rtc.AddTrackRequest(cid="mic", source=models.TrackSource.MICROPHONE))
    [published] = [m.track_published for m in signals(effects, ann)]
    assert published.cid == "mic"
    assert published.track.sid.startswith("TR_AM")
    assert signals(effects, bob) == []
    assert room.find("ann").info().tracks == []
    assert publishing.bind_track(room, ann, "mic", "1") == published.track.sid
    effects = publishing.track_live(room, ann, published.track.sid)
    assert webhooks(effects) == ["track_published"]
    assert SetSubscriptions(bob, (published.track.sid,)) in effects
    assert publishing.track_live(room, ann, published.track.sid) == []


def test_a_section_with_an_unknown_cid_carries_the_first_waiting_track() -> None:
    room = new_room()
    ann = enter(room, "ann")
    for cid in ("one", "two"):
        publishing.add_track(room, ann, rtc.AddTrackRequest(cid=cid))
    first, second = room.find("ann").tracks
    assert publishing.bind_track(room, ann, "two", "1") == second
    assert publishing.bind_track(room, ann, "something else", "2") == first
    assert publishing.bind_track(room, ann, "one", "3") is None


def test_a_cid_that_is_live_waits_for_its_turn() -> None:
    room = new_room()
    ann = enter(room, "ann")
    track = publish(room, ann)
    assert answers(publishing.add_track(room, ann, rtc.AddTrackRequest(cid="mic")), ann) == [Answer.QUEUED]
    effects = publishing.track_gone(room, ann, track)
    assert [m.track_published.cid for m in signals(effects, ann) if m.HasField("track_published")] == ["mic"]


@pytest.mark.parametrize(
    ("request_", "permission", "reason"),
    [
        (rtc.AddTrackRequest(cid="c", type=models.TrackType.VIDEO), ALL, Answer.UNSUPPORTED_TYPE),
        (rtc.AddTrackRequest(cid="c", type=models.TrackType.DATA), ALL, Answer.UNSUPPORTED_TYPE),
        (rtc.AddTrackRequest(cid="c", sid="TR_x"), ALL, Answer.NOT_FOUND),
        (rtc.AddTrackRequest(cid="c", name="n" * 9), ALL, Answer.LIMIT_EXCEEDED),
        (rtc.AddTrackRequest(cid="c"), models.ParticipantPermission(), Answer.NOT_ALLOWED),
        (
            rtc.AddTrackRequest(cid="c", source=models.TrackSource.SCREEN_SHARE_AUDIO),
            models.ParticipantPermission(can_publish=True, can_publish_sources=[models.TrackSource.MICROPHONE]),
            Answer.NOT_ALLOWED,
        ),
    ],
)
def test_a_track_that_may_not_be_published_is_answered_with_the_reason(
    request_: rtc.AddTrackRequest, permission: models.ParticipantPermission, reason: rtc.RequestResponse.Reason
) -> None:
    room = new_room()
    ann = enter(room, "ann", permission=permission)
    assert answers(publishing.add_track(room, ann, request_), ann) == [reason]
    assert room.find("ann").tracks == {}


def test_permissions_taken_away_by_the_api_take_the_tracks_with_them() -> None:
    room = new_room()
    ann, bob = enter(room, "ann"), enter(room, "bob")
    track = publish(room, ann)
    _, effects = room.update_by_api(
        "ann", name="", metadata="", attributes={}, permission=models.ParticipantPermission(can_subscribe=True)
    )
    assert webhooks(effects) == ["track_unpublished"]
    assert SetSubscriptions(bob, ()) in effects
    assert track not in room.find("ann").tracks


def test_a_publisher_lets_only_some_have_some_tracks() -> None:
    room = new_room()
    ann, bob, cat = enter(room, "ann"), enter(room, "bob"), enter(room, "cat")
    one, two = publish(room, ann, "one"), publish(room, ann, "two")
    allow_bob = rtc.TrackPermission(participant_identity="bob", track_sids=[one])
    effects = room.set_track_permissions(ann, rtc.SubscriptionPermission(track_permissions=[allow_bob]))
    assert SetSubscriptions(bob, (one,)) in effects
    assert SetSubscriptions(cat, ()) in effects
    told = [
        m.subscription_permission_update for m in signals(effects, cat) if m.HasField("subscription_permission_update")
    ]
    assert {(t.track_sid, t.allowed) for t in told} == {(one, False), (two, False)}
    effects = room.set_track_permissions(ann, rtc.SubscriptionPermission(all_participants=True))
    assert SetSubscriptions(cat, (one, two)) in effects


def test_attributes_merge_and_empty_values_delete() -> None:
    room = new_room()
    ann = enter(room, "ann", attributes=(("a", "1"), ("b", "2")))
    effects = room.update_own_metadata(ann, rtc.UpdateParticipantMetadata(attributes={"a": "", "c": "3"}, request_id=7))
    assert answers(effects, ann) == [Answer.OK]
    assert room.find("ann").attributes == {"b": "2", "c": "3"}


def test_too_large_attributes_are_refused_and_change_nothing() -> None:
    room = new_room()
    ann = enter(room, "ann")
    update = rtc.UpdateParticipantMetadata(attributes={"a": "x" * 16}, name="new")
    assert answers(room.update_own_metadata(ann, update), ann) == [Answer.LIMIT_EXCEEDED]
    assert (room.find("ann").attributes, room.find("ann").name) == ({}, "")


def test_without_the_grant_nobody_changes_their_own_metadata() -> None:
    room = new_room()
    ann = enter(room, "ann", permission=models.ParticipantPermission())
    assert answers(room.update_own_metadata(ann, rtc.UpdateParticipantMetadata(name="new")), ann) == [
        Answer.NOT_ALLOWED
    ]


def test_muting_what_does_not_exist_is_answered_and_by_the_api_raised() -> None:
    room = new_room()
    ann = enter(room, "ann")
    assert answers(publishing.mute(room, ann, "TR_x", muted=True), ann) == [Answer.NOT_FOUND]
    with pytest.raises(NoSuchTrack):
        publishing.mute_by_api(room, "ann", "TR_x", muted=True)
    with pytest.raises(NoSuchParticipant):
        publishing.mute_by_api(room, "nobody", "TR_x", muted=True)


def packet(**fields: object) -> models.DataPacket:
    return models.DataPacket(user=models.UserPacket(payload=b"hi"), **fields)  # type: ignore[arg-type]


def test_the_server_writes_who_sent_a_packet() -> None:
    room = new_room()
    ann, bob = enter(room, "ann"), enter(room, "bob")
    [sent] = data.forward(room, ann, packet(participant_identity="bob", participant_sid=bob), reliable=True)
    assert sent.sids == (bob,)
    assert (sent.packet.participant_identity, sent.packet.participant_sid) == ("ann", ann)
    assert (sent.packet.user.participant_identity, sent.packet.user.participant_sid) == ("ann", ann)


def test_a_hidden_sender_stays_unknown() -> None:
    room = new_room()
    hidden = models.ParticipantPermission(can_publish_data=True, hidden=True)
    ghost, _ = enter(room, "ghost", permission=hidden), enter(room, "bob")
    [sent] = data.forward(room, ghost, packet(), reliable=False)
    assert (sent.packet.participant_identity, sent.packet.participant_sid) == ("", "")


def test_a_repeated_reliable_packet_is_dropped() -> None:
    room = new_room()
    ann, _ = enter(room, "ann"), enter(room, "bob")
    numbers = [1, 2, 2, 1, 3]
    sent = [bool(data.forward(room, ann, packet(sequence=n), reliable=True)) for n in numbers]
    assert sent == [True, True, False, False, True]
    assert room.find("ann").last_sequence == 3


@pytest.mark.parametrize(("kind", "arrives"), [(Kind.STANDARD, False), (Kind.AGENT, True)])
def test_only_agents_send_transcriptions(kind: models.ParticipantInfo.Kind, arrives: bool) -> None:  # noqa: FBT001
    room = new_room()
    sender, _ = enter(room, "sender", kind=kind), enter(room, "bob")
    words = models.DataPacket(transcription=models.Transcription(track_id="TR_1"))
    assert bool(data.forward(room, sender, words, reliable=True)) is arrives


def test_an_agent_may_speak_in_a_participants_name() -> None:
    room = new_room()
    agent, _ = enter(room, "agent", kind=Kind.AGENT), enter(room, "bob")
    spoken = models.DataPacket(participant_identity="bob", stream_header=models.DataStream.Header(stream_id="s"))
    [sent] = data.forward(room, agent, spoken, reliable=True)
    assert sent.packet.participant_identity == "bob"


def test_destinations_narrow_who_receives() -> None:
    room = new_room()
    ann, bob, cat = enter(room, "ann"), enter(room, "bob"), enter(room, "cat")
    assert data.forward(room, ann, packet(destination_identities=["cat"]), reliable=True)[0].sids == (cat,)
    assert data.forward(room, ann, packet(), reliable=True)[0].sids == (bob, cat)
    assert data.forward(room, ann, packet(destination_identities=["nobody"]), reliable=True) == []


def test_speakers_are_told_only_when_something_changed() -> None:
    room = new_room()
    ann, bob = enter(room, "ann"), enter(room, "bob")
    publish(room, ann)
    assert {signal.sid for signal in activity.speakers(room, {ann: 0.5})} == {ann, bob}
    assert activity.speakers(room, {ann: 0.5}) == []
    [*silent] = activity.speakers(room, {})
    assert {(s.sid, s.message.speakers_changed.speakers[0].active) for s in silent} == {(ann, False), (bob, False)}


def test_a_quality_is_told_once_to_each_who_sees_the_participant_also_to_latecomers() -> None:
    room = new_room()
    ann = enter(room, "ann")
    publish(room, ann)
    measured = {ann: (models.ConnectionQuality.EXCELLENT, 5.0)}
    assert [signal.sid for signal in activity.qualities(room, measured)] == [ann]
    assert activity.qualities(room, measured) == []
    bob = enter(room, "bob")
    assert [signal.sid for signal in activity.qualities(room, measured)] == [bob]
    poor = {ann: (models.ConnectionQuality.POOR, 2.0)}
    assert {signal.sid for signal in activity.qualities(room, poor)} == {ann, bob}


class AnyRoom(RuleBasedStateMachine):
    """People come, publish, quarrel and go in any order."""

    names = st.sampled_from(["ann", "bob", "cat"])
    kinds = st.sampled_from([Kind.STANDARD, Kind.AGENT, Kind.SIP])

    @initialize()
    def begin(self) -> None:
        self.room = new_room()
        self.now = START
        self.told: dict[str, tuple[str, ...]] = {}
        self.joined: list[str] = []
        self.left: list[str] = []
        self.tracks: dict[str, int] = {}
        self.finished = 0

    def carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case SetSubscriptions(sid=sid, tracks=tracks):
                    self.told[sid] = tracks
                    self.carry_out(self.room.tracks_subscribed(sid, tracks))
                case Signal(message=message) if message.HasField("track_subscribed"):
                    subscribed = message.track_subscribed.track_sid
                    assert any(p.active and subscribed in p.subscribed for p in self.room.participants.values())
                case CloseSession(sid=sid):
                    self.left.append(sid)
                    self.told.pop(sid, None)
                case Publicize(event="track_published", track=track) if track is not None:
                    self.tracks[track.sid] = self.tracks.get(track.sid, 0) + 1
                case Publicize(event="track_unpublished", track=track) if track is not None:
                    self.tracks[track.sid] -= 1
                case CloseRoom():
                    self.finished += 1
                case Deliver(sids=sids):
                    assert set(sids) <= set(self.room.participants)
                case _:
                    pass

    def somebody(self, name: str) -> str:
        return next((p.sid for p in self.room.participants.values() if p.identity == name), "PA_nobody")

    @precondition(lambda self: not self.room.closed)
    @rule(name=names, kind=kinds, auto=st.booleans())
    def join(self, name: str, kind: models.ParticipantInfo.Kind, auto: bool) -> None:  # noqa: FBT001
        participant, effects = self.room.join(Joiner(name, kind=kind, permission=ALL, auto_subscribe=auto), self.now)
        self.carry_out(effects)
        self.joined.append(participant.sid)
        self.carry_out(self.room.answered(participant.sid))

    @rule(name=names)
    def become_active(self, name: str) -> None:
        self.carry_out(self.room.activated(self.somebody(name)))

    @rule(name=names, cid=st.sampled_from(["mic", "cam"]))
    def announce(self, name: str, cid: str) -> None:
        self.carry_out(publishing.add_track(self.room, self.somebody(name), rtc.AddTrackRequest(cid=cid)))

    @rule(name=names, cid=st.sampled_from(["mic", "cam", "?"]))
    def negotiate(self, name: str, cid: str) -> None:
        sid = self.somebody(name)
        track = publishing.bind_track(self.room, sid, cid, cid)
        if track is not None:
            self.carry_out(publishing.track_live(self.room, sid, track))

    @rule(name=names, chosen=st.data())
    def unpublish(self, name: str, chosen: st.DataObject) -> None:
        sid = self.somebody(name)
        tracks = list(self.room.participants[sid].tracks) if sid in self.room.participants else []
        self.carry_out(publishing.track_gone(self.room, sid, chosen.draw(st.sampled_from([*tracks, "TR_none"]))))

    @rule(name=names, chosen=st.data(), subscribe=st.booleans())
    def choose(self, name: str, chosen: st.DataObject, subscribe: bool) -> None:  # noqa: FBT001
        track = chosen.draw(st.sampled_from([*self.tracks, "TR_none"]))
        self.carry_out(self.room.update_subscription(self.somebody(name), [track], subscribe=subscribe))

    @rule(name=names, who=names, every=st.booleans())
    def permit(self, name: str, who: str, every: bool) -> None:  # noqa: FBT001
        permission = rtc.TrackPermission(participant_identity=who, all_tracks=True)
        request = rtc.SubscriptionPermission(all_participants=every, track_permissions=[permission])
        self.carry_out(self.room.set_track_permissions(self.somebody(name), request))

    @rule(name=names, to=names)
    def say(self, name: str, to: str) -> None:
        self.carry_out(
            list(data.forward(self.room, self.somebody(name), packet(destination_identities=[to]), reliable=True))
        )

    @rule(name=names, reason=st.sampled_from(list(Reason.values())))
    def leave(self, name: str, reason: models.DisconnectReason) -> None:
        self.carry_out(self.room.leave(self.somebody(name), reason, self.now))

    @precondition(lambda self: not self.room.closed)
    @rule(seconds=st.floats(0, 400))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.carry_out(self.room.tick(self.now))

    @invariant()
    def identities_are_unique(self) -> None:
        identities = [p.identity for p in self.room.participants.values()]
        assert len(identities) == len(set(identities))

    @invariant()
    def everybody_left_exactly_once(self) -> None:
        assert sorted([*self.left, *self.room.participants]) == sorted(self.joined)

    @invariant()
    def the_shell_knows_the_subscriptions_of_now(self) -> None:
        for subscriber in self.room.participants.values():
            wanted = wanted_tracks(self.room.participants.values(), subscriber)
            assert set(self.told.get(subscriber.sid, ())) == set(wanted)

    @invariant()
    def webhooks_know_the_tracks_of_now(self) -> None:
        live = {t.info.sid for p in self.room.participants.values() for t in p.live_tracks()}
        assert {sid for sid, balance in self.tracks.items() if balance} == live
        assert set(self.tracks.values()) <= {0, 1}

    @invariant()
    def a_room_finishes_once_and_empty(self) -> None:
        assert self.finished == int(self.room.closed)
        assert not (self.room.closed and self.room.participants)

    @invariant()
    def only_participants_who_were_answered_receive(self) -> None:
        for sid, tracks in self.told.items():
            assert not tracks or self.room.participants[sid].present


AnyRoom.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnyRoom = AnyRoom.TestCase


def test_what_a_client_lists_of_itself_is_told_once_and_only_if_it_means_something() -> None:
    room = new_room()
    feature, endless = (
        models.AudioTrackFeature.TF_STEREO,
        [*range(1000, 3000), *[models.AudioTrackFeature.TF_STEREO] * 9],
    )
    capability = models.ClientInfo.Capability.CAP_PACKET_TRAILER
    client = models.ClientInfo(capabilities=[9999, capability, capability])  # type: ignore[list-item]
    sid = enter(room, "ann", client=client)
    asked = rtc.AddTrackRequest(cid="mic", source=models.MICROPHONE, audio_features=endless)
    publishing.add_track(room, sid, asked)
    [track] = room.participants[sid].tracks.values()
    assert list(track.info.audio_features) == [feature]
    publishing.update_audio_features(room, sid, track.info.sid, endless)
    assert list(track.info.audio_features) == [feature]
    assert list(room.participants[sid].info().capabilities) == [capability]
    [refused] = publishing.add_track(room, sid, rtc.AddTrackRequest(cid="mic-2", stream="s" * 9))
    assert isinstance(refused, Signal)
    assert refused.message.request_response.reason == Answer.LIMIT_EXCEEDED
