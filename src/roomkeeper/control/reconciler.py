"""What the room API shows against what the sessions believe, at start and every few seconds.

A listing becomes the same events that webhooks would have made, so nothing depends on a webhook arriving. Rooms that no
session owns are counted and left alone.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from roomkeeper.control.room_api import RoomApiFailed
from roomkeeper.lifecycle.events import ControlStarted, LookFailed, ParticipantJoined
from roomkeeper.lifecycle.state import State

if TYPE_CHECKING:
    from roomkeeper.control.adoption import Adoption
    from roomkeeper.control.carrier import Carrier
    from roomkeeper.control.room_api import RoomApi
    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.events import RoomSeen
    from roomkeeper.lifecycle.state import Session

logger = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds between two rounds; two of them prove an absence."""
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Round:
    """What one comparison found.

    Attributes:
        looked: Sessions whose rooms were listed.
        strange: Rooms that no session owns.
        failed: Sessions whose rooms could not be listed.
    """

    looked: int
    strange: int
    failed: int


class Reconciler:
    """Compares sessions with rooms.

    Args:
        store: The sessions.
        adoption: Says which rooms are ours.
        rooms: The LiveKit server.
        carrier: Is woken when there is something to do.
    """

    def __init__(self, store: Store, adoption: Adoption, rooms: RoomApi, carrier: Carrier) -> None:
        self._store = store
        self._adoption = adoption
        self._rooms = rooms
        self._carrier = carrier

    async def run(self) -> None:
        """Compare until cancelled; the first round tells every open session that the control plane was away."""
        started = False
        while True:
            try:
                if not started:
                    for session in await self._store.open_sessions():
                        await self._store.tell(session.id, ControlStarted(at=0))
                    started = True
                await self.compare()
            except RoomApiFailed as error:
                logger.warning("rooms could not be listed", extra={"error": error.detail})
            except SQLAlchemyError:
                logger.exception("the database failed")
            await asyncio.sleep(EVERY)

    async def compare(self) -> Round:
        """Make one round.

        Raises:
            RoomApiFailed: The rooms could not even be listed.
        """
        listed = {room.name: room for room in await self._rooms.rooms()}
        open_ones = await self._store.open_sessions()
        zombies = [session for room in listed.values() if (session := await self._ended_owner(room.name)) is not None]
        gate = asyncio.Semaphore(AT_ONCE)

        async def look(session: Session) -> bool:
            async with gate:
                try:
                    seen = await self._rooms.look(session.room)
                except RoomApiFailed as error:
                    await self._store.tell(session.id, LookFailed(at=0, error=error.detail))
                    return False
                if is_news(session, seen):
                    await self._store.tell(session.id, seen)
                return True

        results = await asyncio.gather(*map(look, [*open_ones, *zombies]))
        self._carrier.wake()
        strange = listed.keys() - {session.room for session in [*open_ones, *zombies]}
        adopted = [room for room in strange if await self._adopt(room)]
        return Round(looked=len(results), strange=len(strange) - len(adopted), failed=results.count(False))

    async def _adopt(self, room: str) -> bool:
        """Open a session for a room that is ours although no webhook said so."""
        seen = await self._rooms.look(room)
        for person in seen.people:
            joined = ParticipantJoined(
                at=0,
                sid=person.sid,
                identity=person.identity,
                kind=person.kind,
                room_sid=seen.sid or "",
                agent_name=person.agent_name,
                told_by="listing",
            )
            if await self._adoption.session_of(room, joined) is not None:
                return True
        return False

    async def _ended_owner(self, room: str) -> Session | None:
        """Return the ended session whose room is live all the same."""
        session = await self._store.find(room)
        if session is None or session.room != room or session.state is not State.ENDED or session.keeps_room:
            return None
        return session


def is_news(session: Session, seen: RoomSeen) -> bool:
    """Say whether a listing tells a session anything: one that does not is not worth a line of the journal."""
    waits = session.look is not None or session.room_missed_at is not None
    known = {person.sid for person in session.participants}
    missed = any(person.missed_at is not None for person in session.participants)
    return waits or missed or seen.sid != session.room_sid or known != {person.sid for person in seen.people}
