"""Why a session went as it did: its timeline, the event that decided it, what that rests on, what was ignored. Pure.

Everything is read from the journal by replaying it, so an explanation cannot differ from what really decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from roomkeeper.control.findings import clock, find
from roomkeeper.control.lanes import lanes
from roomkeeper.control.words import words
from roomkeeper.lifecycle.actions import (
    CreateDispatch,
    DeleteRoom,
    FenceJob,
    Ignored,
    RemoveParticipant,
    SendReport,
    StopEgress,
)
from roomkeeper.lifecycle.events import (
    EndAsked,
    EvidenceGiven,
    LookFailed,
    Noted,
    TimerFired,
)
from roomkeeper.lifecycle.reasons import REASONS
from roomkeeper.lifecycle.replay import moments
from roomkeeper.lifecycle.state import State, stamp
from roomkeeper.lifecycle.vocabulary import TimerKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roomkeeper.control.lanes import Span
    from roomkeeper.lifecycle.actions import Action
    from roomkeeper.lifecycle.events import Event, SessionOpened
    from roomkeeper.lifecycle.replay import Moment
    from roomkeeper.lifecycle.state import Session


@dataclass(frozen=True, slots=True)
class Line:
    """One event, as people read it.

    Attributes:
        at: Milliseconds since the Unix epoch.
        after: Milliseconds since the session opened.
        event: The event's name.
        words: What happened.
        told_by: Who told it, such as a webhook and its id; empty if that was not kept.
        led_to: The state it led to, if that is a new one.
        did: What Roomkeeper did about it.
        ignored: Why it changed nothing; None if it counted.
    """

    at: int
    after: int
    event: str
    words: str
    told_by: str
    led_to: State | None
    did: tuple[str, ...]
    ignored: str | None

    def plain(self) -> dict[str, object]:
        """Return it as JSON."""
        return {
            "at": stamp(self.at),
            "after_ms": self.after,
            "event": self.event,
            "words": self.words,
            "told_by": self.told_by or None,
            "led_to": None if self.led_to is None else str(self.led_to),
            "did": list(self.did),
            "ignored": self.ignored,
        }

    def text(self) -> str:
        """Return it as a line of a terminal."""
        arrow = f"  → {self.led_to}" if self.led_to is not None else ""
        ignored = f"  (ignored: {self.ignored})" if self.ignored is not None else ""
        did = "".join(f"\n{'':14}{deed}" for deed in self.did)
        return f"{clock(self.after):>12}  {self.words}{arrow}{ignored}{did}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happened to a session, and why it ended.

    Attributes:
        session: As its journal tells.
        timeline: Every event; lines of a spool that only carry the conversation are left out.
        decisive: What decided the end; None while none is decided.
        evidence: What the decision rests on: everything since the conversation was interrupted.
        ignored: What changed nothing, with the reason.
        findings: What cost time or money after the end, with the culprit.
        lanes: Who and what was there, from when to when.
    """

    session: Session
    timeline: tuple[Line, ...]
    decisive: Line | None
    evidence: tuple[Line, ...]
    ignored: tuple[Line, ...]
    findings: tuple[str, ...]
    lanes: tuple[Span, ...]

    @property
    def summary(self) -> str:
        """The state, or the end with its reason, in one sentence."""
        session = self.session
        end = session.end
        if end is None:
            return f"{session.id} in room {session.room} is {session.state} since {stamp(session.since)}."
        row = REASONS[end.reason]
        verb = f"ended after {clock((session.ended_at or end.at) - session.opened_at)}"
        if session.state is State.ENDING:
            verb = "is ending"
        detail = f" “{end.detail}”" if end.detail else ""
        return f"{session.id} in room {session.room} {verb}: {end.reason} (by {row.by}, {row.outcome}).{detail}"

    @property
    def because(self) -> str | None:
        """The decisive fact and the setting it met; None while no end is decided."""
        return self.session.end.because if self.session.end is not None else None

    def plain(self) -> dict[str, object]:
        """Return it as JSON."""
        end = self.session.end
        return {
            "v": 1,
            "session": self.session.id,
            "room": self.session.room,
            "state": str(self.session.state),
            "reason": None if end is None else str(end.reason),
            "summary": self.summary,
            "because": self.because,
            "decisive": None if self.decisive is None else self.decisive.plain(),
            "evidence": [line.plain() for line in self.evidence],
            "ignored": [line.plain() for line in self.ignored],
            "findings": list(self.findings),
            "lanes": [span.plain() for span in self.lanes],
            "timeline": [line.plain() for line in self.timeline],
            "text": self.text(),
        }

    def text(self) -> str:
        """Return it for a terminal."""
        parts = [self.summary]
        if self.because is not None:
            parts.append(f"Because: {self.because}.")
        if self.decisive is not None:
            parts.append(f"Decisive:\n{self.decisive.text()}")
        others = [line for line in self.evidence if line != self.decisive]
        parts += [
            f"{title}:\n{body}" for title, body in (("Evidence", _lines(others)), ("Timeline", self._story())) if body
        ]
        if self.findings:
            parts.append("Findings:\n" + "\n".join(f"  - {finding}" for finding in self.findings))
        if self.ignored:
            parts.append(f"Ignored:\n{_lines(self.ignored)}")
        return "\n\n".join(parts)

    def _story(self) -> str:
        return _lines([line for line in self.timeline if line.ignored is None])


