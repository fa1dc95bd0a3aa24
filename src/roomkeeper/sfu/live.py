"""A live room: the pure `Room` with the sessions of its participants, and the hands that carry out its effects."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, assert_never

from livekit.protocol import models, rtc
from livekit.protocol.webhook import WebhookEvent

from roomkeeper.errors import RoomkeeperError
from roomkeeper.sfu import activity
from roomkeeper.sfu.backlog import Backlog
from roomkeeper.sfu.effects import (
    CloseRoom,
    CloseSession,
    Deliver,
    Effect,
    ForgetParticipant,
    OfferJobs,
    Publicize,
    RefreshToken,
    SetSubscriptions,
    Signal,
    StopTrack,
)
from roomkeeper.sfu.media.connection import MediaStack, Wanted
from roomkeeper.sfu.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from roomkeeper.sfu.participant import Joiner, Participant
    from roomkeeper.sfu.room import Room

logger = logging.getLogger(__name__)

SPEAKER_SHARE = 0.4
"""Share of a window's packets that must be loud for a participant to count as speaking."""
LEVEL_STEPS = 8
SIMULATED_LEVEL, LONGEST_SIMULATION = 0.9, 60
"""Linear level, and seconds (SimulateScenario)."""
MAX_PACKET = 64 * 1024 - 1
"""Bytes of one data packet on a channel."""


class RpcFailed(RoomkeeperError):
    """The participant did not carry out the RPC."""

    def __init__(self, code: int, words: str, data: str = "") -> None:
        super().__init__(f"RpcError {code}: {words}")
        self.code, self.words, self.data = code, words, data


class Dispatcher(Protocol):
    """Who brings agents into rooms (see `dispatch.py`)."""

    def participant_joined(self, room: models.Room, participant: models.ParticipantInfo) -> None:
        """Somebody has joined."""

    def track_published(self, room: models.Room, participant: models.ParticipantInfo) -> None:
        """Somebody has published for the first time."""

    def participant_left(self, room_name: str, participant: models.ParticipantInfo) -> None:
        """Somebody has left."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a live room needs of the process around it.

    Attributes:
        spawn: Starts a task that the process owns.
        refresh: Makes a token with the participant's present claims.
        forget: Told the sid of a participant whose claims are needed no more.
        closed: Told when the room is over.
        delivered: Told (bytes, receivers) of a data packet, for the metrics.
        patience: Seconds that reliable data waits for a receiver whose channel is not open yet.
    """

    stack: MediaStack
    dispatcher: Dispatcher
    publicize: Callable[[WebhookEvent], None]
    spawn: Callable[[Coroutine[Any, Any, None]], None]
    refresh: Callable[[Participant], str]
    forget: Callable[[str], None]
    closed: Callable[[LiveRoom], None]
    delivered: Callable[[int, int], None]
    patience: float


