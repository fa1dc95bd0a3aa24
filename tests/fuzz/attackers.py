"""One attacker for each way into the room server; each goes on until its time is up and says how often it struck."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import struct
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
import OpenSSL.SSL
import pylibsrtp
import websockets
from aioice import stun
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InvalidStateError
from livekit import api
from livekit.protocol import rtc
from livekit.protocol.room import RoomConfiguration

from tests.fuzz import samples
from tests.fuzz.mutate import mutated, noise, one_of

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator

    from tests.conformance.support.server import Server

SHORT = RoomConfiguration(empty_timeout=1, departure_timeout=1)


@dataclass
class Campaign:
    """Where to attack, until when, and what was done.

    Attributes:
        until: `time.monotonic()` at which every attacker stops.
        strikes: Inputs sent, by boundary.
    """

    server: Server
    media_port: int
    until: float
    strikes: Counter[str] = field(default_factory=Counter)

    @property
    def running(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self.until

    def token(self, room: str, identity: str) -> str:
        """Issue a token whose room is gone a second after its last participant."""
        token = self.server.unsigned_token(identity, room=room, can_update_own_metadata=True)
        return token.with_room_config(SHORT).to_jwt()

    @property
    def admin(self) -> str:
        """A token for the room API and for workers."""
        grants = api.VideoGrants(room_create=True, room_list=True, room_admin=True, room=samples.ROOM, agent=True)
        return api.AccessToken(self.server.key, self.server.secret).with_identity("api").with_grants(grants).to_jwt()


def _join_request(request: bytes, *, compress: bool) -> str:
    wrapped = rtc.WrappedJoinRequest(
        compression=rtc.WrappedJoinRequest.GZIP if compress else rtc.WrappedJoinRequest.NONE,
        join_request=gzip.compress(request) if compress else request,
    )
    return base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()


async def signal_frames(campaign: Campaign, rng: random.Random) -> None:
    """Join properly, then send injured frames; come back whenever the connection is closed."""
    good = _join_request(samples.JOIN_REQUEST.SerializeToString(), compress=False)
    number = 0
    while campaign.running:
        number += 1
        token = campaign.token(f"fuzz-signal-{number % 5}", f"attacker-{number}")
        path = rng.choice(["/rtc?protocol=16&auto_subscribe=1", f"/rtc/v1?join_request={good}"])
        with contextlib.suppress(OSError, websockets.WebSocketException):
            async with websockets.connect(f"{campaign.server.ws}{path}&access_token={token}", max_size=None) as ws:
                for _ in range(rng.randint(1, 40)):
                    frame = one_of(samples.SIGNAL_FRAMES, rng)
                    campaign.strikes["signal frame"] += 1
                    await ws.send(frame if rng.random() < 0.9 else frame.decode("latin-1"))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        async for _ in ws:
                            pass


async def descriptions(campaign: Campaign, rng: random.Random) -> None:
    """Send frames that parse, with session descriptions that do not."""
    number = 0
    while campaign.running:
        number += 1
        token = campaign.token(f"fuzz-sdp-{number % 5}", f"attacker-{number}")
        with contextlib.suppress(OSError, websockets.WebSocketException):
            async with websockets.connect(f"{campaign.server.ws}/rtc?access_token={token}", max_size=None) as ws:
                await ws.send(samples.REQUESTS[3].SerializeToString())
                for _ in range(10):
                    text = mutated(samples.OFFER.encode(), rng).decode("utf-8", "replace")
                    description = rtc.SessionDescription(type="offer", sdp=text, id=rng.randint(0, 3))
                    campaign.strikes["session description"] += 1
                    offer, answer = rtc.SignalRequest(offer=description), rtc.SignalRequest(answer=description)
                    await ws.send(rng.choice([offer, answer]).SerializeToString())
                    await asyncio.wait_for(ws.recv(), 1)


async def queries(campaign: Campaign, rng: random.Random) -> None:
    """Ask to join with injured join requests, attributes and tokens."""
    raw = samples.JOIN_REQUEST.SerializeToString()
    async with aiohttp.ClientSession() as http:
        while campaign.running:
            token = campaign.token("fuzz-query", f"attacker-{rng.randint(0, 50)}")
            if rng.random() < 0.3:
                token = mutated(token.encode(), rng).decode("latin-1")
            wrapped = _join_request(mutated(raw, rng), compress=rng.random() < 0.3)
            if rng.random() < 0.5:
                wrapped = mutated(wrapped.encode(), rng).decode("latin-1")
            query = {"access_token": token, rng.choice(["join_request", "attributes", "protocol", "sid"]): wrapped}
            campaign.strikes["join query"] += 1
            path = rng.choice(["/rtc", "/rtc/v1", "/rtc/validate", "/rtc/v1/validate"])
            with contextlib.suppress(aiohttp.ClientError, ValueError, TimeoutError):
                if path.endswith("validate") or rng.random() < 0.3:
                    async with http.get(campaign.server.http + path, params=query) as answer:
                        assert answer.status < 500, f"{path} answered {answer.status}: {await answer.text()}"
                else:
                    async with asyncio.timeout(2), http.ws_connect(campaign.server.ws + path, params=query):
                        pass


async def twirp(campaign: Campaign, rng: random.Random) -> None:
    """Call the room API with injured bodies, names and headers."""
    async with aiohttp.ClientSession() as http:
        while campaign.running:
            name = rng.choice(list(samples.TWIRP_CALLS))
            binary = rng.random() < 0.5
            body = mutated(samples.TWIRP_CALLS[name].SerializeToString(), rng)
            if not binary:
                body = mutated(rng.choice(samples.JSON_BODIES), rng)
            if rng.random() < 0.1:
                name = mutated(name.encode(), rng).decode("latin-1").replace("\r", "").replace("\n", "")
            headers = {
                "Authorization": f"Bearer {campaign.admin}",
                "Content-Type": "application/protobuf" if binary else "application/json",
                "X-Twirp-Timeout-Ms": rng.choice(["1000", "-1", "x", "9" * 30]),
            }
            campaign.strikes["room API"] += 1
            with contextlib.suppress(aiohttp.ClientError, ValueError):
                url = f"{campaign.server.http}/twirp/livekit.{name}"
                async with http.post(url, data=body, headers=headers) as answer:
                    # 503 is "no response from servers", the original's word for an unknown room.
                    assert answer.status < 500 or answer.status == 503, f"{name}: {answer.status}"


async def workers(campaign: Campaign, rng: random.Random) -> None:
    """Connect as a worker and send injured frames."""
    headers = {"Authorization": f"Bearer {campaign.admin}"}
    while campaign.running:
        with contextlib.suppress(OSError, websockets.WebSocketException):
            url = f"{campaign.server.ws}/agent?protocol=1"
            async with websockets.connect(url, additional_headers=headers, max_size=None) as ws:
                if rng.random() < 0.8:
                    await ws.send(samples.WORKER_FRAMES[0])
                for _ in range(rng.randint(1, 20)):
                    campaign.strikes["worker frame"] += 1
                    await ws.send(one_of(samples.WORKER_FRAMES, rng))
                    await asyncio.sleep(0)


class _Datagrams(asyncio.DatagramProtocol):
    def error_received(self, exc: Exception) -> None:
        """Ignore it: the next datagram follows anyway."""


async def media_port(campaign: Campaign, rng: random.Random) -> None:
    """Send strangers' and injured STUN, then, from a proven address, anything at all."""
    loop = asyncio.get_running_loop()
    number = 0
    while campaign.running:
        number += 1
        token = campaign.token(f"fuzz-ice-{number % 3}", f"attacker-{number}")
        join = _join_request(samples.JOIN_REQUEST.SerializeToString(), compress=True)
        url = f"{campaign.server.ws}/rtc/v1?access_token={token}&join_request={join}"
        with contextlib.suppress(OSError, websockets.WebSocketException, TimeoutError):
            async with websockets.connect(url, max_size=None) as ws:
                credentials = await _credentials(ws)
                target = ("127.0.0.1", campaign.media_port)
                transport, _ = await loop.create_datagram_endpoint(_Datagrams, remote_addr=target)
                try:
                    for _ in range(150):
                        campaign.strikes["media port"] += 1
                        transport.sendto(_datagram(credentials, rng))
                        await asyncio.sleep(0.001)
                finally:
                    transport.close()


