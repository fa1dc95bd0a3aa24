"""Session descriptions: what a client's says, and how ours are written (RFC 8866, RFC 8839, RFC 8841, RFC 9429).

Reading is aiortc's parser behind limits; writing is ours, because an ICE-lite server that forwards needs only a few
lines of a description. Only Opus is offered and accepted; video sections are answered `inactive` with a real codec,
since port 0 makes Chrome drop the whole bundle (facts, room server).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from aiortc.sdp import MediaDescription, SessionDescription

from roomkeeper.errors import RoomkeeperError
from roomkeeper.sfu.media.peer import MAX_MESSAGE

if TYPE_CHECKING:
    from roomkeeper.sfu.media.ice import Candidate, Credentials

MAX_SDP = 256 * 1024
"""Characters; a Chrome offer with a hundred sections has about 150,000."""
MAX_SECTIONS = 256
MAX_SOURCES = 1024
"""Lines about sources: the parser compares each with all others of its section."""
MAX_MID = 64
"""Characters of a section's name, which others see in the track."""
UNREAD = ("a=candidate:", "a=fmtp:", "a=rtcp-fb:", "a=ssrc-group:")
"""Lines that say nothing to us. With enough of them the parser takes the square of their number: a minute."""
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
OPUS_CLOCK = 48000
DEFAULT_OPUS = 111

Kind = Literal["audio", "video", "application"]
Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]


class InvalidDescription(RoomkeeperError):
    """The session description cannot be used; renegotiate with a fresh offer."""


@dataclass(frozen=True, slots=True)
class Section:
    """One m-section of a client's description.

    Attributes:
        opus: Payload type the client uses for Opus, or None.
        fallback: First codec of the section as `(payload type, rtpmap value)`; what an inactive answer repeats.
        stream, track: The two tokens of `a=msid`.
        ssrcs: Announced sources.
        level_id, mid_id: Header extension ids of the audio level (RFC 6464) and MID (RFC 9143), 0 if absent.
    """

    mid: str
    kind: Kind
    direction: Direction
    rejected: bool
    opus: int | None
    fallback: tuple[int, str] | None
    stream: str
    track: str
    ssrcs: tuple[int, ...]
    level_id: int
    mid_id: int

    @property
    def sends(self) -> bool:
        """Whether the client means to send in this section."""
        return not self.rejected and self.direction in {"sendrecv", "sendonly"}

    @property
    def receives(self) -> bool:
        """Whether the client means to receive in this section."""
        return not self.rejected and self.direction in {"sendrecv", "recvonly"}


@dataclass(frozen=True, slots=True)
class Description:
    """What a client's offer or answer says to us."""

    ufrag: str
    fingerprints: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    sctp_port: int | None


def read(text: str) -> Description:
    """Reads a client's session description.

    Args:
        text: The SDP.

    Raises:
        InvalidDescription: It is too long, malformed, or lacks ICE credentials or a fingerprint.
    """
    if len(text) > MAX_SDP:
        raise InvalidDescription(f"It has {len(text)} characters, {MAX_SDP} are allowed.")
    read_lines = [line for line in text.splitlines() if not line.startswith(UNREAD)]
    for what, start, most in (("sections", "m=", MAX_SECTIONS), ("sources", "a=ssrc:", MAX_SOURCES)):
        if (count := sum(line.startswith(start) for line in read_lines)) > most:
            raise InvalidDescription(f"It has {count} {what}, {most} are allowed.")
    try:
        parsed = SessionDescription.parse("\r\n".join([*read_lines, ""]))
        sections = tuple(_section(media, index) for index, media in enumerate(parsed.media))
    except Exception as error:
        # aiortc asserts, indexes and unpacks its way through; whatever that raises, the text is at fault.
        raise InvalidDescription(f"It does not parse ({type(error).__name__}).") from error
    if not sections:
        raise InvalidDescription("It has no media section.")
    if max(len(section.mid) for section in sections) > MAX_MID:
        raise InvalidDescription(f"A mid has more than {MAX_MID} characters.")
    if len({section.mid for section in sections}) != len(sections):
        raise InvalidDescription("Two media sections share a mid.")
    transports = [
        (m.ice.usernameFragment, m.dtls.fingerprints)
        for m in parsed.media
        if m.ice and m.ice.usernameFragment and m.dtls and m.dtls.fingerprints
    ]
    if not transports:
        raise InvalidDescription("It has no ICE credentials with a DTLS fingerprint.")
    ufrag, fingerprints = transports[0]
    ports = [m.sctp_port or 5000 for m in parsed.media if m.kind == "application" and m.port]
    return Description(
        ufrag=ufrag,
        fingerprints=tuple((f.algorithm, f.value) for f in fingerprints),
        sections=sections,
        sctp_port=ports[0] if ports else None,
    )


