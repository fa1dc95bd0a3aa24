"""All media between one client and the server: who offers what, over two peer connections (v0) or one (v1).

* v0: the client offers its publisher connection, we offer the subscriber connection. One offer of ours is outstanding
  at a time; RTP flows only for tracks of an *answered* offer.
* v1: the client offers everything. When it needs more sections for tracks to receive, we say how many
  (`MediaSectionsRequirement`) and it offers again; an answer puts a track into each free one.

Nothing here knows rooms: a `ConnectionObserver` says which track a client's section is, and hears what happens.
"""

from __future__ import annotations

import logging
import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from roomkeeper.sfu.media.forward import DownTrack, UpTrack
from roomkeeper.sfu.media.peer import NOBODY
from roomkeeper.sfu.media.rtcp import Tracks
from roomkeeper.sfu.media.sdp import Description, Line, Ours, Section, Sent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiortc import RTCCertificate

    from roomkeeper.sfu.media.ice import MediaPort
    from roomkeeper.sfu.media.peer import Peer

logger = logging.getLogger(__name__)

MAX_SOURCES = 1024
"""Source numbers that a client may send from without having announced them: each track that it publishes may be one."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A track that a subscriber is to receive.

    Attributes:
        up: Where it comes in.
        publisher: The publisher's `PA_` sid, first token of the msid.
    """

    up: UpTrack
    publisher: str
    stereo: bool = False
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """A description of ours: SDP, the id that pairs offer and answer, and which track is in which section."""

    text: str
    id: int
    mid_to_track: Mapping[str, str]


class ConnectionObserver(Protocol):
    """The participant session above a connection."""

    def bind_track(self, cid: str, mid: str) -> str | None:
        """Names the track (`TR_…`) that the client announced for this section, or None if it announced none."""

    def track_live(self, sid: str) -> None:
        """A published track is negotiated: others may have it."""

    def track_gone(self, sid: str) -> None:
        """The client no longer offers a published track."""

    def send_offer(self, exchange: Exchange) -> None:
        """Sends our offer to the client (v0)."""

    def require_sections(self, audios: int) -> None:
        """Asks the client for that many more audio sections (v1)."""

    def media_connected(self, *, primary: bool) -> None:
        """A peer connection is up."""

    def media_failed(self, why: str) -> None:
        """A peer connection cannot be used any more."""

    def overdone(self, what: str) -> None:
        """The client has used more of something than any client needs."""

    def channel_open(self, label: str) -> None:
        """Data can go down on this channel."""

    def channel_message(self, label: str, data: bytes) -> None:
        """Data came up on this channel."""


@dataclass(frozen=True, slots=True)
class MediaStack:
    """What every connection of the process shares: port, certificate and clocks (seconds)."""

    port: MediaPort
    certificate: RTCCertificate
    now: Callable[[], float]
    wall: Callable[[], float]
    forwarded: Callable[[int, int, int], None]
    """Told (bytes received, subscribers, packets sent again) for the metrics."""


