"""One peer connection: DTLS and SCTP of aiortc over our ICE, SRTP read and written here.

aiortc's `RTCPeerConnection` cannot restart ICE, and decodes what it receives; its DTLS and SCTP do neither, so only
these are used, and RTP passes them by. We are always the passive DTLS side, with one certificate for the whole process.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from aiortc.exceptions import InvalidStateError
from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from aiortc.rtcsctptransport import DataChunk, RTCSctpCapabilities, RTCSctpTransport, tsn_plus_one
from pylibsrtp import Error as SrtpError

from roomkeeper.sfu.media.ice import IceTransport, MediaPort

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiortc import RTCCertificate

logger = logging.getLogger(__name__)

RELIABLE, LOSSY, DATA_TRACK = "_reliable", "_lossy", "_data_track"
"""Labels of LiveKit's data channels (facts, room server: "Pitfalls and cures")."""

MAX_MESSAGE = 65535
"""Bytes of one data channel message, as the original announces (`a=max-message-size`)."""
LOSSY_BACKLOG = 64 * 1024
RELIABLE_BACKLOG = 16 * 1024 * 1024
"""Bytes unsent: lossy data beyond it is dropped, reliable data beyond it means that the peer has stopped reading."""
MAX_CHANNELS = 16
MAX_STREAMS = 256
"""Of SCTP, each way of use; a channel takes one, and gives it back when it is closed."""
MAX_WAITING = 1024
"""Fragments of a stream that wait for others."""
MAX_GAPS = 4096
"""Fragments of all streams that have overtaken a missing one."""


class PeerObserver(Protocol):
    """Whoever owns a peer is told what happens to it."""

    def peer_connected(self, peer: Peer) -> None:
        """DTLS is up: media may flow."""

    def peer_failed(self, peer: Peer, why: str) -> None:
        """The peer connection cannot be used any more."""

    def channel_open(self, peer: Peer, label: str) -> None:
        """A data channel can be written to."""

    def channel_message(self, peer: Peer, label: str, data: bytes) -> None:
        """A message came from the client."""

    def rtp_received(self, peer: Peer, data: bytes) -> None:
        """A decrypted RTP packet."""

    def rtcp_received(self, peer: Peer, data: bytes) -> None:
        """A decrypted compound RTCP packet."""