async def _credentials(ws: websockets.ClientConnection) -> tuple[str, str]:
    async with asyncio.timeout(5):
        async for frame in ws:
            response = rtc.SignalResponse.FromString(frame if isinstance(frame, bytes) else frame.encode())
            if response.HasField("answer"):
                lines = dict(line.split(":", 1) for line in response.answer.sdp.splitlines() if ":" in line)
                return lines["a=ice-ufrag"], lines["a=ice-pwd"]
    raise TimeoutError


def _datagram(credentials: tuple[str, str], rng: random.Random) -> bytes:
    ufrag, password = credentials
    check = stun.Message(
        stun.Method.BINDING,
        rng.choice(list(stun.Class)),
        attributes={"USERNAME": f"{ufrag}:x", "PRIORITY": rng.randint(0, 2**32 - 1), "USE-CANDIDATE": None},
    )
    check.add_message_integrity(password.encode())
    roll = rng.random()
    if roll < 0.2:
        return bytes(check)
    if roll < 0.5:
        return mutated(bytes(check), rng)
    first = rng.choice((0, 1, 20, 22, 23, 63, 64, 127, 128, 144, 191, 200, 255))
    rtp = struct.pack("!BBHII", first, rng.choice((111, 200, 201, 205, 206)), rng.randint(0, 65535), 0, 1234)
    return mutated(rtp + noise(rng, 1400), rng)