def _section(media: MediaDescription, index: int) -> Section:
    stream, _, track = (media.msid or "").partition(" ")
    extensions = {extension.uri: extension.id for extension in media.rtp.headerExtensions}
    codecs = media.rtp.codecs
    opus = [c.payloadType for c in codecs if c.mimeType.lower() == "audio/opus" and c.clockRate == OPUS_CLOCK]
    first = codecs[0] if codecs else None
    fallback = None
    if first is not None and first.payloadType is not None:
        channels = f"/{first.channels}" if (first.channels or 1) > 1 else ""
        fallback = (first.payloadType, f"{first.mimeType.partition('/')[2]}/{first.clockRate}{channels}")
    if media.kind not in {"audio", "video", "application"}:
        raise ValueError(media.kind)
    return Section(
        mid=media.rtp.muxId or str(index),
        kind=media.kind,  # type: ignore[arg-type]  # checked just above
        direction=media.direction or "sendrecv",  # type: ignore[arg-type]  # the parser admits only the four
        rejected=media.port == 0 and media.kind != "application",
        opus=opus[0] if opus else None,
        fallback=fallback,
        stream=stream,
        track=track.strip(),
        ssrcs=tuple(source.ssrc for source in media.ssrc),
        level_id=extensions.get(AUDIO_LEVEL, 0),
        mid_id=extensions.get(MID, 0),
    )


@dataclass(frozen=True, slots=True)
class Sent:
    """A track that one of our sections sends: its source number and both tokens of its msid."""

    ssrc: int
    stream: str
    track: str
    stereo: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One m-section of ours."""

    mid: str
    kind: Kind
    direction: Direction = "inactive"
    payload_type: int = DEFAULT_OPUS
    codec: str = "opus/48000/2"
    sent: Sent | None = None
    level_id: int = 0
    mid_id: int = 0


@dataclass(frozen=True, slots=True)
class Ours:
    """A description of ours, ready to be written."""

    origin: int
    version: int
    credentials: Credentials
    fingerprints: tuple[tuple[str, str], ...]
    candidates: tuple[Candidate, ...]
    setup: Literal["actpass", "passive"]
    lines: tuple[Line, ...] = field(default_factory=tuple)

    def text(self) -> str:
        """Returns the SDP."""
        head = [
            "v=0",
            f"o=- {self.origin} {self.version} IN IP4 0.0.0.0",
            "s=-",
            "t=0 0",
            "a=ice-lite",
            f"a=group:BUNDLE {' '.join(line.mid for line in self.lines)}",
            "a=extmap-allow-mixed",
            "a=msid-semantic: WMS *",
        ]
        body = [text for line in self.lines for text in self._media(line)]
        return "\r\n".join([*head, *body, ""])

    def _media(self, line: Line) -> list[str]:
        transport = [
            "c=IN IP4 0.0.0.0",
            f"a=mid:{line.mid}",
            f"a=ice-ufrag:{self.credentials.ufrag}",
            f"a=ice-pwd:{self.credentials.password}",
            *(f"a=fingerprint:{algorithm} {value}" for algorithm, value in self.fingerprints),
            f"a=setup:{self.setup}",
            *(f"a=candidate:{candidate.to_sdp()}" for candidate in self.candidates),
            "a=end-of-candidates",
        ]
        if line.kind == "application":
            head = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"
            return [head, *transport, "a=sctp-port:5000", f"a=max-message-size:{MAX_MESSAGE}"]
        codec = [f"a=rtpmap:{line.payload_type} {line.codec}"]
        if line.kind == "audio":
            stereo = ";stereo=1;sprop-stereo=1" if line.sent is not None and line.sent.stereo else ""
            codec.append(f"a=fmtp:{line.payload_type} minptime=10;useinbandfec=1{stereo}")
            codec.append(f"a=rtcp-fb:{line.payload_type} nack")
        extensions = [
            f"a=extmap:{number} {uri}" for number, uri in ((line.level_id, AUDIO_LEVEL), (line.mid_id, MID)) if number
        ]
        rtp = [f"a={line.direction}", "a=rtcp-mux", "a=rtcp-rsize", *extensions, *codec]
        if line.sent is not None:
            msid = f"{line.sent.stream} {line.sent.track}"
            rtp += [
                f"a=msid:{msid}",
                f"a=ssrc:{line.sent.ssrc} cname:{line.sent.stream}",
                f"a=ssrc:{line.sent.ssrc} msid:{msid}",
            ]
        return [f"m={line.kind} 9 UDP/TLS/RTP/SAVPF {line.payload_type}", *transport, *rtp]
