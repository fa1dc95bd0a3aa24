"""A participant over `/rtc/v1` that publishes one track and subscribes to all."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import struct
import time
from typing import TYPE_CHECKING

from aiortc.rtp import RtcpReceiverInfo, RtcpSenderInfo, RtcpSrPacket
from livekit.protocol import models, rtc
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.sfu.light.peer import Peer
from bench.sfu.light.sdp import LEVEL_ID, MICROPHONE_MID, MID_ID, OPUS, Offer, attribute, udp_candidate
from bench.sfu.light.speech import SAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable

PING_INTERVAL = 5.0
REPORT_EVERY = 250
"""Packets between our RTCP reports: 5 s, as libwebrtc does for audio."""
SENT_KEPT = 512
NTP_EPOCH = 2208988800
LEVEL_DBOV = 20

_HEADER = struct.Struct("!BBHII")
_EXTENSIONS = bytes([0xBE, 0xDE, 0, 1, LEVEL_ID << 4, LEVEL_DBOV, MID_ID << 4]) + MICROPHONE_MID.encode()


class Refused(Exception):
    """The server told the participant to leave before it was in."""


class Participant:
    """A light participant.

    Attributes:
        sid: The `PA_` sid.
        spoken: Packets sent so far.
        heard: Called for every packet that comes: its index at the publisher, and when it came (`perf_counter`).
        ponged: Called with the round trip, in seconds, of every `ping_req` that was answered.
    """

    def __init__(self) -> None:
        self.sid = ""
        self.spoken = 0
        self.heard: Callable[[int, float], None] = lambda _index, _at: None
        self.ponged: Callable[[float], None] = lambda _seconds: None
        self._peer = Peer(self._received)
        self._cid = f"mic-{random.getrandbits(48):x}"
        self._ssrc = random.getrandbits(31) | 1
        self._sequence = random.getrandbits(15)
        self._sent_at = [0.0] * SENT_KEPT
        self._first_heard: int | None = None
        self._remote_ssrc = 0
        self._offers = 0
        self._receiving = 0
        self._remote: tuple[str, str] | None = None
        self._signal: ClientConnection | None = None
        self._joined = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def join(self, url: str, token: str, *, within: float = 10.0) -> None:
        """Joins the token's room and publishes; returns when media can flow.

        Args:
            url: `ws://…` of the server.
            token: An access token.
            within: Seconds allowed.

        Raises:
            TimeoutError: It took longer.
            Refused: The server said Leave.
        """
        await self._peer.ice.open()
        track = rtc.AddTrackRequest(cid=self._cid, type=models.TrackType.AUDIO, source=models.TrackSource.MICROPHONE)
        request = rtc.JoinRequest(
            client_info=models.ClientInfo(sdk=models.ClientInfo.PYTHON, version="1.1.21", protocol=17),
            connection_settings=rtc.ConnectionSettings(auto_subscribe=True),
            add_track_requests=[track],
            publisher_offer=self._offer(),
        )
        wrapped = rtc.WrappedJoinRequest(join_request=request.SerializeToString()).SerializeToString()
        async with asyncio.timeout(within):
            self._signal = await connect(
                f"{url}/rtc/v1?join_request={base64.urlsafe_b64encode(wrapped).decode()}",
                additional_headers={"Authorization": f"Bearer {token}"},
                compression=None,
                ping_interval=None,
            )
            self._tasks = [asyncio.create_task(self._read(self._signal)), asyncio.create_task(self._keep_alive())]
            connected = asyncio.create_task(self._peer.connected.wait())
            await asyncio.wait({connected, self._tasks[0]}, return_when=asyncio.FIRST_COMPLETED)
            if not connected.done():
                connected.cancel()
                raise Refused

    def _offer(self) -> rtc.SessionDescription:
        self._offers += 1
        ice = self._peer.ice
        offer = Offer(
            version=self._offers,
            ufrag=ice.ufrag,
            password=ice.password,
            fingerprint=self._peer.fingerprint,
            cid=self._cid,
            ssrc=self._ssrc,
            receiving=self._receiving,
        )
        return rtc.SessionDescription(type="offer", sdp=offer.text(), id=self._offers)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(PING_INTERVAL)
            await self.ping()

    async def ping(self) -> None:
        """Sends a `ping_req`; `ponged` is told the round trip."""
        await self._send(rtc.SignalRequest(ping_req=rtc.Ping(timestamp=time.perf_counter_ns())))

    async def _send(self, request: rtc.SignalRequest) -> None:
        if self._signal is not None:
            with contextlib.suppress(ConnectionClosed):
                await self._signal.send(request.SerializeToString())

    async def _read(self, signal: ClientConnection) -> None:
        async for frame in signal:
            message = rtc.SignalResponse.FromString(frame if isinstance(frame, bytes) else frame.encode())
            match message.WhichOneof("message"):
                case "join":
                    self.sid = message.join.participant.sid
                case "answer":
                    self._answered(message.answer.sdp)
                case "trickle":
                    self._found(json.loads(message.trickle.candidateInit).get("candidate", ""))
                case "media_sections_requirement":
                    self._receiving += message.media_sections_requirement.num_audios
                    await self._send(rtc.SignalRequest(offer=self._offer()))
                case "pong_resp":
                    self.ponged((time.perf_counter_ns() - message.pong_resp.last_ping_timestamp) / 1e9)
                case "leave":
                    return
                case _:
                    pass

    def _answered(self, text: str) -> None:
        if self._remote is None:
            self._remote = (attribute(text, "ice-ufrag"), attribute(text, "ice-pwd"))
            algorithm, _, fingerprint = attribute(text, "fingerprint").partition(" ")
            self._peer.start(algorithm, fingerprint)
        self._found(text)

    def _found(self, text: str) -> None:
        address = udp_candidate(text)
        if address is not None and self._remote is not None:
            self._peer.ice.start(address, *self._remote)

    def speak(self, frame: bytes) -> None:
        """Sends one frame of 20 ms."""
        index = self.spoken
        self.spoken += 1
        number = (self._sequence + index) & 0xFFFF
        timestamp = (index * SAMPLES) & 0xFFFFFFFF
        header = _HEADER.pack(0x90, OPUS, number, timestamp, self._ssrc)
        self._sent_at[index % SENT_KEPT] = time.perf_counter()
        self._peer.send_rtp(header + _EXTENSIONS + frame)
        if index % REPORT_EVERY == REPORT_EVERY - 1:
            self._report(timestamp)

    def sent_at(self, index: int) -> float | None:
        """Returns when a packet was sent (`perf_counter`), or None if that was too long ago."""
        return self._sent_at[index % SENT_KEPT] if 0 <= self.spoken - index <= SENT_KEPT else None

    def _report(self, timestamp: int) -> None:
        wall = time.time()
        ntp = (int(wall + NTP_EPOCH) << 32) | int(wall % 1 * (1 << 32))
        blocks = [RtcpReceiverInfo(self._remote_ssrc, 0, 0, 0, 0, 0, 0)] if self._remote_ssrc else []
        info = RtcpSenderInfo(ntp, timestamp, self.spoken, self.spoken * 80)
        self._peer.send_rtcp(bytes(RtcpSrPacket(ssrc=self._ssrc, sender_info=info, reports=blocks)))

    def _received(self, packet: bytes) -> None:
        at = time.perf_counter()
        _, _, _, timestamp, self._remote_ssrc = _HEADER.unpack_from(packet)
        # A server passes timestamps on unchanged, and every light publisher begins at 0: this is the packet's index.
        self.heard(timestamp // SAMPLES, at)

    async def leave(self) -> None:
        """Leaves the room and frees everything."""
        leave = rtc.LeaveRequest(action=rtc.LeaveRequest.DISCONNECT, reason=models.DisconnectReason.CLIENT_INITIATED)
        await self._send(rtc.SignalRequest(leave=leave))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._peer.close()
        if self._signal is not None:
            await self._signal.close()
