"""The v0 path: the client offers what it publishes, we offer what it receives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from roomkeeper.sfu.media.connection import Connection, ConnectionObserver, Exchange, MediaStack, Wanted
from roomkeeper.sfu.media.peer import Peer
from roomkeeper.sfu.media.sdp import DEFAULT_OPUS, Line, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roomkeeper.sfu.media.forward import DownTrack


@dataclass(slots=True)
class Slot:
    """One m-section of our offers.

    Attributes:
        offered_idle: The client has seen it inactive, so that it may be used anew.
        last: The track it carried last. The python SDK takes no notice of one that comes back where it was.
    """

    mid: str
    down: DownTrack | None = None
    offered_idle: bool = False
    last: str = ""


class DualConnection(Connection):
    """Two peer connections; the primary one, by default the subscriber's, carries data down."""

    def __init__(self, stack: MediaStack, observer: ConnectionObserver, *, subscriber_primary: bool = True) -> None:
        super().__init__(stack, observer)
        self.publisher = Peer("publisher", stack.port, stack.certificate, self)
        self.subscriber = Peer("subscriber", stack.port, stack.certificate, self)
        self.primary = self.subscriber if subscriber_primary else self.publisher
        if subscriber_primary:
            self.subscriber.open_channels()
        self._slots: list[Slot] = []
        self._number = 0
        self._outstanding: list[tuple[Slot, DownTrack | None]] | None = None
        self._offered_at = 0.0
        self._dirty = False
        self._wanted: Mapping[str, Wanted] = {}
        self._leaving: set[str] = set()  # tracks taken out since the last answer

    @property
    def peers(self) -> tuple[Peer, ...]:
        """See `Connection`."""
        return self.publisher, self.subscriber

    def _offerer(self) -> Peer:
        return self.subscriber

    @property
    def waiting_since(self) -> float | None:
        """When the unanswered offer was sent, in seconds of the media clock."""
        return None if self._outstanding is None else self._offered_at

    def begin(self) -> None:
        """See `Connection`: with tracks in the first offer clients take 30 ms longer to join, so they come second."""
        self._send_offer()

    def offer(self) -> None:
        """Offers the subscriber connection as it should be now, or after the outstanding answer."""
        if self._outstanding is not None:
            self._dirty = True
            return
        self._send_offer()

    def _send_offer(self) -> None:
        self._dirty = False
        self._number += 1
        self._offered_at = self._stack.now()
        self._outstanding = [(slot, slot.down) for slot in self._slots]
        lines = [Line("0", "application")]
        for slot in self._slots:
            if slot.down is None:
                lines.append(Line(slot.mid, "audio"))
            else:
                lines.append(Line(slot.mid, "audio", "sendonly", sent=self._sent(slot.down)))
        mids = {slot.mid: slot.down.up.sid for slot in self._slots if slot.down is not None}
        self._observer.send_offer(Exchange(self._write(self.subscriber, "actpass", lines), self._number, mids))

    def offered(self, text: str, number: int) -> Exchange:
        """See `Connection`."""
        description = read(text)
        live = self._take(description)
        self._connect(self.publisher, description)
        lines = [self._answer_line(section, None) for section in description.sections]
        answer = Exchange(self._write(self.publisher, "passive", lines), number, {})
        for sid in live:
            self._observer.track_live(sid)
        return answer

    def answered(self, text: str, number: int) -> None:
        """See `Connection`."""
        if self._outstanding is None or (number and number != self._number):
            return
        description = read(text)
        snapshot, self._outstanding = self._outstanding, None
        self._connect(self.subscriber, description)
        for slot, down in snapshot:
            slot.offered_idle = down is None
            if down is not None and slot.down is down:
                self._start(down)
        if self._dirty:
            self._send_offer()
        else:
            self._leaving.clear()
            self.want(self._wanted)

    def want(self, wanted: Mapping[str, Wanted]) -> None:
        """See `Connection`."""
        self._wanted = wanted
        if not self._number:
            return
        changed = False
        have: set[str] = set()
        for slot in self._slots:
            if slot.down is None:
                continue
            track = wanted.get(slot.down.up.sid)
            if track is None or track.up is not slot.down.up:
                self._stop(slot.down)
                self._leaving.add(slot.down.up.sid)
                slot.last = slot.down.up.sid
                slot.down = None
                slot.offered_idle = False
                changed = True
            else:
                slot.down.paused = track.paused
                have.add(slot.down.up.sid)
        for sid, track in wanted.items():
            # A track is seen gone before it comes back: clients know it by this id.
            if sid not in have and sid not in self._leaving:
                self._idle_slot(sid).down = self._down(track, self.subscriber, DEFAULT_OPUS)
                changed = True
        if changed:
            self.offer()

    def _idle_slot(self, sid: str) -> Slot:
        idle = next((s for s in self._slots if s.down is None and s.offered_idle and s.last != sid), None)
        if idle is None:
            idle = Slot(str(len(self._slots) + 1))
            self._slots.append(idle)
        return idle

    def restart(self) -> None:
        """See `Connection`: an outstanding offer may have died with the signal connection, so a new one replaces it."""
        self.subscriber.ice.restart()
        self._send_offer()

    def report(self) -> None:
        """See `Connection`."""
        for packet in self.tracks.reports(self._stack.wall(), self._stack.now()):
            # A sender report begins with 200 (RFC 3550 section 6.4.1); only the subscriber connection sends.
            (self.subscriber if packet[1] == 200 else self.publisher).send_rtcp(packet)