def explain(journal: Sequence[SessionOpened | Event]) -> Explanation:
    """Explain a session from its journal.

    Raises:
        IllegalCall: It is empty, or no journal.
    """
    story = list(moments(journal))
    opened_at = journal[0].at
    told = [(moment, _line(moment, opened_at)) for moment in story]
    decisive = next((place for place, moment in enumerate(story) if _decides(moment)), None)
    begins = 0 if decisive is None else _interrupted(story, decisive)
    evidence = [
        line
        for place, (moment, line) in enumerate(told)
        if decisive is not None and _is_evidence(moment, line) and (begins <= place <= decisive or _is_word(moment))
    ]
    return Explanation(
        session=story[-1].session,
        timeline=tuple(line for moment, line in told if _is_shown(moment, line)),
        decisive=None if decisive is None else told[decisive][1],
        evidence=tuple(evidence),
        ignored=tuple(line for _, line in told if line.ignored is not None),
        findings=tuple(find(story)),
        lanes=lanes(story),
    )


def _is_shown(moment: Moment, line: Line) -> bool:
    """Leave out the lines of spools, but for what went wrong and how the agent's own session closed."""
    event = moment.event
    return not isinstance(event, Noted) or line.led_to is not None or event.what in {"error", "close"}


def _lines(lines: Sequence[Line]) -> str:
    return "\n".join(line.text() for line in lines)


def _line(moment: Moment, opened_at: int) -> Line:
    event = moment.event
    before = moment.before.state if moment.before is not None else None
    return Line(
        at=event.at,
        after=event.at - opened_at,
        event=type(event).__name__,
        words=words(event),
        told_by=getattr(event, "told_by", ""),
        led_to=moment.session.state if moment.session.state is not before else None,
        did=tuple(said for action in moment.actions if (said := _deed(action))),
        ignored=next((action.why for action in moment.actions if isinstance(action, Ignored)), None),
    )


def _deed(action: Action) -> str | None:
    """Say what was done, where it can be seen from outside; alarms and notices go without saying."""
    match action:
        case DeleteRoom():
            return f"deletes room {action.sid or action.room}"
        case RemoveParticipant():
            return f"removes {action.identity}: {action.why}"
        case CreateDispatch():
            return f"sends an agent, epoch {action.epoch}"
        case StopEgress():
            return f"stops recording {action.egress}"
        case SendReport():
            return f"sends the report, revision {action.revision}"
        case FenceJob():
            return f"fences job {action.job}: {action.why}"
        case _:
            return None


# What decided.


def _decides(moment: Moment) -> bool:
    return moment.before is not None and moment.before.end is None and moment.session.end is not None


def _interrupted(story: Sequence[Moment], decisive: int) -> int:
    """Find where that began what the decision rests on."""
    end = story[decisive].session.end
    assert end is not None  # noqa: S101 - for the type checker: it is the decisive moment
    for place in range(decisive, -1, -1):
        before = story[place].before
        if before is None:
            return place
        inferred = before.inferred is not None and before.inferred.because == end.because
        if before.state is State.LIVE and not inferred:
            return place
    return decisive


def _is_evidence(moment: Moment, line: Line) -> bool:
    alarm = moment.event
    silent = isinstance(alarm, TimerFired) and alarm.kind in {TimerKind.LOOK, TimerKind.DISPATCH}
    return not isinstance(moment.event, Noted) and not silent and (line.ignored is None or _is_word(moment))


def _is_word(moment: Moment) -> bool:
    """Say whether somebody's own word is worth hearing although it decided nothing."""
    return isinstance(moment.event, EvidenceGiven | EndAsked | LookFailed)


__all__ = ["Explanation", "Line", "clock", "explain"]
