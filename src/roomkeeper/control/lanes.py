"""Who and what was there, from when to when: the swim-lanes of the console. Pure.

1. They are read from the session as each event left it: a leave that was concluded from a listing, or a room that was
   lost with everybody in it, ends here when it ended for the session.
2. The events give what the session does not keep: the raw reasons, a leave whose join was lost, and that a worker fell
   silent whose session had ended.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from roomkeeper.control.words import words
from roomkeeper.lifecycle.actions import Ignored
from roomkeeper.lifecycle.events import (
    AgentAttached,
    AgentDone,
    AgentLost,
    EgressEnded,
    LeaseExpired,
    LinkLost,
    Noted,
    ParticipantAborted,
    ParticipantLeft,
    ParticipantRemoved,
    RoomFinished,
    RoomSeen,
)
from roomkeeper.lifecycle.state import Standing, State, stamp
from roomkeeper.lifecycle.vocabulary import ParticipantKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from roomkeeper.lifecycle.replay import Moment
    from roomkeeper.lifecycle.state import Epoch

_Key: TypeAlias = tuple[str, str]
"""What kind of thing it is, and what tells it from others of its kind."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that was there for a while.

    Attributes:
        lane: What is drawn in one line: `state`, `room`, `recording`, `epoch 1` or somebody's identity.
        kind: A state's name, `room`, `person`, `agent`, `epoch`, `fenced` or `recording`.
        begin: Milliseconds since the Unix epoch.
        end: The same; None while it goes on.
        words: What it is, and with which raw reason it ended.
    """

    lane: str
    kind: str
    begin: int
    end: int | None
    words: str

    def plain(self) -> dict[str, object]:
        """Return it as JSON."""
        end = None if self.end is None else stamp(self.end)
        return {"lane": self.lane, "kind": self.kind, "from": stamp(self.begin), "to": end, "words": self.words}


def lanes(story: Sequence[Moment]) -> tuple[Span, ...]:
    """Draw up a session's lanes.

    Args:
        story: The whole session.

    Returns:
        The spans in the order in which they began; of those that began together the state's is the first.
    """
    drawing = _Drawing({epoch.number: epoch.standing for epoch in story[-1].session.epochs})
    for moment in story:
        drawing.follow(moment)
    return tuple(drawing.spans)


class _Drawing:
    """The lanes so far.

    Args:
        standings: What each epoch's agent became in the end.
    """

    def __init__(self, standings: Mapping[int, Standing]) -> None:
        self.spans: list[Span] = []
        self._standings = standings
        self._running: dict[_Key, int] = {}
        self._over: dict[_Key, int] = {}
        self._silent: set[str] = set()
        self._shape: object = None

    def follow(self, moment: Moment) -> None:
        """Draw what an event changed."""
        self._listen(moment)
        shape = self._shape_of(moment)
        if shape != self._shape:  # Most lines of a long talk change nothing of it.
            self._shape = shape
            self._draw(moment, dict(_there(moment, self._standings, self._silent)))
        if isinstance(moment.event, ParticipantLeft | ParticipantAborted) and not _is_ignored(moment):
            self._learn(moment.event)

    def _listen(self, moment: Moment) -> None:
        """Remember whose worker is silent: of an ended session, or a job that was replaced, nothing else keeps it."""
        match moment.event:
            case LeaseExpired(job=job):
                self._silent.add(job)
            case AgentAttached(job=job) | Noted(job=job):
                self._silent.discard(job)
            case _:
                pass

    def _shape_of(self, moment: Moment) -> object:
        session = moment.session
        epochs = [(each.standing, each.job, each.identity, each.open, each.link_lost_at) for each in session.epochs]
        return session.state, session.room_sid, session.participants, session.egresses, epochs, len(self._silent)

    def _draw(self, moment: Moment, there: Mapping[_Key, Span]) -> None:
        for key in [key for key in self._running if key not in there]:
            place = self._over[key] = self._running.pop(key)
            span = self.spans[place]
            raw = _parting(moment, *key)
            self.spans[place] = replace(span, end=moment.event.at, words=f"{span.words} · {raw}" if raw else span.words)
        for key, span in there.items():
            known = self._running.get(key)
            if known is None:
                self._running[key] = len(self.spans)
                self.spans.append(span)
            elif key[0] == "epoch":  # An agent that was only seen may attach: then its job is known.
                self.spans[known] = replace(self.spans[known], words=span.words)

    def _learn(self, event: ParticipantLeft | ParticipantAborted) -> None:
        """Note a raw reason that comes after its leave was concluded, or without a join."""
        key, at = ("who", event.sid), event.at
        said = f"{event.kind} {event.identity} · {event.raw}"
        if key in self._over:
            place = self._over[key]
            self.spans[place] = replace(self.spans[place], words=said)
        else:
            self._over[key] = len(self.spans)
            self.spans.append(Span(event.identity, _kind(event.kind), at, at, said))


def _there(moment: Moment, standings: Mapping[int, Standing], silent: Collection[str]) -> Iterator[tuple[_Key, Span]]:
    """Name everything that is there, and the span that begins with it."""
    session, at = moment.session, moment.event.at
    state, over = session.state, session.state is State.ENDED
    yield ("state", state), Span("state", state, at, at if over else None, f"{state}: {words(moment.event)}")
    if session.room_sid is not None:
        yield ("room", session.room_sid), Span("room", "room", at, None, session.room_sid)
    for person in session.participants:
        span = Span(person.identity, _kind(person.kind), at, None, f"{person.kind} {person.identity}")
        yield ("who", person.sid), span
    for epoch in session.epochs:
        if epoch.job not in silent and _is_at_work(epoch, over=over):
            fenced = standings[epoch.number] is Standing.FENCED
            who = (epoch.identity, epoch.job and f"job {epoch.job}", "never in charge" if fenced else "")
            said = ", ".join(filter(None, who))
            yield _of(epoch), Span(f"epoch {epoch.number}", "fenced" if fenced else "epoch", at, None, said)
    for egress in session.egresses:
        yield ("recording", egress), Span("recording", "recording", at, None, egress)


def _of(epoch: Epoch) -> _Key:
    return "epoch", str(epoch.number)


def _kind(kind: ParticipantKind) -> str:
    return "agent" if kind is ParticipantKind.AGENT else "person"


def _is_at_work(epoch: Epoch, *, over: bool) -> bool:
    """Say whether an epoch's agent is in charge, is about to be, or its job runs on all the same."""
    if epoch.standing in {Standing.OVER, Standing.FENCED} or over:
        return epoch.open and epoch.link_lost_at is None
    return epoch.identity is not None


