"""What the room API shows against what the sessions believe, at start and every few seconds.

1. A listing becomes the same facts that webhooks would have made, so nothing depends on a webhook arriving.
2. A round costs one `ListRooms`, and `ListParticipants` only of rooms that give reason for it, `LOOKS` at most: rooms
   that changed first, then those whose last look is longest ago. So a round has a bound, however many rooms there are;
   with more rooms it takes longer until each has been looked at. What is news costs one `ListRooms` of that room more:
   people are listed by its name, which may have passed to a successor meanwhile.
3. Rooms that no session owns and nothing makes ours are counted and left alone.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roomkeeper.control.facts import joined, recorders, seen
from roomkeeper.control.metrics import Metrics
from roomkeeper.control.room_api import RoomApiFailed
from roomkeeper.control.surveying import Survey, is_news
from roomkeeper.errors import RoomkeeperError
from roomkeeper.lifecycle.events import ControlStarted, EgressStarted, LookFailed, RoomStarted
from roomkeeper.lifecycle.state import State
from roomkeeper.lifecycle.vocabulary import ParticipantKind

if TYPE_CHECKING:
    from livekit.protocol import models

    from roomkeeper.control.adoption import Adoption
    from roomkeeper.control.carrier import Carrier
    from roomkeeper.control.room_api import RoomApi
    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.events import RoomSeen
    from roomkeeper.lifecycle.state import Session

logger = logging.getLogger(__name__)

EVERY = 1.5
"""Seconds between two rounds: a room that an old token makes again is gone within 3 s, though no webhook tells it."""
SHARE = 0.1
"""Of the time that may go into rounds: where listing takes long, there are fewer of them."""
LOOKS = 24
"""Rooms whose participants are listed in one round, at most."""
AT_ONCE = 8
TOLERATED = 2_000
"""Milliseconds a room may outlive its session's linger before that counts as wasted."""

NOWHERE = seen(None, ())


@dataclass(frozen=True, slots=True)
class Round:
    """What one comparison found.

    Attributes:
        looked: Rooms whose participants were listed.
        ours: Live rooms of sessions.
        strange: Live rooms that are nobody's.
        failed: Rooms whose participants could not be listed.
    """

    looked: int
    ours: int
    strange: int
    failed: int


