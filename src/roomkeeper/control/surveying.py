"""Which rooms a round of the reconciler looks at, and whether what it saw is worth a line of a journal. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from roomkeeper.lifecycle.state import State
from roomkeeper.lifecycle.vocabulary import MACHINES, TimerKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from livekit.protocol import models

    from roomkeeper.lifecycle.events import RoomSeen
    from roomkeeper.lifecycle.state import Session

FRESH: Final = 5_000
"""Milliseconds for which a look at a room in which nothing seems to change is good enough."""
STALE: Final = 30_000
"""Milliseconds after which a room that is nobody's, or that should be gone, is looked at again."""


@dataclass(frozen=True, slots=True)
class _Last:
    """How a room stood when it was looked at."""

    at: int
    people: int
    publishers: int


class Survey:
    """Remembers when rooms were looked at. Forgotten with the process: then all are looked at again."""

    def __init__(self) -> None:
        self._last: dict[str, _Last] = {}

    def choose(
        self,
        sessions: Iterable[Session],
        owned: Mapping[str, models.Room],
        strangers: Iterable[models.Room],
        *,
        now: int,
        most: int,
    ) -> list[models.Room]:
        """Choose the rooms to look at now.

        Args:
            sessions: Those that are unsettled.
            owned: Their live rooms, by name.
            strangers: All other live rooms.
            now: Milliseconds.
            most: How many rooms at most.
        """
        ranked: dict[str, tuple[tuple[int, int], models.Room]] = {}
        for session in sessions:
            room = owned.get(session.room)
            if room is not None and (
                rank := self._rank(room, now, urgent=_gives_reason(session, room), session=session)
            ):
                ranked[room.sid] = min(ranked.get(room.sid, (rank, room)), (rank, room), key=lambda each: each[0])
        for room in strangers:
            if rank := self._rank(room, now, urgent=False, session=None):
                ranked[room.sid] = (rank, room)
        chosen = [room for _, room in sorted(ranked.values(), key=lambda each: each[0])[:most]]
        live = {room.sid for room in owned.values()} | {room.sid for room in strangers}
        self._last = {sid: last for sid, last in self._last.items() if sid in live}
        self._last |= {room.sid: _Last(now, room.num_participants, room.num_publishers) for room in chosen}
        return chosen

    def _rank(self, room: models.Room, now: int, *, urgent: bool, session: Session | None) -> tuple[int, int] | None:
        """Say how pressing a look is: smaller goes first; None for not at all."""
        last = self._last.get(room.sid)
        if last is None:
            return (0, 0)
        age = now - last.at
        changed = (last.people, last.publishers) != (room.num_participants, room.num_publishers)
        if urgent or changed:
            return (1, last.at)
        patience = FRESH if session is not None and session.state is not State.ENDED else STALE
        return (2, last.at) if age >= patience else None


def _gives_reason(session: Session, room: models.Room) -> bool:
    """Say whether the list of rooms alone contradicts what a session believes."""
    if session.state is State.ENDED:
        return session.room_sid != room.sid
    waits = session.look is not None or session.room_missed_at is not None
    return waits or session.room_sid != room.sid or counted(session) != room.num_participants


def counted(session: Session) -> int:
    """Return how many participants LiveKit should count in the session's room: all but agents and recorders."""
    return sum(person.kind not in MACHINES for person in session.participants)


def is_news(session: Session, seen: RoomSeen) -> bool:
    """Say whether a listing tells a session anything: one that does not is not worth a line of the journal."""
    if session.state is State.ENDED:
        if seen.sid is None:
            return session.room_sid is not None
        swept = TimerKind.LINGER in session.timers or session.keeps_room
        if not swept:
            return True
    waits = session.look is not None or session.room_missed_at is not None
    known = {person.sid for person in session.participants}
    missed = any(person.missed_at is not None for person in session.participants)
    return waits or missed or seen.sid != session.room_sid or known != {person.sid for person in seen.people}
