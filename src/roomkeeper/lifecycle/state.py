"""What a session is: six states, and everything the next decision depends on.

1. A session is a value. Only `machine.begin` and `machine.transition` make new ones.
2. What can be computed is not stored: who is a user, whether the agent is there, what everybody sees.
3. The conversation is not in here. It is in the journal; the session only counts it.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the codec reads the annotations
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import assert_never

from roomkeeper.lifecycle.policy import EndsForAll, Kind, Policy, Reuse
from roomkeeper.lifecycle.reasons import REASONS, Reason
from roomkeeper.lifecycle.vocabulary import Dispatcher, Origin, ParticipantKind, TimerKind


class State(StrEnum):
    """The states of a session."""

    WAITING = "waiting"
    LIVE = "live"
    HOLDING = "holding"
    RECOVERING = "recovering"
    ENDING = "ending"
    ENDED = "ended"

    @property
    def meaning(self) -> str:
        """In words, for documentation."""
        return _MEANINGS[self]


_MEANINGS = {
    State.WAITING: "the user, the agent or both have not been there yet",
    State.LIVE: "a user who counts and the agent are both there",
    State.HOLDING: "every user who counts is gone; it ends at `until` unless one returns",
    State.RECOVERING: "the agent is lost without an end; a replacement is on its way",
    State.ENDING: "an end is decided and the goodbye is playing",
    State.ENDED: "final, with one reason",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """Somebody in the room, by connection: two of one identity are two participants for a moment.

    Attributes:
        counts: True for a user who keeps the session alive.
        foreign: True for an agent that is not the one in charge unless it attaches: of another name, hidden, an avatar.
        missed_at: When a listing did not have them for the first time; None if the last one did.
    """

    sid: str
    identity: str
    kind: ParticipantKind
    counts: bool
    foreign: bool = False
    missed_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A user who counted and is gone.

    Attributes:
        sid: The connection that ended.
        until: How long we wait for this one.
        cause: The reason the session ends with if nobody returns.
        told: False if only the absence itself was seen; a word that comes later replaces it.
        words: What happened, for `explain`.
    """

    sid: str
    identity: str
    kind: Kind
    left_at: int
    until: int
    cause: Reason
    told: bool
    words: str


class Standing(StrEnum):
    """What an epoch's agent is to the session."""

    EXPECTED = "expected"
    """Nobody yet; the next agent to come fills it."""
    IN_CHARGE = "in_charge"
    MUTED = "muted"
    """The successor of a hand-over, waiting for the pause."""
    OVER = "over"
    """It was in charge once."""
    FENCED = "fenced"
    """It never was; its facts are kept all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One agent's time in charge, or the place kept for the next. Numbers only grow; each belongs to one job.

    Attributes:
        job: None for an agent that does not know Roomkeeper, and while nobody has come.
        identity: In the room; None while nobody has come.
        seq: Last line of the job's spool that arrived.
        shipped: True once all the job wrote has arrived.
        link_lost_at: When its link broke; None while the link is up.
    """

    number: int
    standing: Standing = Standing.EXPECTED
    job: str | None = None
    identity: str | None = None
    seq: int = 0
    shipped: bool = False
    link_lost_at: int | None = None

    @property
    def open(self) -> bool:
        """True while the job may still have something to say."""
        return self.job is not None and not self.shipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A decision that hangs on the room: the timer that asked, and since when the room confirms it."""

    why: TimerKind
    absent_since: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Why the session ends: decided once.

    Attributes:
        at: When it was decided.
        because: The decisive fact and the setting it met, in one sentence for `explain`.
        detail: The application's sentence.
        data: The application's JSON.
    """

    reason: Reason
    at: int
    because: str
    detail: str | None = None
    data: object = None


