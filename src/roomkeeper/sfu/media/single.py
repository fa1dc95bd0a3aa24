"""The v1 path: one peer connection, always offered by the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roomkeeper.sfu.media.connection import Connection, ConnectionObserver, Exchange, MediaStack, Wanted
from roomkeeper.sfu.media.peer import Peer
from roomkeeper.sfu.media.sdp import read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roomkeeper.sfu.media.forward import DownTrack


class SingleConnection(Connection):
    """One peer connection; data goes down on the client's own channels."""

    def __init__(self, stack: MediaStack, observer: ConnectionObserver) -> None:
        super().__init__(stack, observer)
        self.primary = Peer("single", stack.port, stack.certificate, self)
        self._wanted: dict[str, Wanted] = {}
        self._downs: dict[str, DownTrack] = {}  # mid -> track
        self._free = 0
        self._cooling: dict[str, str] = {}  # mid -> sid of the track that went away
        self._asked = False
        self._begun = False

    @property
    def peers(self) -> tuple[Peer, ...]:
        """See `Connection`."""
        return (self.primary,)

    def begin(self) -> None:
        """See `Connection`: an offer is asked for; which sections are missing is known when it has come."""
        self._observer.require_sections(0)

    def offered(self, text: str, number: int) -> Exchange:
        """See `Connection`."""
        description = read(text)
        self._asked = False
        self._begun = True
        live = self._take(description)
        self._connect(self.primary, description)
        receiving = [s for s in description.sections if s.kind == "audio" and s.receives and s.opus is not None]
        open_mids = {s.mid for s in receiving if s.mid not in self._published}
        for mid in [mid for mid in self._downs if mid not in open_mids]:
            self._stop(self._downs.pop(mid))
        for section in receiving:
            if section.mid in open_mids - self._cooling.keys() and section.mid not in self._downs:
                track = self._next_waiting()
                if track is not None:
                    self._downs[section.mid] = self._down(track, self.primary, section.opus or 0)
        # Both are shown gone once before they come back: clients tell tracks and sections by these ids.
        self._cooling.clear()
        self._free = len(open_mids) - len(self._downs)
        lines = [self._answer_line(section, self._downs.get(section.mid)) for section in description.sections]
        mids = {mid: down.up.sid for mid, down in self._downs.items()}
        answer = Exchange(self._write(self.primary, "passive", lines), number, mids)
        for down in self._downs.values():
            self._start(down)
        for sid in live:
            self._observer.track_live(sid)
        self._ask_for_sections()
        return answer

    def answered(self, text: str, number: int) -> None:
        """We never offer on this path, so there is nothing to take."""
        del text, number

    def _next_waiting(self) -> Wanted | None:
        have = {down.up.sid for down in self._downs.values()} | set(self._cooling.values())
        return next((track for sid, track in self._wanted.items() if sid not in have), None)

    def want(self, wanted: Mapping[str, Wanted]) -> None:
        """See `Connection`."""
        self._wanted = dict(wanted)
        changed = False
        for mid, down in list(self._downs.items()):
            track = wanted.get(down.up.sid)
            if track is None or track.up is not down.up:
                self._stop(self._downs.pop(mid))
                self._cooling[mid] = down.up.sid
                self._free += 1
                changed = True
            else:
                down.paused = track.paused
        self._ask_for_sections(always=changed)

    def _ask_for_sections(self, *, always: bool = False) -> None:
        waiting = len(self._wanted) - len(self._downs)
        if self._asked or not self._begun or not (waiting or always):
            return
        self._asked = True
        self._observer.require_sections(max(0, waiting - self._free))

    def restart(self) -> None:
        """See `Connection`: the client offers with new ICE credentials, and may be asked again for sections."""
        self._asked = False

    def report(self) -> None:
        """See `Connection`."""
        for packet in self.tracks.reports(self._stack.wall(), self._stack.now()):
            self.primary.send_rtcp(packet)
