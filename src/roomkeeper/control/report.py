"""The report: what a conversation was, built from its journal and nothing else. Pure.

It is built anew for each revision, so a fact that comes late (a spool of a dead machine, a recording's end) is in the
next one. Its shape is versioned and published as JSON Schema (`report_schema`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from roomkeeper.control import conversation
from roomkeeper.control.report_schema import SCHEMA, VERSION
from roomkeeper.lifecycle.events import (
    AgentAttached,
    AgentDone,
    AgentLost,
    EgressEnded,
    EgressStarted,
    LeaseExpired,
    Noted,
    ParticipantAborted,
    ParticipantJoined,
    ParticipantLeft,
    RoomSeen,
)
from roomkeeper.lifecycle.reasons import REASONS
from roomkeeper.lifecycle.replay import moments
from roomkeeper.lifecycle.state import stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from roomkeeper.lifecycle.events import Event, Seen, SessionOpened
    from roomkeeper.lifecycle.state import Session


def build(journal: Sequence[SessionOpened | Event], revision: int) -> dict[str, object]:
    """Build a session's report.

    Args:
        journal: Everything that happened, in order; the session has ended.
        revision: 1 for the first, one more whenever facts came late.

    Returns:
        JSON-able; as `SCHEMA` says.
    """
    gathered = _Gathered()
    session: Session | None = None
    for moment in moments(journal):
        gathered.take(moment.event)
        if moment.before is not None:
            gathered.part(moment.before, moment.session, moment.event.at)
        session = moment.session
    assert session is not None  # noqa: S101 - `moments` refuses an empty journal
    end = session.end
    assert end is not None  # noqa: S101 - for the type checker: only an ended session is reported
    row = REASONS[end.reason]
    talk = conversation.read(_in_order(session, gathered.notes.values()))
    return {
        "v": VERSION,
        "revision": revision,
        "session": session.id,
        "room": session.room,
        "generation": session.generation,
        "room_sids": list(session.sids),
        "agent_name": session.agent_name,
        "reason": str(end.reason),
        "by": str(row.by),
        "outcome": str(row.outcome),
        "message": session.policy.words(end.reason),
        "metadata": session.metadata,
        "detail": end.detail,
        "data": end.data,
        "because": end.because,
        "opened_at": stamp(session.opened_at),
        "live_at": _stamp(session.live_at),
        "ended_at": _stamp(session.ended_at),
        "participants": list(gathered.participants.values()),
        "items": talk.items,
        "transcripts": talk.transcripts,
        "errors": talk.errors,
        "epochs": _epochs(session, gathered),
        "usage": talk.usage,
        "recordings": list(gathered.recordings.values()),
        "gaps": _gaps(session, gathered.notes),
    }


@dataclass(slots=True)
class _Gathered:
    """What the journal says, by what it is about."""

    participants: dict[str, dict[str, Any]] = field(default_factory=dict)
    recordings: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: dict[tuple[str, int], Noted] = field(default_factory=dict)

    def take(self, event: SessionOpened | Event) -> None:
        """Sort one event in."""
        match event:
            case ParticipantJoined():
                self._came(event, event.at)
            case ParticipantLeft() | ParticipantAborted():
                person = self._person(event.sid, event.identity, event.kind)
                person["left_at"] = person.get("left_at") or stamp(event.at)
                person["raw_reason"] = event.raw
                person["sip_status"] = event.sip_status or None
            case RoomSeen():
                for seen in event.people:
                    self._came(seen, event.at)
            case EgressStarted():
                self.recordings[event.egress] = {
                    "egress": event.egress,
                    "started_at": stamp(event.at),
                    "ended_at": None,
                }
            case EgressEnded():
                known = {"egress": event.egress, "started_at": None}
                self.recordings[event.egress] = self.recordings.get(event.egress, known) | {"ended_at": stamp(event.at)}
            case AgentAttached():
                self.jobs.setdefault(event.job, {"attached_at": stamp(event.at)})
            case AgentDone():
                self._over(event.job, event.at, "done", None)
            case AgentLost():
                self._over(event.job, event.at, "lost", event.exit)
            case LeaseExpired():
                self._over(event.job, event.at, "lost", None)
            case Noted():
                # A worker that never heard the acknowledgement ships its lines again.
                self.notes.setdefault((event.job, event.seq), event)
            case _:
                pass

    def part(self, before: Session, after: Session, at: int) -> None:
        """Note who is no longer there, whether somebody told it or their absence did."""
        there = {person.sid for person in after.participants}
        for person in before.participants:
            if person.sid not in there:
                known = self._person(person.sid, person.identity, person.kind)
                known["left_at"] = known["left_at"] or stamp(at)

    def _came(self, who: ParticipantJoined | Seen, at: int) -> None:
        person = self._person(who.sid, who.identity, who.kind)
        person["joined_at"] = person["joined_at"] or stamp(at)
        person["attributes"] |= who.attributes

    def _person(self, sid: str, identity: str, kind: str) -> dict[str, Any]:
        fresh: dict[str, Any] = {
            "identity": identity,
            "kind": str(kind),
            "sid": sid,
            "joined_at": None,
            "left_at": None,
        }
        fresh |= {"raw_reason": None, "sip_status": None, "attributes": {}}
        return self.participants.setdefault(sid, fresh)

    def _over(self, job: str, at: int, end: str, code: int | None) -> None:
        known = self.jobs.setdefault(job, {})
        if known.get("end") != "done":  # what a lease suspected, the worker's own word corrects
            known |= {"over_at": stamp(at), "end": end, "exit": code}


def _epochs(session: Session, gathered: _Gathered) -> list[dict[str, object]]:
    empty = {"attached_at": None, "over_at": None, "end": None, "exit": None}
    return [
        {
            "number": epoch.number,
            "job": epoch.job,
            "identity": epoch.identity,
            **empty,
            **gathered.jobs.get(epoch.job or "", {}),
        }
        for epoch in session.epochs
        if epoch.identity is not None or epoch.job is not None
    ]


def _in_order(session: Session, notes: Iterable[Noted]) -> list[tuple[int, Noted]]:
    """Sort lines of spools by what was said when: epoch by epoch, and as the job wrote them."""
    place = {epoch.job: epoch.number for epoch in session.epochs}
    return sorted(((place.get(note.job, 0), note) for note in notes), key=lambda each: (each[0], each[1].seq))


def _gaps(session: Session, notes: Iterable[tuple[str, int]]) -> list[dict[str, object]]:
    """Find the lines of each job's spool that never arrived; `to` is null where nobody knows how many there were."""
    by_job: dict[str, set[int]] = {}
    for job, seq in notes:
        by_job.setdefault(job, set()).add(seq)
    gaps: list[dict[str, object]] = []
    for job, numbers in by_job.items():
        before = 0
        for number in sorted(numbers):
            if number > before + 1:
                gaps.append({"job": job, "from": before + 1, "to": number - 1})
            before = number
    gaps += [{"job": epoch.job, "from": epoch.seq + 1, "to": None} for epoch in session.epochs if epoch.open]
    return gaps


def _stamp(at: int | None) -> str | None:
    return None if at is None else stamp(at)


__all__ = ["SCHEMA", "VERSION", "build"]