class _Nobody:
    """Hears everything and does nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


NOBODY: Any = _Nobody()
"""Observes what is closed, in the place of an owner who would otherwise stay in memory for as long."""


class _Dtls(RTCDtlsTransport):
    """DTLS below SCTP, which goes on sending in tasks of its own that nobody waits for."""

    async def _send_data(self, data: bytes) -> None:
        with suppress(ConnectionError):  # the client has closed: what was on its way is lost, and that is no news
            await super()._send_data(data)


class _Sctp(RTCSctpTransport):
    """SCTP that keeps no more than its window: aiortc announces one and takes whatever comes."""

    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        self._sack_needed = True
        last = self._last_received_tsn
        fills = last is not None and chunk.tsn == tsn_plus_one(last)
        stream = self._inbound_streams.get(chunk.stream_id)
        waiting = len(stream.reassembly) if stream is not None else 0
        # The next one in turn may set others free, so it has room where others have none.
        size = len(chunk.user_data)
        if (
            not 0 < size <= self._advertised_rwnd + (MAX_MESSAGE if fills else 0)
            or waiting >= (2 * MAX_WAITING if fills else MAX_WAITING)
            or (not fills and len(self._sack_misordered) >= MAX_GAPS)
            or (stream is None and len(self._inbound_streams) >= MAX_STREAMS)
        ):
            return  # unacknowledged: whoever keeps to the window sends it again
        await super()._receive_data_chunk(chunk)


class Peer:
    """One peer connection with a client.

    Attributes:
        name: `publisher`, `subscriber` or `single`; for logs.
        connected: Whether DTLS is up.
    """

    def __init__(self, name: str, port: MediaPort, certificate: RTCCertificate, observer: PeerObserver) -> None:
        self.name = name
        self.ice = IceTransport(port, self._receive)
        self.connected = False
        self.fingerprints = tuple((f.algorithm, f.value) for f in certificate.getFingerprints())
        self._observer = observer
        self._channels: dict[str, RTCDataChannel] = {}
        self._closed = False
        self._started = False
        self._task: asyncio.Task[None] | None = None
        self._dtls = _Dtls(self.ice, [certificate])  # type: ignore[arg-type]  # duck-typed ICE
        self._dtls._set_role("server")
        self._sctp = _Sctp(self._dtls)
        self._dtls.on("statechange", self._dtls_changed)
        self._sctp.on("datachannel", self._channel_offered)

    def start(self, fingerprints: tuple[tuple[str, str], ...], sctp_port: int | None) -> None:
        """Begins the DTLS handshake, once; later calls change nothing.

        Args:
            fingerprints: Algorithm and value of the client's certificate, from its SDP.
            sctp_port: The client's SCTP port, or None if it offers no data channels.
        """
        if self._started or self._closed:
            return
        self._started = True
        parameters = RTCDtlsParameters([RTCDtlsFingerprint(algorithm=a, value=v) for a, v in fingerprints])
        self._task = asyncio.create_task(self._run(parameters, sctp_port), name=f"peer {self.name}")

    async def _run(self, parameters: RTCDtlsParameters, sctp_port: int | None) -> None:
        try:
            await self._dtls.start(parameters)
            if sctp_port is not None and self._dtls.state == "connected":
                await self._sctp.start(RTCSctpCapabilities(maxMessageSize=MAX_MESSAGE), sctp_port)
        except Exception as error:  # noqa: BLE001
            # Whatever a hostile peer provokes in the handshake ends this peer alone.
            logger.info("peer failed", extra={"peer": self.name, "error": repr(error)})
            self._fail("handshake")

    def _dtls_changed(self) -> None:
        if self._dtls.state == "connected":
            self.connected = True
            self._observer.peer_connected(self)
        elif self._dtls.state == "failed":
            self._fail("dtls")
        # "closed" is ignored, as in the original: a page that goes away closes DTLS before its Leave is read.

    def _fail(self, why: str) -> None:
        if not self._closed:
            self._observer.peer_failed(self, why)

    def open_channels(self) -> None:
        """Creates LiveKit's three channels from our side (v0: the subscriber connection carries data down)."""
        for label, ordered in ((RELIABLE, True), (LOSSY, False), (DATA_TRACK, False)):
            parameters = RTCDataChannelParameters(label=label, ordered=ordered, maxRetransmits=None if ordered else 0)
            self._adopt(RTCDataChannel(self._sctp, parameters))

    def _channel_offered(self, channel: RTCDataChannel) -> None:
        if len(self._sctp._data_channels) > MAX_CHANNELS:  # of any label, this one included
            channel.close()
            return
        self._adopt(channel)

    def _adopt(self, channel: RTCDataChannel) -> None:
        label = channel.label
        self._channels[label] = channel
        channel.on("message", lambda data: self._message(label, data))
        if channel.readyState == "open":
            self._observer.channel_open(self, label)
        else:
            channel.on("open", lambda: self._observer.channel_open(self, label))

    def _message(self, label: str, data: bytes | str) -> None:
        raw = data.encode() if isinstance(data, str) else data
        if len(raw) <= MAX_MESSAGE:
            self._observer.channel_message(self, label, raw)

    def can_send(self, label: str) -> bool:
        """Says whether the channel is open."""
        channel = self._channels.get(label)
        return channel is not None and channel.readyState == "open"

    def send(self, label: str, data: bytes) -> bool:
        """Sends a message on a channel.

        Returns:
            False if it was not sent: no such channel yet, or lossy data on a full one.
        """
        channel = self._channels.get(label)
        if channel is None or channel.readyState != "open":
            return False
        backlog = channel.bufferedAmount
        if label != RELIABLE and backlog > LOSSY_BACKLOG:
            return False
        if backlog > RELIABLE_BACKLOG:
            self._fail("backlog")
            return False
        try:
            channel.send(data)
        except (InvalidStateError, ConnectionError):
            return False
        return True

    def send_rtp(self, packet: bytes) -> None:
        """Encrypts and sends one RTP packet; a number that SRTP's window has left behind is dropped."""
        if not self.connected:
            return
        try:
            encrypted = self._dtls._tx_srtp.protect(packet)
        except SrtpError:
            return
        self.ice.send(encrypted)

    def send_rtcp(self, packet: bytes) -> None:
        """Encrypts and sends one compound RTCP packet."""
        if self.connected:
            self.ice.send(self._dtls._tx_srtp.protect_rtcp(packet))

    def forget_source(self, ssrc: int) -> None:
        """Frees what SRTP keeps for a source of ours that sends no more: it looks for each packet's among them all."""
        with suppress(SrtpError, AttributeError):  # it has sent nothing, or the handshake is not done
            self._dtls._tx_srtp.remove_stream(ssrc)

    def _receive(self, data: bytes) -> bool:
        # The fast path: RTP and RTCP never enter aiortc's queue. Ranges are those of RFC 7983 and RFC 5761.
        if not 128 <= data[0] < 192:
            return False
        if len(data) < 12 or not self.connected:
            return True
        srtp = self._dtls._rx_srtp
        try:
            if 192 <= data[1] <= 223:
                self._observer.rtcp_received(self, srtp.unprotect_rtcp(data))
            else:
                self._observer.rtp_received(self, srtp.unprotect(data))
        except SrtpError:
            # A replay, or not from the client: nothing to say about it.
            pass
        return True

    async def close(self) -> None:
        """Ends DTLS and SCTP and frees the route."""
        if self._closed:
            return
        self._closed = True
        self.connected = False
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None  # what ended it holds its frames, and they hold this peer
        await self._sctp.stop()
        await self._dtls.stop()
        self.ice.close()
        self._let_go()

    def _let_go(self) -> None:
        """Cuts the circles of references, so that memory is free at once and not at a rare, long garbage collection."""
        for emitter in (self._dtls, self._sctp, *self._channels.values()):
            emitter.remove_all_listeners()
        self._channels.clear()
        # Channels that were never opened still wait there (aiortc).
        self._sctp._data_channel_queue.clear()
        self._sctp._data_channels.clear()
        self._observer = NOBODY
