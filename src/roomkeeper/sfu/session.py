"""One participant's session: its signal connection above, its media below, its room beside.

Several signal connections may follow one another (a resume); the media connection stays. The session is judged by its
media: a lost signal connection alone ends it only if no media ever came (facts, livekit-server B: "Vanishing").
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from google.protobuf.message import DecodeError
from livekit.protocol import models, rtc

from roomkeeper.sfu import data, publishing
from roomkeeper.sfu.media.dual import DualConnection
from roomkeeper.sfu.media.peer import DATA_TRACK, LOSSY, RELIABLE
from roomkeeper.sfu.media.sdp import InvalidDescription
from roomkeeper.sfu.media.single import SingleConnection
from roomkeeper.sfu.messages import Answer, leave_message, request_answer
from roomkeeper.sfu.participant import Participant, State
from roomkeeper.sfu.room import CLIENT_REASONS, Room

if TYPE_CHECKING:
    from collections.abc import Iterable

    from livekit.protocol.room import UpdateSubscriptionsRequest

    from roomkeeper.sfu.backlog import Backlog
    from roomkeeper.sfu.effects import Effect
    from roomkeeper.sfu.media.connection import Connection, Exchange, MediaStack, Wanted

logger = logging.getLogger(__name__)

Reason = models.DisconnectReason
Action = rtc.LeaveRequest

JOIN_TIMEOUT = 60.0
"""Seconds from join to ACTIVE, else JOIN_FAILURE."""
ANSWER_TIMEOUT = 15.0
"""Seconds our offer may stay unanswered, else the client is told to reconnect."""
SILENCE_FAILED = 15.0
SILENCE_GONE = 20.0
"""Seconds without a packet until ICE counts as failed, and until the participant is removed."""
SILENCE_POOR, SILENCE_LOST = 7.0, 12.0
"""Seconds without a packet from which the quality is told as poor, as lost."""
LOSS_GOOD, LOSS_POOR = 0.05, 0.2
"""Shares of lost packets from which the quality is no longer excellent, no longer good."""
FAREWELL_OF_MEDIA = 3.0
"""Seconds that the peer connections of a session outlive it when its client is to reconnect."""
PROTOCOLS = {rtc.CandidateProtocol.UDP: "udp", rtc.CandidateProtocol.TCP: "tcp"}
SIMULATED_DISCONNECT = 5.0
"""Seconds in which a resume is cut again, on request (SimulateScenario)."""


class Sink(Protocol):
    """A signal connection, as its session sees it."""

    def send(self, message: rtc.SignalResponse) -> None:
        """Queues a message."""

    def close(self) -> None:
        """Closes the connection after what is queued."""


class SessionHost(Protocol):
    """The room's shell, as a session sees it."""

    room: Room

    def apply(self, effects: Iterable[Effect]) -> None:
        """Carries out what the room decided."""

    def rpc_answered(self, packet: models.DataPacket) -> bool:
        """Takes an answer to an RPC of the server's own; False if it is none."""

    def refresh_token(self, session: Session) -> None:
        """Sends a token with the participant's present claims."""

    def wall(self) -> float:
        """Returns unix seconds."""

    def prefer(self, identity: str, protocol: str | None) -> None:
        """Offers a participant candidates of one protocol only, from its next session on; None: of all."""

    def simulate_speaker(self, sid: str, seconds: int) -> None:
        """Pretends that a participant speaks."""


