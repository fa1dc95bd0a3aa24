"""A dry run: everything is looked at and decided, nothing is done.

1. The room API is asked and never told: what would have been written, deleted, removed, dispatched or stopped is noted,
   once in the log and with a count in the API.
2. No agent is told anything and no report is sent. The sessions are in a database of their own that goes with the
   process, so that one that is really kept is not touched either.
3. What rooms and agents cost that would have been gone is then measured, not guessed: `wasted_room_seconds`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from roomkeeper.control.room_api import NotDone, RoomApi
from roomkeeper.lifecycle.state import stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from livekit.protocol import models

    from roomkeeper.control.dispatching import Wanted
    from roomkeeper.lifecycle.state import Session

logger = logging.getLogger(__name__)

KEPT = 1_000
"""Deeds that are shown."""


@dataclass(slots=True)
class _Deed:
    what: str
    room: str
    about: str
    first_at: int
    times: int = 1


class Rehearsal:
    """What would have been done.

    Args:
        now: Unix milliseconds.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._deeds: dict[tuple[str, str, str], _Deed] = {}

    def would(self, what: str, room: str, about: str = "") -> None:
        """Note a deed; one that is wanted again is counted, not told again."""
        key = (what, room, about)
        if key in self._deeds:
            self._deeds[key].times += 1
            return
        while len(self._deeds) >= KEPT:
            del self._deeds[next(iter(self._deeds))]
        self._deeds[key] = _Deed(what, room, about, self._now())
        logger.info("would", extra={"deed": what, "room": room, "about": about})

    def plain(self) -> list[dict[str, object]]:
        """Return it as JSON, in the order in which it was first wanted."""
        return [
            {
                "what": deed.what,
                "room": deed.room,
                "about": deed.about,
                "first_at": stamp(deed.first_at),
                "times": deed.times,
            }
            for deed in self._deeds.values()
        ]


class DryRooms(RoomApi):
    """A LiveKit server that is looked at and not touched."""

    def __init__(self, url: str, key: str, secret: str, rehearsal: Rehearsal) -> None:
        super().__init__(url, key, secret)
        self._rehearsal = rehearsal

    async def write_state(self, room: str, sid: str, state: Mapping[str, object]) -> bool:
        """Note it."""
        self._rehearsal.would("tell the room", room, f"{state.get('state')} {state.get('reason') or ''}".strip())
        return True

    async def delete(self, room: str, *, sid: str | None, session: str) -> models.Room | None:
        """Note it.

        Raises:
            NotDone: The room is still there.
        """
        self._rehearsal.would("delete the room", room, sid or session)
        raise NotDone

    async def remove(self, room: str, identity: str) -> None:
        """Note it.

        Raises:
            NotDone: The participant is still there.
        """
        self._rehearsal.would("remove a participant", room, identity)
        raise NotDone

    async def dispatch(self, room: str, wanted: Wanted, *, metadata: str | None = None) -> str:
        """Note it.

        Raises:
            NotDone: Nobody is sent.
        """
        self._rehearsal.would("send an agent", room, f"{wanted.agent_name}, epoch {wanted.epoch}")
        raise NotDone

    async def stop_egress(self, egress: str) -> None:
        """Note it."""
        self._rehearsal.would("stop a recording", "", egress)


class DryAgents:
    """Agents that are told nothing."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._rehearsal = rehearsal

    async def tell(self, session: Session, action: Any) -> None:  # noqa: ANN401 - any word of the link
        """Note it."""
        self._rehearsal.would(f"tell the agent {type(action).__name__}", session.room, action_job(action))


def action_job(action: object) -> str:
    """Return the job that a word is for, if it names one."""
    return str(getattr(action, "job", ""))