@dataclass(frozen=True, kw_only=True)  # without slots: it is copied all the time, see `values`
class Session:
    """One conversation in one room. Times are milliseconds since the Unix epoch, by the clock of the database.

    Attributes:
        since: When it came into its state.
        until: When a hold runs out; None in every other state.
        seq: Version of what everybody sees; only grows.
        attendance: Version of who is there, users and agent; only grows.
        idle_since: Since when an agent has been kept for no user; None while there is a user, or no agent.
        host: Identity that may end it for all; empty until the first user comes.
        live_at: The first moment it was live; the time limit counts from here.
        end: The decision; None before it.
        inferred: An end that waits for the agent's own word; None if there is none.
        ended_at: When it ended.
        sids: Every room it lived in, in order.
        room_sid: The room it lives in now; None if there is none, or none was told.
        room_missed_at: When a listing did not have the room for the first time.
        room_is_new: True until an agent came to this room: its own configuration may be dispatching one.
        participants: Everybody in the room, by connection.
        gone: The last connections that ended; a late word about them is old news.
        absent: Users who are gone and may return.
        epochs: Every agent that was or will be in charge; the number is the place, from 1.
        current: Number of the epoch in charge, or to be filled.
        successor: Number of the epoch that takes over in a hand-over.
        losses: When agents were lost, within the recovery window.
        clear_from: Until this time an inferred end waits for spools (after a start of the control plane).
        check_ins: Check-ins the silent user has not answered, for the next agent to go on from.
        timers: The alarms that are set.
        egresses: Recordings and streams that are running.
        metadata: The application's own, for every dispatch; None: the dispatches of the room have it.
        keeps_room: True if people go on in the room after the end (a transfer).
        purged_at: When its personal data was deleted; nothing happens to it from then on.
        report: Revision of the last report; 0 before the first.
        unreported: True if there are facts that no report has.
    """

    id: str
    room: str
    generation: int
    agent_name: str
    origin: Origin
    dispatcher: Dispatcher
    policy: Policy
    opened_at: int
    since: int
    state: State = State.WAITING
    until: int | None = None
    seq: int = 1
    attendance: int = 0
    idle_since: int | None = None
    host: str = ""
    live_at: int | None = None
    end: End | None = None
    inferred: End | None = None
    ended_at: int | None = None
    sids: tuple[str, ...] = ()
    room_sid: str | None = None
    room_missed_at: int | None = None
    room_is_new: bool = True
    participants: tuple[Participant, ...] = ()
    gone: tuple[str, ...] = ()
    absent: tuple[Absent, ...] = ()
    epochs: tuple[Epoch, ...] = (Epoch(number=1),)
    current: int = 1
    successor: int | None = None
    losses: tuple[int, ...] = ()
    clear_from: int = 0
    check_ins: int = 0
    look: Look | None = None
    timers: Mapping[TimerKind, int] = field(default_factory=dict)
    egresses: tuple[str, ...] = ()
    metadata: str | None = None
    keeps_room: bool = False
    purged_at: int | None = None
    report: int = 0
    unreported: bool = False

    @property
    def users(self) -> tuple[Participant, ...]:
        """The people in the room who keep the session alive."""
        return tuple(person for person in self.participants if person.counts)

    @property
    def agent(self) -> Epoch:
        """The epoch in charge, or the place kept for the next agent."""
        return self.epochs[self.current - 1]

    @property
    def next_agent(self) -> Epoch | None:
        """The epoch that takes over in a hand-over; None while there is none."""
        return None if self.successor is None else self.epochs[self.successor - 1]

    @property
    def agent_is_here(self) -> bool:
        """True if the agent in charge is in the room, or about to be again."""
        return self.is_present(self.agent.identity) or TimerKind.AGENT_BACK in self.timers

    @property
    def had_agent(self) -> bool:
        """True if an agent was ever in charge."""
        return any(epoch.standing in {Standing.IN_CHARGE, Standing.OVER} for epoch in self.epochs)

    @property
    def settled(self) -> bool:
        """True if the session ended and its room is gone: the room's name is free."""
        return self.state is State.ENDED and self.room_sid is None

    def is_present(self, identity: str | None) -> bool:
        """Say whether this identity is in the room."""
        return any(person.identity == identity for person in self.participants)

    def epoch_of(self, job: str) -> Epoch | None:
        """Find a job's epoch; None for a job that never attached."""
        return next((epoch for epoch in self.epochs if epoch.job == job), None)

    def may_end_for_all(self, identity: str) -> bool:
        """Say whether the policy lets this user end the session for everybody."""
        match self.policy.ends_for_all:
            case EndsForAll.ANYONE:
                return True
            case EndsForAll.HOST:
                return identity == self.host
            case EndsForAll.NOBODY:
                return False
            case _:
                assert_never(self.policy.ends_for_all)

    @property
    def reuse(self) -> Reuse:
        """Whether another session may follow in a room of this name: `never` or `after_end`."""
        if self.policy.reuse is not Reuse.BY_ORIGIN:
            return self.policy.reuse
        return Reuse.AFTER_END if self.origin in {Origin.SIP, Origin.ADOPTED} else Reuse.NEVER


def stamp(at: int) -> str:
    """Write a time as everybody outside reads it: ISO 8601, UTC, milliseconds."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def room_state(session: Session, now: int, *, language: str = "en") -> dict[str, object]:
    """Make the object that everybody in the room sees: metadata key `roomkeeper`, data topic, `GET …/state`.

    Args:
        session: The session as it is.
        now: The database's clock when it is written, milliseconds; readers correct their own clocks with it.
        language: Of the message.

    Returns:
        JSON-able; keys as in the published schema, version 1.
    """
    end = session.end
    # A hold ends at its `until`; a talk at its time limit, if it has one.
    until = session.timers.get(TimerKind.LIMIT) if session.state is State.LIVE else session.until
    return {
        "v": 1,
        "session": session.id,
        "seq": session.seq,
        "state": str(session.state),
        "since": stamp(session.since),
        "now": stamp(now),
        "until": None if until is None else stamp(until),
        "reason": None if end is None else str(end.reason),
        "by": None if end is None else str(REASONS[end.reason].by),
        "message": None if end is None else session.policy.words(end.reason, language),
        "detail": None if end is None else end.detail,
    }