async def media_stream(campaign: Campaign, rng: random.Random) -> None:
    """Open ICE-TCP connections and send injured framing."""
    while campaign.running:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", campaign.media_port)
            for _ in range(rng.randint(1, 10)):
                body = noise(rng, 200)
                length = len(body) if rng.random() < 0.5 else rng.randint(0, 65535)
                campaign.strikes["media stream"] += 1
                writer.write(struct.pack("!H", length) + body)
                await writer.drain()
            writer.close()
        await asyncio.sleep(0.005)


async def insider(campaign: Campaign, rng: random.Random) -> None:
    """Be a real participant, DTLS and all, whose RTP, RTCP, SCTP and data packets are injured."""
    number = 0
    while campaign.running:
        number += 1
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        channels = {
            label: peer.createDataChannel(label, ordered=label == "_reliable") for label in ("_reliable", "_lossy", "x")
        }
        peer.addTransceiver("audio", direction="sendonly")
        try:
            async with asyncio.timeout(20):
                await _strike_from_inside(campaign, rng, peer, channels, number)
        except (OSError, TimeoutError, websockets.WebSocketException, InvalidStateError):
            continue
        finally:
            await peer.close()


@contextlib.asynccontextmanager
async def _polite(url: str) -> AsyncIterator[websockets.ClientConnection]:
    """A signal connection that ends with a Leave: who says nothing is missed after 20 s only."""
    async with websockets.connect(url, max_size=None) as ws:
        try:
            yield ws
        finally:
            with contextlib.suppress(websockets.WebSocketException):
                await ws.send(rtc.SignalRequest(leave=rtc.LeaveRequest()).SerializeToString())


async def _strike_from_inside(
    campaign: Campaign, rng: random.Random, peer: RTCPeerConnection, channels: dict[str, RTCDataChannel], number: int
) -> None:
    await peer.setLocalDescription(await peer.createOffer())
    request = rtc.JoinRequest(
        connection_settings=rtc.ConnectionSettings(auto_subscribe=True),
        add_track_requests=[samples.REQUESTS[3].add_track],
        publisher_offer=rtc.SessionDescription(type="offer", sdp=peer.localDescription.sdp, id=1),
    )
    token = campaign.token(f"fuzz-inside-{number % 2}", f"attacker-{number}")
    join = _join_request(request.SerializeToString(), compress=True)
    async with _polite(f"{campaign.server.ws}/rtc/v1?access_token={token}&join_request={join}") as ws:
        async for frame in ws:
            response = rtc.SignalResponse.FromString(frame if isinstance(frame, bytes) else frame.encode())
            if response.HasField("answer"):
                await peer.setRemoteDescription(RTCSessionDescription(response.answer.sdp, "answer"))
                break
        opened = asyncio.Event()
        channels["_reliable"].on("open", opened.set)
        if channels["_reliable"].readyState != "open":
            await opened.wait()
        assert peer.sctp is not None
        dtls = peer.sctp.transport
        ssrc = peer.getSenders()[0]._ssrc
        for step in range(400):
            if not campaign.running:
                break
            kind = rng.choice(["data", "rtp", "rtcp", "sctp"] if step > 350 else ["data", "rtp", "rtcp"])
            campaign.strikes[f"inside {kind}"] += 1
            if kind == "data":
                label = rng.choice(list(channels))
                channels[label].send(one_of(samples.DATA_PACKETS, rng))
            elif kind == "sctp":
                with contextlib.suppress(OpenSSL.SSL.Error):
                    await dtls._send_data(mutated(struct.pack("!HHII", 5000, 5000, 0, 0) + noise(rng), rng))
            else:
                second = 111 if kind == "rtp" else rng.choice((200, 201, 205, 206))
                head = struct.pack(
                    "!BBHII", rng.choice((0x80, 0x90, 0xA0, 0xBF)), second, rng.randint(0, 65535), 0, ssrc
                )
                with contextlib.suppress(pylibsrtp.Error):  # it refuses numbers that jump too far
                    await dtls._send_rtp(head + noise(rng, 200))
            await asyncio.sleep(0.002)


ATTACKERS = (
    signal_frames,
    descriptions,
    queries,
    twirp,
    workers,
    media_port,
    media_stream,
    insider,
)
