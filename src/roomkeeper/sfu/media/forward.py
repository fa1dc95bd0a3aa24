"""RTP from one publisher's track to its subscribers, never decoded.

A packet is decrypted once, given a new header per subscriber (source, sequence number, payload type; no extensions)
and encrypted again. The payload, hence Opus with its DTX and FEC, passes untouched; so do timestamps.

Subscribers ask for lost packets by NACK (RFC 4585), served from a short history. What is reported about the streams,
`rtcp.py` carries.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiortc.rtp import RtcpReceiverInfo, RtcpSenderInfo, RtcpSrPacket

if TYPE_CHECKING:
    from roomkeeper.sfu.media.peer import Peer

HISTORY = 128
"""Packets kept per subscriber for NACK: 2.5 s of 20 ms frames."""
CLOCK_RATE = 48000
NTP_EPOCH = 2208988800
"""Seconds from 1900 (NTP, RFC 5905) to 1970."""
SPEAKING_DBOV = 35
"""A packet counts as speech when it is louder than -35 dBov (facts, livekit-server C: Speakers)."""
MAX_RESENT_PER_SECOND = 200
"""Packets a second that one subscriber may ask for again."""

_HEADER = struct.Struct("!BBHII")


@dataclass(frozen=True, slots=True)
class Loudness:
    """How loud a track was since it was last asked.

    Attributes:
        level: Linear, 0 to 1.
        share: Share of the packets that were louder than `SPEAKING_DBOV`, 0 to 1.
    """

    level: float
    share: float


@dataclass(slots=True)
class LossReport:
    """What the far end said last about one stream."""

    fraction_lost: float = 0.0
    jitter: float = 0.0
    round_trip: float | None = None
    at: float | None = None


class UpTrack:
    """A published track: where its packets come in.

    Attributes:
        sid: The track's `TR_` id.
        ssrc: The source now in use, 0 before the first packet.
        packets: Received so far.
        lost: Never received so far.
        heard_at: When the last packet came, in seconds of the media clock.
        loss_share: Share of packets lost in the last report interval, 0 to 1.
    """

    __slots__ = (
        "_base",
        "_highest",
        "_jitter",
        "_last_transit",
        "_reported",
        "_sender_report",
        "_window",
        "bytes",
        "downs",
        "heard_at",
        "level_id",
        "loss_share",
        "packets",
        "sid",
        "ssrc",
    )

    def __init__(self, sid: str, level_id: int) -> None:
        self.sid = sid
        self.level_id = level_id
        self.ssrc = 0
        self.downs: list[DownTrack] = []
        self.packets = 0
        self.bytes = 0
        self.heard_at: float | None = None
        self.loss_share = 0.0
        self._base = 0
        self._highest = -1
        self._jitter = 0.0
        self._last_transit: float | None = None
        self._reported = (0, 0)
        self._sender_report: tuple[int, int, float] | None = None
        self._window: list[int] = []

    @property
    def lost(self) -> int:
        """Packets that never came."""
        return max(0, self._highest - self._base + 1 - self.packets) if self._highest >= 0 else 0

    def receive(self, data: bytes, now: float) -> int:
        """Takes a decrypted RTP packet and forwards it.

        Args:
            data: Header and payload.
            now: Seconds of the media clock.

        Returns:
            How many subscribers it went to.
        """
        first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
        offset = 12 + 4 * (first & 0x0F)
        size = len(data)
        if first & 0x10:
            if size < offset + 4:
                return 0
            end = offset + 4 + 4 * int.from_bytes(data[offset + 2 : offset + 4], "big")
            if self.level_id:
                self._loudness(data, offset, min(end, size))
            offset = end
        if first & 0x20 and size:
            size -= data[-1]
        if offset > size:
            return 0
        if ssrc != self.ssrc:
            self._new_source(ssrc, sequence)
        extended = self._extend(sequence)
        self.packets += 1
        self.bytes += len(data)
        self.heard_at = now
        self._measure_jitter(timestamp, now)
        payload = data[offset:size]
        marker = second & 0x80
        for down in self.downs:
            down.write(payload, marker, extended, timestamp)
        return len(self.downs)

    def _new_source(self, ssrc: int, sequence: int) -> None:
        self.ssrc = ssrc
        # One cycle up, so that packets older than the first one keep positive numbers.
        self._base = self._highest = 0x10000 + sequence
        self._highest -= 1
        self.packets = 0
        self._reported = (0, 0)
        self._last_transit = None
        self._sender_report = None  # of another clock
        for down in self.downs:
            down.rebase()

    def _extend(self, sequence: int) -> int:
        delta = (sequence - self._highest) & 0xFFFF
        if delta < 0x8000:
            self._highest += delta
            return self._highest
        return self._highest - (0x10000 - delta)

    def _measure_jitter(self, timestamp: int, now: float) -> None:
        transit = now * CLOCK_RATE - timestamp
        if self._last_transit is not None:
            self._jitter += (min(abs(transit - self._last_transit), CLOCK_RATE) - self._jitter) / 16
        self._last_transit = transit

    def _loudness(self, data: bytes, offset: int, end: int) -> None:
        # One-byte header extensions (RFC 8285 section 4.2); other profiles carry no level.
        if data[offset] != 0xBE or data[offset + 1] != 0xDE:
            return
        position = offset + 4
        while position < end:
            head = data[position]
            if head == 0:
                position += 1
                continue
            length = (head & 0x0F) + 1
            if head >> 4 == self.level_id and position + 1 < end:
                if len(self._window) < 100:
                    self._window.append(data[position + 1] & 0x7F)
                return
            position += 1 + length

    def loudness(self) -> Loudness:
        """Returns the loudness since the last call, and begins anew."""
        window, self._window = self._window, []
        loud = [level for level in window if level < SPEAKING_DBOV]
        if not loud:
            return Loudness(0.0, 0.0)
        mean = sum(loud) / len(loud)
        return Loudness(level=math.pow(10, -mean / 20), share=len(loud) / len(window))

    def sender_report(self, report: RtcpSenderInfo, now: float) -> None:
        """Keeps the publisher's own clock for the reports to subscribers."""
        self._sender_report = (report.ntp_timestamp, report.rtp_timestamp, now)

    def rtp_time(self, now: float) -> int | None:
        """Returns the RTP timestamp of this moment, or None before the publisher's first report."""
        if self._sender_report is None:
            return None
        _, rtp, at = self._sender_report
        return (rtp + int((now - at) * CLOCK_RATE)) & 0xFFFFFFFF

    def receiver_report(self, now: float) -> RtcpReceiverInfo | None:
        """Builds the report block to the publisher (RFC 3550 section 6.4.1)."""
        if self._highest < 0 or not self.packets:
            return None
        expected = self._highest - self._base + 1
        expected_before, packets_before = self._reported
        interval = expected - expected_before
        lost = max(0, interval - (self.packets - packets_before))
        self._reported = (expected, self.packets)
        self.loss_share = lost / interval if interval > 0 else 0.0
        lsr, dlsr = 0, 0
        if self._sender_report is not None:
            ntp, _, at = self._sender_report
            lsr, dlsr = (ntp >> 16) & 0xFFFFFFFF, min(0xFFFFFFFF, int((now - at) * 65536))
        return RtcpReceiverInfo(
            ssrc=self.ssrc,
            fraction_lost=min(255, int(self.loss_share * 256)),
            packets_lost=min(self.lost, 0x7FFFFF),
            highest_sequence=(self._highest - 0x10000) & 0xFFFFFFFF,
            jitter=int(self._jitter),
            lsr=lsr,
            dlsr=dlsr,
        )


