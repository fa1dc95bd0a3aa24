"""Whether a room's name may be used: ended belongs to the session, not to the name.

The caller knows the latest session of the name, if any; these functions say what somebody who comes to the name gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from roomkeeper.lifecycle.policy import Reuse
from roomkeeper.lifecycle.state import End, State

if TYPE_CHECKING:
    from roomkeeper.lifecycle.state import Session


@dataclass(frozen=True, slots=True)
class Join:
    """The name's session is not over: it is the one meant."""

    session: Session


@dataclass(frozen=True, slots=True)
class Open:
    """A new session may be opened.

    Attributes:
        generation: Its number for this name, from 1.
    """

    generation: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """The session is over and the name may not be used again: answer 410 with the reason, or sweep.

    Attributes:
        session: The ended one.
        end: Why it ended.
    """

    session: Session
    end: End


@dataclass(frozen=True, slots=True)
class Later:
    """A new session may be opened once the old room is gone: a late deletion must not hit its successor."""

    session: Session


Answer: TypeAlias = Join | Open | Refuse | Later


def claim(latest: Session | None, *, carried: Session | None = None, room_sid: str | None = None) -> Answer:
    """Say which session somebody gets who comes to a room's name.

    Args:
        latest: The latest session of the name; None if there never was one.
        carried: The session that the token or the participant's attribute names; None if it names none. Whoever carries
            a session belongs to it, whatever the policy says.
        room_sid: The room they are in already; None before the join.

    Returns:
        The answer; `Refuse` and `Later` hold the session they are about.
    """
    if carried is not None:
        return Join(carried) if carried.end is None else _over(carried, carried.end)
    if latest is None:
        return Open(generation=1)
    if latest.end is None:
        return Join(latest)
    if latest.state is State.ENDING or latest.reuse is Reuse.NEVER or room_sid in latest.sids:
        return _over(latest, latest.end)
    if not latest.settled and room_sid is None:
        return Later(latest)
    return Open(generation=latest.generation + 1)


def _over(session: Session, end: End) -> Join | Refuse:
    """While the goodbye plays, the session may still be joined."""
    return Join(session) if session.state is State.ENDING else Refuse(session, end)
