"""One peer connection of a light participant: DTLS and data channels of aiortc, SRTP without its receivers."""

# ruff: noqa: SLF001 - the DTLS transport of aiortc is used below its public interface, as in roomkeeper.sfu.media

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING

from aiortc import RTCCertificate
from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from aiortc.rtcsctptransport import RTCSctpCapabilities, RTCSctpTransport
from pylibsrtp import Error as SrtpError

from bench.sfu.light.ice import Ice

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_MESSAGE = 65535
SCTP_PORT = 5000


@cache
def certificate() -> RTCCertificate:
    """Returns the certificate that every participant of this process shows."""
    return RTCCertificate.generateCertificate()


class Peer:
    """A peer connection, always offered by us; we are the active DTLS side.

    Attributes:
        connected: Set when media and data can flow.
    """

    def __init__(self, rtp: Callable[[bytes], None]) -> None:
        self.ice = Ice(self._media)
        self.connected = asyncio.Event()
        self._rtp = rtp
        self._dtls = RTCDtlsTransport(self.ice, [certificate()])  # type: ignore[arg-type]  # duck-typed ICE
        self._dtls._set_role("client")
        self._sctp = RTCSctpTransport(self._dtls)
        self._channels = [
            RTCDataChannel(
                self._sctp, RTCDataChannelParameters(label=label, ordered=ordered, maxRetransmits=retransmits)
            )
            for label, ordered, retransmits in (("_reliable", True, None), ("_lossy", False, 0))
        ]
        self._starting: asyncio.Task[None] | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of our certificate."""
        return next(f.value for f in certificate().getFingerprints() if f.algorithm == "sha-256")

    def start(self, algorithm: str, fingerprint: str) -> None:
        """Begins DTLS as soon as ICE is up; later calls change nothing."""
        if self._starting is None:
            parameters = RTCDtlsParameters([RTCDtlsFingerprint(algorithm, fingerprint)])
            self._starting = asyncio.create_task(self._start(parameters))

    async def _start(self, parameters: RTCDtlsParameters) -> None:
        await self.ice.connected.wait()
        await self._dtls.start(parameters)
        await self._sctp.start(RTCSctpCapabilities(maxMessageSize=MAX_MESSAGE), SCTP_PORT)
        self.connected.set()

    def _media(self, data: bytes) -> None:
        if not self.connected.is_set() or 192 <= data[1] <= 223:
            return
        try:
            self._rtp(self._dtls._rx_srtp.unprotect(data))
        except SrtpError:
            # A packet sent twice.
            return

    def send_rtp(self, packet: bytes) -> None:
        """Encrypts and sends one RTP packet."""
        self.ice.send(self._dtls._tx_srtp.protect(packet))

    def send_rtcp(self, packet: bytes) -> None:
        """Encrypts and sends one compound RTCP packet."""
        self.ice.send(self._dtls._tx_srtp.protect_rtcp(packet))

    async def close(self) -> None:
        """Ends everything."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await self._sctp.stop()
        await self._dtls.stop()
        self.ice.close()