class DownTrack:
    """A subscriber's copy of a track.

    Attributes:
        ssrc: Our source number towards this subscriber.
        publisher: The publisher's `PA_` sid, for the msid.
        paused: The subscriber has switched the track off for a while.
        report: What the subscriber said last about it.
    """

    __slots__ = (
        "_budget",
        "_floor",
        "_history",
        "_next",
        "_offset",
        "_peer",
        "bytes",
        "packets",
        "paused",
        "payload_type",
        "publisher",
        "report",
        "resent",
        "ssrc",
        "stereo",
        "up",
    )

    FIRST_SEQUENCE = 1000
    """Low, so that SRTP's roll-over counter cannot turn before the first packet has arrived (facts, room server)."""

    def __init__(self, up: UpTrack, peer: Peer, ssrc: int, payload_type: int) -> None:
        self.up = up
        self.ssrc = ssrc
        self.payload_type = payload_type
        self.publisher = ""
        self.stereo = False
        self.paused = False
        self.packets = 0
        self.bytes = 0
        self.resent = 0
        self.report = LossReport()
        self._peer = peer
        self._offset: int | None = None
        self._next = self._floor = self.FIRST_SEQUENCE
        self._history: list[tuple[int, bytes] | None] = [None] * HISTORY
        self._budget = MAX_RESENT_PER_SECOND

    @property
    def connected(self) -> bool:
        """Whether the subscriber's connection is up."""
        return self._peer.connected

    def start(self) -> None:
        """Begins to forward."""
        if self not in self.up.downs:
            self.up.downs.append(self)

    def stop(self) -> None:
        """Ends forwarding."""
        if self in self.up.downs:
            self.up.downs.remove(self)

    def close(self) -> None:
        """Ends forwarding for good."""
        self.stop()
        self._peer.forget_source(self.ssrc)

    def rebase(self) -> None:
        """Goes on without a gap when the source or the flow was interrupted."""
        self._offset = None

    def write(self, payload: bytes, marker: int, extended: int, timestamp: int) -> None:
        """Sends one packet on.

        Args:
            payload: What follows the RTP header.
            marker: 0x80 or 0.
            extended: The publisher's sequence number, counted on beyond 16 bits.
            timestamp: The publisher's RTP timestamp.
        """
        if self.paused:
            self._offset = None
            return
        if self._offset is None:
            self._offset = self._next - extended
            self._floor = self._next
        number = extended + self._offset
        if number < self._floor:  # late, from before the interruption: its number may be another packet's by now
            return
        sequence = number & 0xFFFF
        packet = _HEADER.pack(0x80, marker | self.payload_type, sequence, timestamp, self.ssrc) + payload
        self._history[number % HISTORY] = (sequence, packet)
        self._next = max(self._next, number + 1)
        self.packets += 1
        self.bytes += len(payload)
        self._peer.send_rtp(packet)

    def resend(self, sequences: list[int]) -> int:
        """Serves a NACK from the history; returns how many packets were sent again."""
        sent = 0
        for sequence in sequences:
            kept = self._history[sequence % HISTORY]
            if kept is not None and kept[0] == sequence & 0xFFFF and self._budget > 0:
                self._budget -= 1
                self._peer.send_rtp(kept[1])
                sent += 1
        self.resent += sent
        return sent

    def received_report(self, report: RtcpReceiverInfo, wall: float, now: float) -> None:
        """Keeps what the subscriber reports.

        Args:
            report: Its report block.
            wall: Unix time in seconds, the clock of our sender reports.
            now: Seconds of the media clock.
        """
        round_trip = None
        if report.lsr:
            middle = (ntp_time(wall) >> 16) & 0xFFFFFFFF
            round_trip = ((middle - report.lsr - report.dlsr) & 0xFFFFFFFF) / 65536
            round_trip = round_trip if round_trip < 60 else None
        self.report = LossReport(report.fraction_lost / 256, report.jitter / CLOCK_RATE, round_trip, now)

    def sender_report(self, wall: float, now: float) -> RtcpSrPacket | None:
        """Builds the report to the subscriber, and renews its NACK budget."""
        self._budget = MAX_RESENT_PER_SECOND
        rtp = self.up.rtp_time(now)
        if rtp is None or not self.packets:
            return None
        info = RtcpSenderInfo(ntp_time(wall), rtp, self.packets & 0xFFFFFFFF, self.bytes & 0xFFFFFFFF)
        return RtcpSrPacket(ssrc=self.ssrc, sender_info=info)


def ntp_time(wall: float) -> int:
    """Returns a unix time in seconds as a 64-bit NTP timestamp."""
    seconds = int(wall)
    return ((seconds + NTP_EPOCH) << 32) | int((wall - seconds) * (1 << 32))