def _is_ignored(moment: Moment) -> bool:
    return any(isinstance(action, Ignored) for action in moment.actions)


def _parting(moment: Moment, what: str, name: str) -> str:
    """Say in whose words something ended; empty if there are none."""
    match what, moment.event:
        case "who", ParticipantLeft(sid=sid, raw=raw) | ParticipantAborted(sid=sid, raw=raw) if sid == name:
            return raw
        case "who", ParticipantRemoved():
            return "removed"
        case "who" | "room", RoomSeen():
            return "not there any more"
        case ("room", RoomFinished()) | ("recording", EgressEnded()):
            return "ended"
        case "epoch", AgentLost(job=job, exit=code) if _is_of(moment, job, name):
            return "lost" if code is None else f"lost, exit {code}"
        case "epoch", LeaseExpired(job=job) if _is_of(moment, job, name):
            return "lease expired"
        case "epoch", LinkLost(job=job) if _is_of(moment, job, name):
            return "link lost"
        case "epoch", AgentDone(job=job) if _is_of(moment, job, name):
            return "done"
        case _:
            return ""


def _is_of(moment: Moment, job: str, number: str) -> bool:
    epoch = moment.session.epoch_of(job)
    return epoch is not None and _of(epoch) == ("epoch", number)


__all__ = ["Span", "lanes"]
