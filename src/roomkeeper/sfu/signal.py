"""The signal connection: `/rtc` (v0), `/rtc/v1`, and their `/validate`.

The WebSocket is accepted only when the join has succeeded; whatever fails before is a plain HTTP answer, in the words
of the original, because clients read them (facts, livekit-server B and D).
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from livekit.protocol import models, rtc
from starlette.responses import PlainTextResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from roomkeeper.sfu import publishing
from roomkeeper.sfu.admission import Admission, Door, Refused, limited
from roomkeeper.sfu.limits import Limits, TokenBucket
from roomkeeper.sfu.messages import leave_message
from roomkeeper.sfu.outage import USERS
from roomkeeper.sfu.participant import Joiner
from roomkeeper.sfu.room import RoomFull

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from roomkeeper.sfu.live import LiveRoom
    from roomkeeper.sfu.metrics import Metrics
    from roomkeeper.sfu.rooms import Rooms
    from roomkeeper.sfu.session import Session

logger = logging.getLogger(__name__)

SERVER_VERSION = "1.13.5"
"""The livekit-server release whose behaviour this server follows; clients switch features on by it."""
PROTOCOL = 17
AGENT_PROTOCOL = 1
PING_INTERVAL, PING_TIMEOUT = 5, 15
MAX_UNSENT = 2000
MAX_UNSENT_BYTES = 16 * 1024 * 1024
"""Messages waiting for a slow client, and their bytes, before its connection is given up; it may resume."""
GONE = 1000
CLOSE_WITHIN = 1.0
"""Seconds a client has to take its last messages."""


class SignalSink:
    """One WebSocket's way out: a bounded queue and its writer.

    Attributes:
        as_json: Whether the client speaks JSON.
        closing: Set when the WebSocket is to be closed.
    """

    def __init__(self, websocket: WebSocket, metrics: Metrics) -> None:
        self.as_json = False
        self.closing = asyncio.Event()
        self._metrics = metrics
        self._websocket = websocket
        self._queue: asyncio.Queue[rtc.SignalResponse | None] = asyncio.Queue()
        self._unsent = 0

    def send(self, message: rtc.SignalResponse) -> None:
        """Queues a message; a client that reads nothing loses its connection."""
        if self.closing.is_set():
            return
        if self._queue.qsize() >= MAX_UNSENT or self._unsent >= MAX_UNSENT_BYTES:
            self.close()
            return
        self._unsent += message.ByteSize()
        self._queue.put_nowait(message)

    def close(self) -> None:
        """Closes the WebSocket after what is queued."""
        if not self.closing.is_set():
            self.closing.set()
            self._queue.put_nowait(None)

    async def write(self) -> None:
        """Writes until closed."""
        while (message := await self._queue.get()) is not None:
            self._metrics.signal_sent += 1
            if self.as_json:
                await self._websocket.send_text(json_format.MessageToJson(message, indent=None))
            else:
                await self._websocket.send_bytes(message.SerializeToString())
            self._unsent -= message.ByteSize()
        await self._websocket.close(GONE)


class SignalEndpoint:
    """Everything below `/rtc`."""

    def __init__(
        self, rooms: Rooms, keys: Mapping[str, str], limits: Limits, info: models.ServerInfo, metrics: Metrics
    ) -> None:
        self._rooms = rooms
        self._door = Door(rooms, keys, limits)
        self._metrics = metrics
        self._limits = limits
        self._info = info

    async def validate(self, request: Request) -> Response:
        """`GET /rtc/validate` and `/rtc/v1/validate`: says whether and why not a client may join."""
        try:
            admission = self._door.admit(request, single=request.url.path.startswith("/rtc/v1"))
            self._door.check_room(admission.claims)
        except Refused as refused:
            return PlainTextResponse(refused.words, refused.status)
        return PlainTextResponse("success")

    async def v0(self, websocket: WebSocket) -> None:
        """`/rtc`: two peer connections, unless the client sends a join request."""
        await self._serve(websocket, single=False)

    async def v1(self, websocket: WebSocket) -> None:
        """`/rtc/v1`: a single peer connection."""
        await self._serve(websocket, single=True)

    async def _serve(self, websocket: WebSocket, *, single: bool) -> None:
        try:
            admission = self._door.admit(websocket, single=single)
            if admission.claims.kind in USERS and (cut := self._rooms.users_cut_until - self._rooms.stack.now()) > 0:
                await asyncio.sleep(cut)  # a lost network answers nothing
            if admission.request.reconnect:
                await self._resume(websocket, admission)
            else:
                await self._join(websocket, admission)
        except Refused as refused:
            self._metrics.refused_joins += 1
            await websocket.send_denial_response(PlainTextResponse(refused.words, refused.status))

    async def _join(self, websocket: WebSocket, admission: Admission) -> None:
        claims, request = admission.claims, admission.request
        live = self._door.room_for(claims)
        joiner = Joiner(
            identity=claims.identity,
            name=claims.name,
            kind=claims.kind,
            kind_details=claims.kind_details,
            metadata=request.metadata or claims.metadata,
            # Like the original: an empty value of the client's takes nothing away.
            attributes=tuple(
                {**claims.attributes, **{k: v for k, v in request.participant_attributes.items() if v}}.items()
            ),
            permission=claims.video.permission(),
            client=request.client_info,
            auto_subscribe=request.connection_settings.auto_subscribe,
            token_digest=claims.digest,
        )
        with limited():
            self._limits.check_metadata(joiner.metadata)
            self._limits.check_attributes(dict(joiner.attributes))
        try:
            session = live.join(joiner, single=admission.single)
        except RoomFull as error:
            raise Refused(500, error.detail) from None
        self._rooms.remember_claims(session.sid, claims)
        self._metrics.joins += 1
        sink = SignalSink(websocket, self._metrics)
        try:
            await websocket.accept()
            self._welcome(live, session, sink, request)
        except BaseException:
            # Nobody has the session yet who would end it: it would be in the room for a minute.
            session.abandon()
            raise
        await self._talk(websocket, session, sink)

    def _welcome(self, live: LiveRoom, session: Session, sink: SignalSink, request: rtc.JoinRequest) -> None:
        session.attach(sink)
        session.send(rtc.SignalResponse(join=self._join_response(live, session)))
        live.apply(live.room.answered(session.sid))
        live.refresh_token(session)
        for track in request.add_track_requests:
            live.apply(publishing.add_track(live.room, session.sid, track))
        if request.HasField("publisher_offer"):
            session.take_offer(request.publisher_offer)
        else:
            session.connection.begin()

    def _join_response(self, live: LiveRoom, session: Session) -> rtc.JoinResponse:
        room = live.room
        return rtc.JoinResponse(
            room=room.describe(),
            participant=session.participant.info(),
            other_participants=[other.info() for other in room.others(session.sid)],
            server_version=self._info.version,
            subscriber_primary=session.subscriber_primary,
            client_configuration=models.ClientConfiguration(),
            ping_interval=PING_INTERVAL,
            ping_timeout=PING_TIMEOUT,
            server_info=self._info,
            enabled_publish_codecs=[models.Codec(mime="audio/opus")],
            fast_publish=session.participant.permission.can_publish,
        )

    async def _resume(self, websocket: WebSocket, admission: Admission) -> None:
        claims = admission.claims
        live = self._rooms.find(claims.video.room)
        if live is None:
            self._door.check_room(claims)
            if self._rooms.config.strict:
                # The original makes the room before it finds that there is nobody to resume (facts A).
                live = self._door.room_for(claims)
        session = live.session_of(claims.identity) if live is not None else None
        await websocket.accept()
        if session is None or live is None:
            mismatch = leave_message(models.DisconnectReason.STATE_MISMATCH, rtc.LeaveRequest.RECONNECT)
            await websocket.send_bytes(mismatch.SerializeToString())
            await websocket.close(GONE)
            return
        sink = SignalSink(websocket, self._metrics)
        if self._rooms.stack.now() < session.cut_resumes_until:
            session.cut_resumes_until = 0.0
            await websocket.close(GONE)
            return
        live.room.remember_token(claims.digest)
        session.resume(sink, rtc.ReconnectResponse(server_info=self._info))
        await self._talk(websocket, session, sink)

    async def _talk(self, websocket: WebSocket, session: Session, sink: SignalSink) -> None:
        reader = asyncio.create_task(self._read(websocket, session, sink))
        writer = asyncio.create_task(sink.write())
        # A writer that waits for a client to read comes to no end by itself.
        closing = asyncio.create_task(sink.closing.wait())
        try:
            await asyncio.wait({reader, writer, closing}, return_when=asyncio.FIRST_COMPLETED)
            # What was queued goes out, and the close frame with it, also to a client that misbehaved.
            sink.close()
            await asyncio.wait({writer}, timeout=CLOSE_WITHIN)
        finally:
            for task in (reader, writer, closing):
                task.cancel()
            results = await asyncio.gather(reader, writer, closing, return_exceptions=True)
            session.detach(sink)
            for result in results:
                if isinstance(result, Exception) and not isinstance(result, (WebSocketDisconnect, RuntimeError)):
                    logger.error("signal connection failed", exc_info=result, extra={"participant": session.sid})

    async def _read(self, websocket: WebSocket, session: Session, sink: SignalSink) -> None:
        messages, sizes = TokenBucket(self._limits.signal_messages), TokenBucket(self._limits.signal_bytes)
        while True:
            frame = await websocket.receive()
            if frame["type"] == "websocket.disconnect":
                return
            self._metrics.signal_received += 1
            data: bytes | str | None = frame.get("bytes")
            if data is None:
                data = frame.get("text") or ""
            now = self._rooms.stack.now()
            if not messages.take(now=now) or not sizes.take(now=now, amount=len(data)):
                logger.info("signal rate exceeded", extra={"participant": session.sid})
                return
            if len(data) > self._limits.signal_frame_bytes:
                logger.info("signal frame too large", extra={"participant": session.sid, "size": len(data)})
                return
            request = rtc.SignalRequest()
            try:
                if isinstance(data, bytes):
                    request.ParseFromString(data)
                else:
                    json_format.Parse(data, request, ignore_unknown_fields=True)
            except (DecodeError, json_format.ParseError, json.JSONDecodeError, RecursionError):
                logger.info("signal frame malformed", extra={"participant": session.sid})
                return
            sink.as_json = not isinstance(data, bytes)
            if not session.closed:
                session.receive(request)
