"""A session in a few lines, for lists and for the stream. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roomkeeper.lifecycle.reasons import REASONS
from roomkeeper.lifecycle.state import stamp

if TYPE_CHECKING:
    from roomkeeper.lifecycle.state import Session


def summary(session: Session) -> dict[str, object]:
    """Make a line of a list of a session; JSON-able."""
    end = session.end
    row = REASONS[end.reason] if end is not None else None
    return {
        "id": session.id,
        "room": session.room,
        "generation": session.generation,
        "agent_name": session.agent_name,
        "state": str(session.state),
        "since": stamp(session.since),
        "until": _stamp(session.until),
        "seq": session.seq,
        "attendance": session.attendance,
        "reason": str(end.reason) if end is not None else None,
        "by": str(row.by) if row is not None else None,
        "outcome": str(row.outcome) if row is not None else None,
        "detail": end.detail if end is not None else None,
        "opened_at": stamp(session.opened_at),
        "live_at": _stamp(session.live_at),
        "ended_at": _stamp(session.ended_at),
        "users": [person.identity for person in session.users],
        "agent": session.agent.identity,
        "idle_since": _stamp(session.idle_since),
        "report": session.report,
        "purged_at": _stamp(session.purged_at),
    }


def _stamp(at: int | None) -> str | None:
    return None if at is None else stamp(at)
