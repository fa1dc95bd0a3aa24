"""The session's state as everybody in the room sees it, written by the agent while nobody else does.

The object is the one of Roomkeeper's contract, section 3. It belongs in the room's metadata, where the control plane
writes it; an agent without a control plane puts it into its own participant attribute, marked as provisional.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from livekit import rtc

ATTRIBUTE = "roomkeeper"
"""The agent's attribute that holds the object."""
SESSION_ATTRIBUTE = "roomkeeper.session"
"""The participant attribute, from Roomkeeper's tokens, that names the session."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the interview is over.

    Attributes:
        reason: A reason of the contract, section 2.
        by: Who ended it.
        message: For the person in front of the page.
        detail: What the interviewer has to say about it.
    """

    reason: str
    by: Literal["agent", "user", "system"]
    message: str
    detail: str | None = None


def completed(detail: str) -> Ending:
    """The interviewer said that the conversation is done."""
    return Ending("completed", "agent", "The interview is complete. Thank you!", detail)


def away() -> Ending:
    """The candidate stayed silent through every check-in."""
    return Ending("user_away", "user", "The interview ended because nobody answered any more.")


def failed(detail: str) -> Ending:
    """A model failed for good."""
    return Ending("model_failed", "system", "The interview ended because of a technical problem.", detail)


class StateAttribute:
    """Publishes the state in the agent's own attribute.

    Args:
        room: Where the agent is; connected before the first `publish`.
    """

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._session: str | None = None
        self._seq = 0

    async def publish(self, state: Literal["live", "ending", "ended"], ending: Ending | None = None) -> None:
        """Write a new state.

        Args:
            state: The new state.
            ending: Why, from `ending` on.
        """
        self._seq += 1
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        written = {
            "v": 1,
            "session": await self._session_id(),
            "seq": self._seq,
            "state": state,
            "since": now,
            "now": now,
            "until": None,
            "reason": ending.reason if ending else None,
            "by": ending.by if ending else None,
            "message": ending.message if ending else None,
            "detail": ending.detail if ending else None,
            "provisional": True,
        }
        await self._room.local_participant.set_attributes({ATTRIBUTE: json.dumps(written)})

    async def _session_id(self) -> str:
        """The id from a token of Roomkeeper, else one made of the room's, so that a later agent makes the same."""
        if self._session is None:
            named = (p.attributes.get(SESSION_ATTRIBUTE) for p in self._room.remote_participants.values())
            self._session = next(filter(None, named), None) or (await self._room.sid).replace("RM_", "S_", 1)
        return self._session
