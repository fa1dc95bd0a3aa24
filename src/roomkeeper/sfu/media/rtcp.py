"""RTCP of one peer connection: reports both ways, and requests for lost packets.

Each second the publisher gets a receiver report and each subscriber a sender report (RFC 3550 section 6.4): all that
`getStats` and FEC need.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiortc.rtp import RtcpPacket, RtcpRrPacket, RtcpRtpfbPacket, RtcpSdesPacket, RtcpSourceInfo, RtcpSrPacket

if TYPE_CHECKING:
    from roomkeeper.sfu.media.forward import DownTrack, UpTrack

NACK_FMT = 1
SDES_CNAME = 1


@dataclass(slots=True)
class Tracks:
    """The tracks of one peer connection, and the RTP and RTCP between them and the client."""

    ups: dict[int, UpTrack] = field(default_factory=dict)
    downs: dict[int, DownTrack] = field(default_factory=dict)

    def rtcp(self, data: bytes, wall: float, now: float) -> int:
        """Takes a compound RTCP packet; returns how many packets were sent again.

        Raises:
            ValueError: It does not parse.
        """
        resent = 0
        for packet in RtcpPacket.parse(data):
            if isinstance(packet, RtcpSrPacket) and (up := self.ups.get(packet.ssrc)) is not None:
                up.sender_report(packet.sender_info, now)
            if isinstance(packet, RtcpRtpfbPacket) and packet.fmt == NACK_FMT:
                down = self.downs.get(packet.media_ssrc)
                resent += down.resend(packet.lost) if down is not None else 0
            if isinstance(packet, (RtcpSrPacket, RtcpRrPacket)):
                for report in packet.reports:
                    if (down := self.downs.get(report.ssrc)) is not None:
                        down.received_report(report, wall, now)
        return resent

    def reports(self, wall: float, now: float) -> list[bytes]:
        """Builds this second's compound packets to the client."""
        blocks = [block for up in set(self.ups.values()) if (block := up.receiver_report(now)) is not None]
        out: list[bytes] = []
        for down in self.downs.values():
            if (sender := down.sender_report(wall, now)) is None:
                continue
            sender.reports, blocks = blocks[:31], blocks[31:]
            cname = RtcpSdesPacket([RtcpSourceInfo(down.ssrc, [(SDES_CNAME, down.up.sid.encode())])])
            out.append(bytes(sender) + bytes(cname))
        if blocks:
            out.append(bytes(RtcpRrPacket(ssrc=1, reports=blocks[:31])))
        return out