class Connection(ABC):
    """The media of one participant session."""

    primary: Peer

    def __init__(self, stack: MediaStack, observer: ConnectionObserver) -> None:
        self.tracks = Tracks()
        self._stack = stack
        self._observer = observer
        self._published: dict[str, tuple[str, UpTrack]] = {}  # mid -> (cid, track)
        self._remote_ufrag: dict[str, str] = {}  # peer name -> ufrag of the client
        self._session_id = secrets.randbits(62)
        self._version = 0
        self._mid_ids: set[int] = set()
        self._sources: set[int] = set()  # of RTP that was not announced, and of RTCP
        self._overdone = False

    @property
    @abstractmethod
    def peers(self) -> tuple[Peer, ...]:
        """Every peer connection of the session."""

    @abstractmethod
    def begin(self) -> None:
        """Opens the negotiation with a client that has just joined and has offered nothing yet."""

    @abstractmethod
    def offered(self, text: str, number: int) -> Exchange:
        """Answers a client's offer.

        Raises:
            InvalidDescription: The offer cannot be used.
        """

    @abstractmethod
    def answered(self, text: str, number: int) -> None:
        """Takes a client's answer to our offer.

        Raises:
            InvalidDescription: The answer cannot be used.
        """

    @abstractmethod
    def want(self, wanted: Mapping[str, Wanted]) -> None:
        """Makes these tracks, by sid, the whole set that the client receives."""

    @abstractmethod
    def restart(self) -> None:
        """Begins an ICE restart from our side after the client resumed its signal connection."""

    def only(self, protocol: str | None) -> None:
        """Names candidates of this protocol alone in our descriptions from now on; None: of every one."""
        for peer in self.peers:
            peer.ice.only = protocol

    @property
    def data_peer(self) -> Peer:
        """The peer connection whose channels carry data down."""
        return self.primary

    def flowing(self) -> set[str]:
        """Returns the tracks that the client receives: negotiated by both sides, and over a connection that is up."""
        return {down.up.sid for down in self.tracks.downs.values() if down.connected}

    def published(self, sid: str) -> UpTrack | None:
        """Returns a bound track by its sid."""
        return next((up for _, up in self._published.values() if up.sid == sid), None)

    def unpublish(self, sid: str) -> None:
        """Stops taking packets of a track."""
        for mid, (_, up) in list(self._published.items()):
            if up.sid == sid:
                self._forget(mid)

    def _forget(self, mid: str) -> UpTrack:
        _, up = self._published.pop(mid)
        self._unbind(up)
        for down in list(up.downs):
            down.stop()
        return up

    def _unbind(self, up: UpTrack) -> None:
        for ssrc in [ssrc for ssrc, track in self.tracks.ups.items() if track is up]:
            del self.tracks.ups[ssrc]

    def _take(self, description: Description) -> list[str]:
        """Binds the sections that send to announced tracks; returns the sids that became live."""
        live: list[str] = []
        sending = {s.mid: s for s in description.sections if s.kind == "audio" and s.sends and s.opus is not None}
        for mid, (cid, up) in list(self._published.items()):
            section = sending.get(mid)
            if section is None or (section.track and section.track != cid):
                self._forget(mid)
                self._observer.track_gone(up.sid)
        for mid, section in sending.items():
            self._mid_ids |= {section.mid_id} - {0}
            if mid not in self._published:
                sid = self._observer.bind_track(section.track, mid)
                if sid is None:
                    continue
                self._published[mid] = (section.track, UpTrack(sid, section.level_id))
                live.append(sid)
            _, up = self._published[mid]
            if section.ssrcs:
                self._unbind(up)
                self.tracks.ups.update(dict.fromkeys(section.ssrcs, up))
        return live

    def _connect(self, peer: Peer, description: Description) -> None:
        known = self._remote_ufrag.get(peer.name)
        self._remote_ufrag[peer.name] = description.ufrag
        if known is not None and known != description.ufrag and peer is not self._offerer():
            peer.ice.restart()
        peer.start(description.fingerprints, description.sctp_port)

    def _offerer(self) -> Peer | None:
        """The peer whose ICE we restart ourselves, if any."""
        return None

    def _answer_line(self, section: Section, down: DownTrack | None) -> Line:
        if section.kind == "application":
            return Line(section.mid, "application")
        # Extensions are accepted in every section: libwebrtc forgets those that an answer left out, for later ones too.
        line = Line(section.mid, section.kind, level_id=section.level_id, mid_id=section.mid_id)
        if section.kind == "video" or section.opus is None:
            number, codec = section.fallback or (96, "VP8/90000")
            return replace(line, payload_type=number, codec=codec)
        line = replace(line, payload_type=section.opus)
        if section.mid in self._published:
            return replace(line, direction="recvonly")
        return line if down is None else replace(line, direction="sendonly", sent=self._sent(down))

    def _sent(self, down: DownTrack) -> Sent:
        return Sent(down.ssrc, f"{down.publisher}|{down.up.sid}", down.up.sid, down.stereo)

    def _down(self, wanted: Wanted, peer: Peer, payload_type: int) -> DownTrack:
        down = DownTrack(wanted.up, peer, secrets.randbits(31) | 1, payload_type)
        down.publisher, down.stereo, down.paused = wanted.publisher, wanted.stereo, wanted.paused
        return down

    def _start(self, down: DownTrack) -> None:
        self.tracks.downs[down.ssrc] = down
        down.start()

    def _stop(self, down: DownTrack) -> None:
        down.close()
        self.tracks.downs.pop(down.ssrc, None)

    def _write(self, peer: Peer, setup: str, lines: list[Line]) -> str:
        self._version += 1
        return Ours(
            origin=self._session_id,
            version=self._version,
            credentials=peer.ice.local,
            fingerprints=peer.fingerprints,
            candidates=peer.ice.candidates,
            setup="actpass" if setup == "actpass" else "passive",
            lines=tuple(lines),
        ).text()

    def peer_connected(self, peer: Peer) -> None:
        """See `PeerObserver`."""
        self._observer.media_connected(primary=peer is self.primary)

    def peer_failed(self, peer: Peer, why: str) -> None:
        """See `PeerObserver`."""
        self._observer.media_failed(f"{peer.name} {why}")

    def channel_open(self, peer: Peer, label: str) -> None:
        """See `PeerObserver`."""
        if peer is self.data_peer:
            self._observer.channel_open(label)

    def channel_message(self, peer: Peer, label: str, data: bytes) -> None:
        """See `PeerObserver`."""
        del peer
        self._observer.channel_message(label, data)

    def rtp_received(self, peer: Peer, data: bytes) -> None:
        """See `PeerObserver`."""
        del peer
        ssrc = int.from_bytes(data[8:12], "big")
        up = self.tracks.ups.get(ssrc)
        if up is None:
            self._count_source(ssrc)
            up = self._adopt_source(data, ssrc)
            if up is None:
                return
        subscribers = up.receive(data, self._stack.now())
        self._stack.forwarded(len(data), subscribers, 0)

    def _count_source(self, ssrc: int) -> None:
        """Ends the session of whoever sends from ever new sources: libsrtp remembers each, and searches them all."""
        self._sources.add(ssrc)
        if len(self._sources) > MAX_SOURCES and not self._overdone:
            self._overdone = True
            self._observer.overdone("sources")

    def _adopt_source(self, data: bytes, ssrc: int) -> UpTrack | None:
        """Finds the track of a source that its SDP did not announce: by MID (RFC 9143), or as the only one possible."""
        mid = _mid_of(data, self._mid_ids)
        named = self._published.get(mid) if mid is not None else None
        sourced = set(map(id, self.tracks.ups.values()))
        unsourced = [up for _, up in self._published.values() if id(up) not in sourced]
        up = named[1] if named is not None else unsourced[0] if len(unsourced) == 1 else None
        if up is not None:
            self._unbind(up)
            self.tracks.ups[ssrc] = up
        return up

    def rtcp_received(self, peer: Peer, data: bytes) -> None:
        """See `PeerObserver`."""
        del peer
        self._count_source(int.from_bytes(data[4:8], "big"))
        try:
            resent = self.tracks.rtcp(data, self._stack.wall(), self._stack.now())
        except ValueError:
            return
        if resent:
            self._stack.forwarded(0, 0, resent)

    @abstractmethod
    def report(self) -> None:
        """Sends this second's RTCP reports."""

    def loss(self) -> float:
        """Returns the worst share of packets lost lately, in either direction, 0 to 1."""
        up = [track.loss_share for _, track in self._published.values()]
        down = [track.report.fraction_lost for track in self.tracks.downs.values()]
        return max([0.0, *up, *down])

    def heard_at(self) -> float | None:
        """Returns when the quietest peer connection in use was last heard, in seconds of the media clock."""
        heard = [peer.ice.heard_at for peer in self.peers if peer.ice.heard_at is not None]
        return min(heard) if heard else None

    def silence(self) -> None:
        """Takes no more packets in and sends none on; the peer connections stay."""
        for mid in list(self._published):
            self._forget(mid)
        for down in list(self.tracks.downs.values()):
            self._stop(down)

    async def close(self) -> None:
        """Ends every peer connection."""
        self.silence()
        for peer in self.peers:
            await peer.close()
        self._observer = NOBODY


def _mid_of(data: bytes, ids: set[int]) -> str | None:
    if not ids or not data[0] & 0x10:
        return None
    offset = 12 + 4 * (data[0] & 0x0F)
    if len(data) < offset + 4 or data[offset : offset + 2] != b"\xbe\xde":
        return None
    end = min(len(data), offset + 4 + 4 * int.from_bytes(data[offset + 2 : offset + 4], "big"))
    position = offset + 4
    while position < end:
        number, length = data[position] >> 4, (data[position] & 0x0F) + 1
        if number == 0:
            position += 1
            continue
        if number in ids:
            return data[position + 1 : position + 1 + length].decode("ascii", "replace")
        position += 1 + length
    return None
