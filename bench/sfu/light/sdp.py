"""The offer of a light participant, and what it needs of the answer (RFC 8866, RFC 8839)."""

from __future__ import annotations

import re
from dataclasses import dataclass

LEVEL_ID, MID_ID = 1, 4
"""Header extension ids of the audio level (RFC 6464) and of MID (RFC 9143)."""
OPUS = 111
MICROPHONE_MID = "1"

_UDP_CANDIDATE = re.compile(r"candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Offer:
    """One data section, one section that sends our microphone, and any number that receive.

    Attributes:
        version: Counts the offers of a connection.
        cid: The client's name of its track.
    """

    version: int
    ufrag: str
    password: str
    fingerprint: str
    cid: str
    ssrc: int
    receiving: int

    def text(self) -> str:
        """Returns the SDP."""
        mids = [str(mid) for mid in range(2 + self.receiving)]
        transport = [
            "c=IN IP4 0.0.0.0",
            f"a=ice-ufrag:{self.ufrag}",
            f"a=ice-pwd:{self.password}",
            f"a=fingerprint:sha-256 {self.fingerprint}",
            "a=setup:active",
        ]
        audio = [
            "a=rtcp-mux",
            f"a=rtpmap:{OPUS} opus/48000/2",
            f"a=fmtp:{OPUS} minptime=10;useinbandfec=1",
            f"a=extmap:{LEVEL_ID} urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            f"a=extmap:{MID_ID} urn:ietf:params:rtp-hdrext:sdes:mid",
        ]
        lines = ["v=0", f"o=- 1 {self.version} IN IP4 127.0.0.1", "s=-", "t=0 0"]
        lines += [f"a=group:BUNDLE {' '.join(mids)}", "a=msid-semantic: WMS *"]
        lines += ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", *transport, "a=mid:0"]
        lines += ["a=sctp-port:5000", "a=max-message-size:65535"]
        lines += [f"m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}", *transport, f"a=mid:{MICROPHONE_MID}", "a=sendonly", *audio]
        lines += [f"a=msid:stream {self.cid}", f"a=ssrc:{self.ssrc} cname:{self.cid}"]
        for mid in mids[2:]:
            lines += [f"m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}", *transport, f"a=mid:{mid}", "a=recvonly", *audio]
        return "\r\n".join([*lines, ""])


def attribute(text: str, name: str) -> str:
    """Returns the first `a=name:` of an SDP.

    Raises:
        LookupError: There is none.
    """
    match = re.search(rf"^a={name}:(.*?)\r?$", text, re.MULTILINE)
    if match is None:
        raise LookupError(f"the answer has no a={name}")
    return match[1].strip()


def udp_candidate(text: str) -> tuple[str, int] | None:
    """Returns host and port of the first IPv4 UDP candidate in an SDP or a candidate line."""
    match = _UDP_CANDIDATE.search(text)
    return (match[1], int(match[2])) if match else None