class LiveRoom:
    """A room with people in it; the `SessionHost` of their sessions.

    Attributes:
        nonces: Of the latest SendData, so that a repeated one arrives once.
    """

    def __init__(self, room: Room, around: Surroundings) -> None:
        self.room = room
        self.sessions: dict[str, Session] = {}
        self.closed = asyncio.Event()
        self.nonces: dict[bytes, None] = {}
        self._around = around
        self._protocols: dict[str, str] = {}  # identity -> "udp" or "tcp", if one was asked for
        self._pretending: set[str] = set()  # sids of SimulateScenario's speakers
        self._rpcs: dict[str, tuple[asyncio.Future[None], asyncio.Future[str]]] = {}

    @property
    def name(self) -> str:
        """The room's name."""
        return self.room.info.name

    def wall(self) -> float:
        """Returns unix seconds."""
        return self._around.stack.wall()

    # -- sessions -----------------------------------------------------------------------------------------------------

    def join(self, joiner: Joiner, *, single: bool) -> Session:
        """Lets somebody in, on a session whose signal connection is still to come.

        Raises:
            RoomFull: There is no place.
        """
        participant, effects = self.room.join(joiner, self.wall())
        session = Session(self, participant, self._around.stack, Backlog(self._around.patience), single=single)
        session.connection.only(self._protocols.get(joiner.identity))
        self.sessions[participant.sid] = session
        self.apply(effects)
        return session

    def session_of(self, identity: str) -> Session | None:
        """Returns the session of a participant who is here."""
        return next((s for s in self.sessions.values() if s.participant.identity == identity and not s.closed), None)

    def leave(self, sid: str, reason: models.DisconnectReason, *, tell: bool) -> None:
        """Takes a participant out."""
        self.apply(self.room.leave(sid, reason, self.wall(), tell=tell))

    def close(self, reason: models.DisconnectReason) -> None:
        """Ends the room."""
        self.apply(self.room.close(reason, self.wall()))

    def refresh_token(self, session: Session) -> None:
        """See `SessionHost`."""
        session.send(rtc.SignalResponse(refresh_token=self._around.refresh(session.participant)))

    # -- effects ------------------------------------------------------------------------------------------------------

    def apply(self, effects: Iterable[Effect]) -> None:
        """Carries out what the room decided, in order."""
        for effect in effects:
            self._apply(effect)

    def _apply(self, effect: Effect) -> None:
        around = self._around
        match effect:
            case Signal(sid=sid, message=message):
                if session := self.sessions.get(sid):
                    session.send(message)
            case SetSubscriptions(sid=sid, tracks=tracks):
                self._subscribe(sid, tracks)
            case StopTrack(sid=sid, track_sid=track_sid):
                if session := self.sessions.get(sid):
                    session.connection.unpublish(track_sid)
            case Deliver(sids=sids, packet=packet, reliable=reliable):
                self._deliver(sids, packet, reliable=reliable)
            case CloseSession(sid=sid, reason=reason):
                if session := self.sessions.pop(sid, None):
                    session.closed = True
                    around.forget(sid)
                    around.spawn(session.close(reason))
            case Publicize(event=name, room=room, participant=participant, track=track):
                around.publicize(webhook_event(name, room, participant, track))
            case OfferJobs(participant=participant, publisher=publisher):
                offer = around.dispatcher.track_published if publisher else around.dispatcher.participant_joined
                offer(self.room.describe(), participant)
            case ForgetParticipant(participant=participant):
                around.dispatcher.participant_left(self.name, participant)
            case RefreshToken(sid=sid):
                if session := self.sessions.get(sid):
                    self.refresh_token(session)
            case CloseRoom():
                self.closed.set()
                around.closed(self)
            case _:
                assert_never(effect)

    def _subscribe(self, sid: str, tracks: tuple[str, ...]) -> None:
        subscriber = self.sessions.get(sid)
        if subscriber is None:
            return
        wanted: dict[str, Wanted] = {}
        for publisher in self.sessions.values():
            for track in publisher.participant.live_tracks():
                track_sid = track.info.sid
                up = publisher.connection.published(track_sid) if track_sid in tracks else None
                if up is not None:
                    paused = track_sid in subscriber.participant.disabled
                    wanted[track_sid] = Wanted(up, publisher.sid, stereo=track.info.stereo, paused=paused)
        subscriber.subscribe(wanted)

    def _deliver(self, sids: tuple[str, ...], packet: models.DataPacket, *, reliable: bool) -> None:
        data = packet.SerializeToString()
        if len(data) > MAX_PACKET:
            logger.info("data packet too large", extra={"room": self.name, "bytes": len(data)})
            return
        for sid in sids:
            if session := self.sessions.get(sid):
                session.deliver(data, reliable=reliable)
        self._around.delivered(len(data), len(sids))

    # -- what happens by itself ---------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Judges silences and timeouts (called each tick)."""
        for session in list(self.sessions.values()):
            session.tick()
        self.apply(self.room.tick(self.wall()))

    def measure_speakers(self) -> None:
        """Tells who speaks (called every 400 ms; facts C: "Speakers")."""
        levels: dict[str, float] = {}
        for session in self.sessions.values():
            for track in session.participant.live_tracks():
                up = session.connection.published(track.info.sid)
                if up is None or track.info.source == models.TrackSource.SCREEN_SHARE_AUDIO:
                    continue
                loudness = up.loudness()
                if loudness.share >= SPEAKER_SHARE and not track.info.muted:
                    level = math.ceil(min(1.0, loudness.level) * LEVEL_STEPS) / LEVEL_STEPS
                    levels[session.sid] = max(level, levels.get(session.sid, 0.0))
        if levels or self.room.speaking:
            self.apply(activity.speakers(self.room, levels))

    def measure_quality(self) -> None:
        """Tells changed connection qualities (called every 5 s)."""
        self.apply(activity.qualities(self.room, {sid: session.quality() for sid, session in self.sessions.items()}))

    def simulate_speaker(self, sid: str, seconds: int) -> None:
        """See `SessionHost` (SimulateScenario); whoever pretends already goes on doing so."""
        if sid in self._pretending:
            return
        self._pretending.add(sid)

        async def pretend() -> None:
            loud = models.SpeakerInfo(sid=sid, level=SIMULATED_LEVEL, active=True)
            self.apply(activity.announce(self.room, [loud]))
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(seconds, 0), LONGEST_SIMULATION)):
                    await self.closed.wait()  # a room that is over, or a server that stops, waits for no pretence
            self._pretending.discard(sid)
            self.apply(activity.announce(self.room, [models.SpeakerInfo(sid=sid)]))

        self._around.spawn(pretend())

    def prefer(self, identity: str, protocol: str | None) -> None:
        """See `SessionHost`: it holds for the session that this participant's full reconnect begins."""
        if protocol is None:
            self._protocols.pop(identity, None)
        else:
            self._protocols[identity] = protocol

    # -- RPC of the server's own --------------------------------------------------------------------------------------

    def rpc_answered(self, packet: models.DataPacket) -> bool:
        """See `SessionHost`."""
        pending = [identity for identity in packet.destination_identities if identity in self._rpcs]
        if not pending:
            return False
        acknowledged, answered = self._rpcs[pending[0]]
        if packet.HasField("rpc_ack") and not acknowledged.done():
            acknowledged.set_result(None)
        if packet.HasField("rpc_response") and not answered.done():
            response = packet.rpc_response
            if response.HasField("error"):
                error = response.error
                answered.set_exception(RpcFailed(error.code, error.message, error.data))
            else:
                answered.set_result(response.payload)
        return True

    async def perform_rpc(self, identity: str, method: str, payload: str, timeout: float) -> str:  # noqa: ASYNC109
        """Calls a method of a participant in the server's name.

        Args:
            identity: Whom to call.
            method: The registered method.
            payload: At most 15 KiB.
            timeout: Seconds until it gives up; an acknowledgement must come within two.

        Raises:
            NoSuchParticipant: Nobody here has the identity.
            RpcFailed: The participant refused, failed or did not answer.
        """
        participant = self.room.find(identity)
        request = models.RpcRequest(
            id=secrets.token_hex(16), method=method, payload=payload, response_timeout_ms=int(timeout * 1000), version=1
        )
        loop = asyncio.get_running_loop()
        acknowledged, answered = loop.create_future(), loop.create_future()
        # An answer may come for which nobody waits any more.
        answered.add_done_callback(lambda future: future.cancelled() or future.exception())
        packet = models.DataPacket(
            participant_identity=request.id, destination_identities=[identity], rpc_request=request
        )
        self._rpcs[request.id] = (acknowledged, answered)
        try:
            self.apply([Deliver((participant.sid,), packet, reliable=True)])
            try:
                await asyncio.wait_for(asyncio.wait({acknowledged, answered}, return_when="FIRST_COMPLETED"), 2.0)
            except TimeoutError:
                raise RpcFailed(1501, "Connection timeout") from None
            try:
                return str(await asyncio.wait_for(answered, timeout))
            except TimeoutError:
                raise RpcFailed(1502, "Response timeout") from None
        finally:
            del self._rpcs[request.id]


def webhook_event(
    name: str,
    room: models.Room,
    participant: models.ParticipantInfo | None = None,
    track: models.TrackInfo | None = None,
) -> WebhookEvent:
    """Returns the event as the original shapes it: track events carry little of room and participant (facts G)."""
    if track is not None and participant is not None:
        room = models.Room(sid=room.sid, name=room.name)
        participant = models.ParticipantInfo(sid=participant.sid, identity=participant.identity)
    return WebhookEvent(event=name, room=room, participant=participant, track=track)