class Session:
    """A participant's session. Also the `ConnectionObserver` of its media."""

    def __init__(
        self, host: SessionHost, participant: Participant, stack: MediaStack, backlog: Backlog, *, single: bool
    ) -> None:
        self.host = host
        self.participant = participant
        self.single = single
        self.sink: Sink | None = None
        self.closed = False
        self.cut_resumes_until = 0.0
        self.signal_lost_at: float | None = None
        self._signal_heard_at = host.wall()
        self._stack = stack
        self._opened_at = self._resumed_at = stack.now()
        self._failed = False
        self._backlog = backlog
        self._channels: set[str] = set()
        self.subscriber_primary = not single and participant.permission.can_subscribe
        self.connection: Connection = (
            SingleConnection(stack, self)
            if single
            else DualConnection(stack, self, subscriber_primary=self.subscriber_primary)
        )

    @property
    def sid(self) -> str:
        """The participant's `PA_` sid."""
        return self.participant.sid

    # -- signal -------------------------------------------------------------------------------------------------------

    def attach(self, sink: Sink) -> None:
        """Takes a signal connection; an older one is closed."""
        if self.sink is not None:
            self.sink.close()
        self.sink = sink
        self.signal_lost_at = None
        self._failed = False

    def detach(self, sink: Sink) -> None:
        """The signal connection is gone. Without any media yet, so is the participant."""
        if self.sink is not sink:
            return
        self.sink = None
        self.signal_lost_at = self.host.wall()
        if not self.closed and not any(peer.connected for peer in self.connection.peers):
            self._leave(Reason.SIGNAL_CLOSE)

    def abandon(self) -> None:
        """The signal connection has failed before it began."""
        if not self.closed:
            self._leave(Reason.SIGNAL_CLOSE)

    def cut(self, until: float) -> None:
        """Lets nothing of the client's pass until then, in seconds of the stack's clock; see `outage.py`."""
        for peer in self.connection.peers:
            peer.ice.cut_until = until
        if self.sink is not None:
            self.sink.close()

    def send(self, message: rtc.SignalResponse) -> None:
        """Sends a signal message, if the client can be reached."""
        if self.sink is not None:
            self.sink.send(message)

    def receive(self, request: rtc.SignalRequest) -> None:
        """Takes one message of the client; unknown and empty ones are ignored, like the original does."""
        self._signal_heard_at = self.host.wall()
        room, sid = self.host.room, self.sid
        match request.WhichOneof("message"):
            case "offer":
                self.take_offer(request.offer)
            case "answer":
                self._take_answer(request.answer)
            case "add_track":
                self.host.apply(publishing.add_track(room, sid, request.add_track))
            case "mute":
                self.host.apply(publishing.mute(room, sid, request.mute.sid, muted=request.mute.muted))
            case "subscription":
                wanted = subscribed_sids(request.subscription)
                self.host.apply(room.update_subscription(sid, wanted, subscribe=request.subscription.subscribe))
            case "subscription_permission":
                self.host.apply(room.set_track_permissions(sid, request.subscription_permission))
            case "track_setting":
                setting = request.track_setting
                self.host.apply(room.set_disabled(sid, setting.track_sids, disabled=setting.disabled))
            case "update_metadata":
                self.host.apply(room.update_own_metadata(sid, request.update_metadata))
            case "update_audio_track":
                update = request.update_audio_track
                self.host.apply(publishing.update_audio_features(room, sid, update.track_sid, update.features))
            case "leave":
                reason = request.leave.reason
                self._leave(reason if reason in CLIENT_REASONS else Reason.CLIENT_INITIATED)
            case "ping":
                self.send(rtc.SignalResponse(pong=int(self.host.wall() * 1000)))
            case "ping_req":
                pong = rtc.Pong(last_ping_timestamp=request.ping_req.timestamp, timestamp=int(self.host.wall() * 1000))
                self.send(rtc.SignalResponse(pong_resp=pong))
            case "sync_state":
                self._synchronize(request.sync_state)
            case "simulate":
                self._simulate(request.simulate)
            case "publish_data_track_request":
                self._refuse_data_track(request.publish_data_track_request)
            case _:
                # trickle: candidates of an ICE-lite client come with its checks; video and data tracks are not served.
                pass

    def take_offer(self, offer: rtc.SessionDescription) -> None:
        """Answers a client's offer; one that cannot be used makes the client reconnect."""
        try:
            exchange = self.connection.offered(offer.sdp, offer.id)
        except InvalidDescription as error:
            logger.info("offer refused", extra={"participant": self.sid, "error": error.detail})
            self.reconnect()
            return
        self.send(rtc.SignalResponse(answer=_description("answer", exchange)))
        self._tell_publishers()

    def _take_answer(self, answer: rtc.SessionDescription) -> None:
        try:
            self.connection.answered(answer.sdp, answer.id)
        except InvalidDescription as error:
            logger.info("answer refused", extra={"participant": self.sid, "error": error.detail})
            self.reconnect()
            return
        self._tell_publishers()

    def _tell_publishers(self) -> None:
        """Whoever waits to be heard by somebody, as agents do, may speak once that is so, and not when it is wanted."""
        self.host.apply(self.host.room.tracks_subscribed(self.sid, self.connection.flowing()))

    def _synchronize(self, state: rtc.SyncState) -> None:
        """What a resumed client believes: unknown publications mean that it must reconnect fully."""
        known = self.participant.tracks
        if any(published.track.sid not in known for published in state.publish_tracks):
            self.reconnect()
            return
        room = self.host.room
        if state.HasField("subscription"):
            wanted = subscribed_sids(state.subscription)
            self.host.apply(room.update_subscription(self.sid, wanted, subscribe=state.subscription.subscribe))
        if state.track_sids_disabled:
            self.host.apply(room.set_disabled(self.sid, state.track_sids_disabled, disabled=True))

    def _simulate(self, scenario: rtc.SimulateScenario) -> None:
        match scenario.WhichOneof("scenario"):
            case "speaker_update":
                self.host.simulate_speaker(self.sid, scenario.speaker_update)
            case "migration":
                self._leave(Reason.MIGRATION)
            case "node_failure":
                self._leave(Reason.SERVER_SHUTDOWN)
            case "server_leave":
                self._leave(Reason.SERVER_SHUTDOWN, tell=True)
            case "switch_candidate_protocol":
                protocol = PROTOCOLS.get(scenario.switch_candidate_protocol)
                self.host.prefer(self.participant.identity, protocol)
                self.connection.only(protocol)
                self.connection.restart()
            case "disconnect_signal_on_resume" | "disconnect_signal_on_resume_no_messages":
                self.cut_resumes_until = self._stack.now() + SIMULATED_DISCONNECT
            case _:
                # subscriber_bandwidth steers video; leave_request_full_reconnect does nothing in the original either.
                pass

    def _refuse_data_track(self, request: rtc.PublishDataTrackRequest) -> None:
        answer = request_answer(Answer.UNSUPPORTED_TYPE, "roomkeeper.sfu serves no data tracks; use data packets.")
        answer.request_response.publish_data_track.CopyFrom(request)
        self.send(answer)

    def resume(self, sink: Sink, answer: rtc.ReconnectResponse) -> None:
        """Goes on over a new signal connection: what the client missed, then an ICE restart (facts B: "Resume")."""
        gone = self._missed()
        self.attach(sink)
        # The client is alive: its media gets the whole time to come back, on another network perhaps.
        self._resumed_at = self._stack.now()
        room = self.host.room
        answer.last_message_seq = self.participant.last_sequence
        self.send(rtc.SignalResponse(reconnect=answer))
        if gone:
            self.send(rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=gone)))
        self.participant.touch()
        everybody = [self.participant.info(), *(p.info() for p in room.others(self.sid))]
        self.send(rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=everybody)))
        self.send(rtc.SignalResponse(room_update=rtc.RoomUpdate(room=room.describe())))
        self.connection.restart()
        self.host.refresh_token(self)

    def _missed(self) -> list[models.ParticipantInfo]:
        """Who left without this client's hearing of it: a connection may be dead long before the server sees it.

        Of the time in which it may still have been alive, those who are back are left out: the client may know them.
        """
        room, lost_at = self.host.room, self.signal_lost_at
        lost = room.departed_since(lost_at) if lost_at is not None else []
        here = {participant.identity for participant in room.others(self.sid)}
        return [one for one in room.departed_since(self._signal_heard_at) if one in lost or one.identity not in here]

    # -- the session's end --------------------------------------------------------------------------------------------

    def _leave(self, reason: models.DisconnectReason, *, tell: bool = False) -> None:
        self.host.apply(self.host.room.leave(self.sid, reason, self.host.wall(), tell=tell))

    def reconnect(self) -> None:
        """Ends the session in a way that makes the client come back as a new one.

        The participant is removed here, with STATE_MISMATCH: the client's own Leave would say CLIENT_INITIATED, which
        agents take for a hang-up (facts, room server: "Full reconnect and agents").
        """
        leave = self.host.room.leave(
            self.sid, Reason.STATE_MISMATCH, self.host.wall(), tell=True, action=Action.RECONNECT
        )
        self.host.apply(leave)

    async def close(self, reason: models.DisconnectReason) -> None:
        """Ends signal and media."""
        self.closed = True
        if self.sink is not None:
            self.sink.close()
            self.sink = None
        self.connection.silence()
        if reason == Reason.STATE_MISMATCH:
            # A client that is just resuming waits for its peer connections before it reads that it must begin anew:
            # torn down under it, they cost it 15 s.
            await asyncio.sleep(FAREWELL_OF_MEDIA)
        await self.connection.close()

    def tick(self) -> None:
        """Judges the session by its silences (called each tick)."""
        now = self._stack.now()
        if self.closed:
            return
        heard = self.connection.heard_at()
        silence = now - max(heard, self._resumed_at) if heard is not None else 0.0
        if self.participant.state != State.ACTIVE and now - self._opened_at >= JOIN_TIMEOUT:
            self._leave(Reason.JOIN_FAILURE, tell=True)
        elif silence >= SILENCE_GONE:
            self._leave(Reason.CONNECTION_TIMEOUT)
        elif silence >= SILENCE_FAILED and not self._failed:
            self.media_failed("silence")
        elif isinstance(self.connection, DualConnection):
            waiting = self.connection.waiting_since
            answers = self.sink is not None and self.participant.state == State.ACTIVE
            if waiting is not None and answers and now - waiting >= ANSWER_TIMEOUT:
                self.reconnect()

    def quality(self) -> tuple[models.ConnectionQuality, float]:
        """Returns the quality of the connection now, and its score from 0 to 5."""
        now = self._stack.now()
        heard = self.connection.heard_at()
        silence = now - heard if heard is not None else 0.0
        if silence >= SILENCE_LOST:
            return models.ConnectionQuality.LOST, 0.0
        loss = self.connection.loss()
        if silence >= SILENCE_POOR or loss >= LOSS_POOR:
            return models.ConnectionQuality.POOR, 2.0
        if loss >= LOSS_GOOD:
            return models.ConnectionQuality.GOOD, 3.5
        return models.ConnectionQuality.EXCELLENT, 5.0

    # -- media (ConnectionObserver) -----------------------------------------------------------------------------------

    def bind_track(self, cid: str, mid: str) -> str | None:
        """See `ConnectionObserver`."""
        return publishing.bind_track(self.host.room, self.sid, cid, mid)

    def track_live(self, sid: str) -> None:
        """See `ConnectionObserver`."""
        self.host.apply(publishing.track_live(self.host.room, self.sid, sid))

    def track_gone(self, sid: str) -> None:
        """See `ConnectionObserver`."""
        self.host.apply(publishing.track_gone(self.host.room, self.sid, sid))

    def send_offer(self, exchange: Exchange) -> None:
        """See `ConnectionObserver`."""
        self.send(rtc.SignalResponse(offer=_description("offer", exchange)))

    def require_sections(self, audios: int) -> None:
        """See `ConnectionObserver`."""
        requirement = rtc.MediaSectionsRequirement(num_audios=audios)
        self.send(rtc.SignalResponse(media_sections_requirement=requirement))

    def media_connected(self, *, primary: bool) -> None:
        """See `ConnectionObserver`."""
        if primary:
            self.host.apply(self.host.room.activated(self.sid))
        self._tell_publishers()

    def media_failed(self, why: str) -> None:
        """See `ConnectionObserver`: the client is asked to resume; if it does not, silence ends the session."""
        if self._failed or self.closed:
            return
        self._failed = True
        logger.info("media failed", extra={"participant": self.sid, "why": why})
        if self.sink is not None:
            self.sink.send(leave_message(Reason.CONNECTION_TIMEOUT, Action.RESUME))
            self.sink.close()
            self.sink = None
            self.signal_lost_at = self.host.wall()

    def overdone(self, what: str) -> None:
        """See `ConnectionObserver`."""
        logger.warning("client removed", extra={"participant": self.sid, "why": f"too many {what}"})
        self._leave(Reason.PARTICIPANT_REMOVED, tell=True)

    def channel_open(self, label: str) -> None:
        """See `ConnectionObserver`: what came while the channel was closed follows."""
        self._channels.add(label)
        if label != RELIABLE:
            return
        for packet in self._backlog.take(now=self._stack.now()):
            self.connection.data_peer.send(RELIABLE, packet)

    def channel_message(self, label: str, message: bytes) -> None:
        """See `ConnectionObserver`."""
        if self.closed or label == DATA_TRACK:
            return
        reliable = label != LOSSY
        packet = models.DataPacket()
        if label in {RELIABLE, LOSSY}:
            try:
                packet.ParseFromString(message)
            except DecodeError:
                logger.info("data packet dropped", extra={"participant": self.sid})
                return
        else:
            packet.user.payload = message
        if not self.host.rpc_answered(packet):
            self.host.apply(data.forward(self.host.room, self.sid, packet, reliable=reliable))

    def deliver(self, packet: bytes, *, reliable: bool) -> None:
        """Sends a data packet down; reliable ones wait a moment for the channel to open."""
        if self.connection.data_peer.send(RELIABLE if reliable else LOSSY, packet) or not reliable:
            return
        if RELIABLE not in self._channels:
            self._backlog.keep(packet, now=self._stack.now())

    def subscribe(self, wanted: dict[str, Wanted]) -> None:
        """Makes these tracks the whole set that the client receives."""
        self.connection.want(wanted)


def _description(kind: str, exchange: Exchange) -> rtc.SessionDescription:
    return rtc.SessionDescription(
        type=kind, sdp=exchange.text, id=exchange.id, mid_to_track_id=dict(exchange.mid_to_track)
    )


def subscribed_sids(request: rtc.UpdateSubscription | UpdateSubscriptionsRequest) -> list[str]:
    """Returns the track sids a request names, alone or below their participants."""
    return [*request.track_sids, *(sid for tracks in request.participant_tracks for sid in tracks.track_sids)]