class Reconciler:
    """Compares sessions with rooms.

    Args:
        store: The sessions.
        adoption: Says which rooms are ours.
        rooms: The LiveKit server.
        carrier: Is woken when there is something to do.
        metrics: Count what was found.
    """

    def __init__(
        self, store: Store, adoption: Adoption, rooms: RoomApi, carrier: Carrier, metrics: Metrics | None = None
    ) -> None:
        self._store = store
        self._adoption = adoption
        self._rooms = rooms
        self._carrier = carrier
        self._metrics = metrics or Metrics()
        self._survey = Survey()
        self._last_round: int | None = None

    async def run(self) -> None:
        """Compare until cancelled; the first round tells every unsettled session that the control plane was away."""
        started = False
        while True:
            began, outcome = time.monotonic(), "failed"
            try:
                if not started:
                    await self._start()
                    started = True
                await self.compare()
                outcome = "done"
            except RoomApiFailed as error:
                logger.warning("rooms could not be listed", extra={"error": error.detail})
            except Exception:  # whatever it was, the next round may do better
                logger.exception("a round failed")
            took = time.monotonic() - began
            self._metrics.rounds.labels(outcome).inc()
            self._metrics.round_seconds.observe(took)
            # Spread, so that replicas which were started together do not list together for ever.
            await asyncio.sleep(max(EVERY, took / SHARE) * random.uniform(0.9, 1.1))  # noqa: S311 - hides nothing

    async def _start(self) -> None:
        for session in await self._store.unsettled():
            try:
                await self._store.tell(session.id, ControlStarted(at=0))
            except RoomkeeperError:  # one session's fault must not keep the others from being compared
                logger.exception("session could not be told of the start", extra={"session": session.id})
        self._carrier.wake()

    async def compare(self) -> Round:
        """Make one round.

        Raises:
            RoomApiFailed: The rooms could not even be listed.
        """
        listed = {room.name: room for room in await self._rooms.rooms()}
        now = await self._store.now()
        sessions = await self._store.unsettled()
        owned = {session.room: listed[session.room] for session in sessions if _owns(session, listed)}
        strangers = [room for name, room in listed.items() if name not in owned]
        for session in sessions:
            if not _owns(session, listed) and is_news(session, NOWHERE):
                await self._tell(session, NOWHERE)
        self._count(sessions, listed, now)
        wanted = self._survey.choose(sessions, owned, strangers, now=now, most=LOOKS)
        gate = asyncio.Semaphore(AT_ONCE)

        async def look(room: models.Room) -> bool | None:
            async with gate:
                try:
                    return await self._look(room, [each for each in sessions if _owns(each, {room.name: room})])
                except Exception:  # likewise
                    logger.exception("a room could not be compared", extra={"room": room.name})
                    return None

        results = await asyncio.gather(*map(look, wanted))
        self._carrier.wake()
        adopted = sum(room.name not in owned and bool(result) for room, result in zip(wanted, results, strict=True))
        self._metrics.looks.inc(len(wanted))
        self._metrics.unsettled.set(len(sessions))
        self._metrics.rooms.labels("ours").set(len(owned) + adopted)
        self._metrics.rooms.labels("strange").set(len(strangers) - adopted)
        return Round(len(wanted), len(owned) + adopted, len(strangers) - adopted, results.count(None))

    async def _look(self, room: models.Room, owners: list[Session]) -> bool | None:
        """Look at a room and tell its session, if it has one.

        Returns:
            True if it is ours, None if it could not be looked at.
        """
        owner = max(owners, key=lambda each: each.generation, default=None)
        try:
            people = await self._rooms.people(room.name)
            found = seen(room.sid, people)
            known = await self._store.get(owner.id) if owner is not None else None
            news = known is None or is_news(known, found)
            if news and not await self._is_still(room):
                return None
        except RoomApiFailed as error:
            for each in owners:
                await self._store.tell(each.id, LookFailed(at=0, error=error.detail))
            return None
        session = known or await self._owner(room, people)
        if session is None:
            return False
        if known is None:  # opening it has told it some of this
            news = is_news(session, found)
        if news:
            await self._tell(session, found)
        for egress in recorders(people):
            if egress not in session.egresses:
                await self._store.tell(session.id, EgressStarted(at=0, egress=egress, told_by="listing"))
        return True

    async def _is_still(self, room: models.Room) -> bool:
        """Say whether a room that was listed is still that one: people are listed by name, and no sid returns."""
        now = await self._rooms.find(room.name)
        return now is not None and now.sid == room.sid

    async def _owner(self, room: models.Room, people: list[models.ParticipantInfo]) -> Session | None:
        """Find, or open, the session of a room that none owns yet: what webhooks would have done, had they come."""
        started = RoomStarted(at=0, sid=room.sid, told_by="listing")
        if (session := await self._adoption.session_of(room.name, started, None, room.metadata)) is not None:
            return session
        for person in people:
            fact = joined(person, room.sid, "listing")
            session = await self._adoption.session_of(room.name, fact, person, room.metadata)
            if session is not None:
                return session
        return None

    async def _tell(self, session: Session, found: RoomSeen) -> None:
        await self._store.tell(session.id, found)
        self._metrics.news.labels("room gone" if found.sid is None else "room").inc()

    def _count(self, sessions: list[Session], listed: dict[str, models.Room], now: int) -> None:
        """Count what rooms and agents of ended sessions cost since the last round."""
        since, self._last_round = self._last_round, now
        for session in sessions:
            room = listed.get(session.room)
            if session.ended_at is None or session.keeps_room or room is None or room.sid not in session.sids:
                continue
            over = session.ended_at + session.policy.linger * 1000 + TOLERATED
            seconds = (now - max(since or now, over)) / 1000
            if seconds > 0:
                agents = sum(person.kind is ParticipantKind.AGENT for person in session.participants)
                self._metrics.wasted_room_seconds.inc(seconds)
                self._metrics.wasted_agent_seconds.inc(seconds * agents)


def _owns(session: Session, listed: dict[str, models.Room]) -> bool:
    """Say whether a listed room is a session's: any of its name while it goes on, only a known one after its end."""
    room = listed.get(session.room)
    return room is not None and (session.state is not State.ENDED or room.sid in session.sids)
