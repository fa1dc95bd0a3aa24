"""Which session a job belongs to, and whether it is kept at all.

A job that attached before belongs where it did. Any other belongs where a participant of its room would: to the session
its dispatch names, else to that of the room. A job of a wrapped agent says by attaching that it wants to be kept, so it
may open the session; where agents are configured, only theirs are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from roomkeeper.control.room_api import RoomApiFailed
from roomkeeper.lifecycle.names import Join, Later, Open, Refuse, claim

if TYPE_CHECKING:
    from roomkeeper.control.adoption import Adoption
    from roomkeeper.control.room_api import RoomApi
    from roomkeeper.control.store.links import LinkStore
    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.state import Session
    from roomkeeper.wire.link import Attach

MAX_JOB: Final = 128
"""Characters of a job's id; LiveKit's have 15."""


@dataclass(frozen=True, slots=True)
class NotKept:
    """A job that Roomkeeper leaves alone.

    Attributes:
        why: For people.
    """

    why: str


class Finding:
    """Finds the session of a job, or opens one.

    Args:
        store: The sessions.
        links: The jobs that attached before.
        rooms: The LiveKit server; a room's metadata says whose it is before anything else does.
        adoption: Says which rooms are ours.
    """

    def __init__(self, store: Store, links: LinkStore, rooms: RoomApi, adoption: Adoption) -> None:
        self._store = store
        self._links = links
        self._rooms = rooms
        self._adoption = adoption

    async def session_of(self, attach: Attach) -> Session | NotKept:
        """Return the session of a job that attaches, or why there is none."""
        if not attach.job or len(attach.job) > MAX_JOB:
            return NotKept(f"a job's id has 1 to {MAX_JOB} characters")
        if not attach.room:
            return NotKept("it names no room")
        known = await self._links.known(attach.job)
        if known is not None:
            session = await self._store.get(known.session)
            return session if session.room == attach.room else NotKept(f"{attach.job} belongs to {session.room}")
        found = await self._belongs(attach)
        if found is not None and found.purged_at is not None:
            return NotKept("what was kept of its session was deleted")
        if found is None:
            return NotKept(f"agent {attach.agent_name!r} is not configured, and nothing else makes the room ours")
        if found.agent_name not in {"", attach.agent_name}:
            return NotKept(f"the room is kept for agent {found.agent_name!r}")
        return found

    async def _belongs(self, attach: Attach) -> Session | None:
        named = await self._store.find(attach.session) if attach.session.startswith("S_") else None
        if named is not None and named.purged_at is not None:
            return named
        carried = named if named is not None and named.room == attach.room else None
        latest = await self._latest(attach.room) if carried is None else None
        if latest is not None and attach.room_sid in latest.sids:
            return latest
        match claim(latest, carried=carried, room_sid=attach.room_sid or None):
            case Join(session=session) | Refuse(session=session) | Later(session=session):
                return session
            case Open(generation=generation):
                believed = attach.session if named is None and attach.session.startswith("S_") else ""
                return await self._adoption.open_for_job(
                    attach.room,
                    generation,
                    attach.agent_name,
                    room_sid=attach.room_sid,
                    session=believed,
                    metadata=await self._metadata(attach),
                )

    async def _latest(self, room: str) -> Session | None:
        found = await self._store.find(room)
        return found if found is not None and found.room == room else None

    async def _metadata(self, attach: Attach) -> str:
        """Return the metadata of the job's room; empty if that room is gone."""
        try:
            room = await self._rooms.find(attach.room)
        except RoomApiFailed:
            return ""
        return room.metadata if room is not None and room.sid == attach.room_sid else ""
