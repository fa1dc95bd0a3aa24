"""Lines of a job's spool as events. Pure.

Every line becomes a `Noted`, once, by its number. A few also move the session; those are told right after their line,
in the same transaction, so that neither is there without the other. A line that says something else than it should is
a line all the same, and moves nothing.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from roomkeeper.lifecycle.events import (
    EndAsked,
    GoodbyeOver,
    Noted,
    ParticipantJoined,
    ParticipantLeft,
    UserAway,
    UserBack,
)
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.vocabulary import ParticipantKind
from roomkeeper.wire.link import MAX_NAME, is_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roomkeeper.lifecycle.events import Event
    from roomkeeper.lifecycle.state import Session
    from roomkeeper.wire.link import Line

MAX_DETAIL: Final = 1000
"""Characters of an end's detail that everybody in the room is shown; the line keeps all of it."""
MOST_CHECKS: Final = 1000
NO_REASON: Final = "UNKNOWN_REASON"


def last_line(session: Session, job: str) -> int:
    """Return the number of the last line of a job's spool that is stored; 0 if there is none."""
    epoch = session.epoch_of(job)
    return epoch.seq if epoch is not None else 0


def leaves_gap(session: Session, job: str, lines: Sequence[Line]) -> bool:
    """Say whether lines are missing between what is stored and what came."""
    return bool(lines) and lines[0].seq > last_line(session, job) + 1


def in_order(lines: Sequence[Line]) -> bool:
    """Say whether lines are numbered from 1 on, upwards."""
    numbers = [0, *(line.seq for line in lines)]
    return all(before < after for before, after in pairwise(numbers))


def events_of(session: Session, job: str, lines: Sequence[Line], room_sid: str) -> list[Event]:
    """Say what new lines of a spool tell a session.

    Args:
        session: As it is before them.
        job: Whose spool it is.
        lines: In order; those that are stored already are passed over.
        room_sid: The room the job is in.
    """
    known = last_line(session, job)
    events: list[Event] = []
    for line in lines:
        if line.seq <= known:
            continue
        events.append(Noted(at=0, job=job, seq=line.seq, what=line.type, data=line.data, said_at=line.at))
        moved = _moved(line, job, room_sid if session.agent.job == job else None)
        if moved is not None:
            events.append(moved)
    return events


def unknown_reasons(lines: Sequence[Line]) -> list[str]:
    """Return what lines ask the session to end with that is no reason."""
    ends = [line.data for line in lines if line.type == "end"]
    return [str(data.get("reason"))[:MAX_NAME] for data in ends if reason_of(data.get("reason")) is None]


def end_asked(job: str, reason: Reason, detail: object, data: object) -> EndAsked:
    """Make the wish of a job to end its session."""
    words = detail[:MAX_DETAIL] if isinstance(detail, str) else None
    return EndAsked(at=0, reason=reason, by=By.AGENT, job=job, detail=words, data=data)


def reason_of(name: object) -> Reason | None:
    """Return a reason by its name; None if there is none."""
    return Reason(name) if isinstance(name, str) and name in tuple(Reason) else None


def _moved(line: Line, job: str, room_sid: str | None) -> Event | None:
    """Return what a line does beyond being noted; what happened in the room is believed of the job in charge only."""
    data = line.data
    match line.type:
        case "end" if (reason := reason_of(data.get("reason"))) is not None:
            return end_asked(job, reason, data.get("detail"), data.get("data"))
        case "goodbye_over":
            return GoodbyeOver(at=0, job=job)
        case "away" if type(check := data.get("check")) is int and 0 < check <= MOST_CHECKS:
            return UserAway(at=0, job=job, check=check)
        case "back":
            return UserBack(at=0, job=job)
        case "room" if room_sid is not None:
            return _room_fact(data, job, room_sid)
        case _:
            return None


def _room_fact(data: Mapping[str, Any], job: str, room_sid: str) -> ParticipantJoined | ParticipantLeft | None:
    """Return what the job's room told of somebody else's coming or going.

    A client that connects to its room anew says of everybody that they left, without a reason: that is about itself.
    """
    sid, identity, told_by = data.get("sid"), data.get("identity"), f"job {job}"
    kind, hidden, raw = _kind(data.get("kind")), data.get("hidden") is True, data.get("reason")
    if not (is_name(sid) and is_name(identity)):
        return None
    match data.get("event"):
        case "participant_connected":
            return ParticipantJoined(
                at=0, sid=sid, identity=identity, kind=kind, room_sid=room_sid, hidden=hidden, told_by=told_by
            )
        case "participant_disconnected" if is_name(raw) and raw != NO_REASON:
            return ParticipantLeft(
                at=0, sid=sid, identity=identity, kind=kind, room_sid=room_sid, raw=raw, hidden=hidden, told_by=told_by
            )
        case _:
            return None


def _kind(name: object) -> ParticipantKind:
    known = {str(kind): kind for kind in ParticipantKind}
    return known.get(name.lower(), ParticipantKind.STANDARD) if isinstance(name, str) else ParticipantKind.STANDARD
