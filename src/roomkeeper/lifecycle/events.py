"""Everything that can happen to a session, in the past tense.

1. An event is a fact with its time. `at` is milliseconds since the Unix epoch by the clock of the database, the only
   clock that transitions go by; what other clocks said (`said_at`) is evidence.
2. The same fact may be told by a webhook, by an agent's link and by a listing of the room, late, twice or never: all
   become the same event, and the machine ignores what it knows. `told_by` keeps who told it.
3. The first event of a journal is `SessionOpened`, and only the first.
4. Events are stored for ever. A field is never renamed or removed; a new one has a default.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the codec reads the annotations
from dataclasses import dataclass, field
from typing import TypeAlias

from roomkeeper.lifecycle.policy import Policy
from roomkeeper.lifecycle.reasons import By, Reason  # noqa: TC001 - the codec reads the annotations
from roomkeeper.lifecycle.vocabulary import Dispatcher, Origin, ParticipantKind, TimerKind


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened:
    """A conversation has a room, a policy and a name: the first event of every journal.

    Attributes:
        session: `S_…`.
        room: The room's name.
        generation: 1 for the first session in a room of this name.
        agent_name: The agent in charge; empty for LiveKit's automatic dispatch.
        host: Identity that may end the session for all; empty: the first user.
        metadata: The application's own words for the agent, passed on unchanged in every dispatch; None: not known, the
            dispatches of the room have them.
    """

    at: int
    session: str
    room: str
    generation: int = 1
    agent_name: str = ""
    origin: Origin = Origin.TOKEN
    dispatcher: Dispatcher = Dispatcher.ROOM
    host: str = ""
    policy: Policy = field(default_factory=Policy)
    metadata: str | None = None


# What happens in the room.


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomStarted:
    """LiveKit created the room."""

    at: int
    sid: str
    told_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomFinished:
    """The room is gone: a webhook says so, or our deletion was confirmed."""

    at: int
    sid: str
    told_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantJoined:
    """Somebody is in the room.

    Attributes:
        room_sid: The room's; empty if the source does not say.
        agent_name: `lk.agent_name` of an agent.
        on_behalf: `lk.publish_on_behalf`, the identity an avatar speaks for.
        hidden: True for supervisors and the like, whom the others do not see.
        attributes: Those that the report shows, such as `sip.*`; they move nothing.
    """

    at: int
    sid: str
    identity: str
    kind: ParticipantKind = ParticipantKind.STANDARD
    room_sid: str = ""
    agent_name: str = ""
    on_behalf: str = ""
    hidden: bool = False
    told_by: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantLeft:
    """Somebody is no longer in the room.

    Attributes:
        raw: Name of the DisconnectReason; see `evidence`.
        sip_status: Final status of a call, RFC 3261; 0 if there is none.
        referred: True if the call was handed elsewhere (SIP REFER).
    """

    at: int
    sid: str
    identity: str
    kind: ParticipantKind = ParticipantKind.STANDARD
    room_sid: str = ""
    raw: str = "UNKNOWN_REASON"
    sip_status: int = 0
    referred: bool = False
    hidden: bool = False
    told_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantAborted:
    """Somebody tried to join and never became active (`participant_connection_aborted`)."""

    at: int
    sid: str
    identity: str
    kind: ParticipantKind = ParticipantKind.STANDARD
    room_sid: str = ""
    raw: str = "JOIN_FAILURE"
    sip_status: int = 0
    told_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantRemoved:
    """The removal we asked for is confirmed: the participant is not in the room, whether it was or not."""

    at: int
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressStarted:
    """A recording or stream of the room began."""

    at: int
    egress: str
    told_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressEnded:
    """A recording or stream of the room is over."""

    at: int
    egress: str
    told_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One line of a listing: a participant that has joined (state JOINED or ACTIVE)."""

    sid: str
    identity: str
    kind: ParticipantKind = ParticipantKind.STANDARD
    agent_name: str = ""
    on_behalf: str = ""
    hidden: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomSeen:
    """The room API was asked and answered: for a `LookAtRoom`, or on the reconciler's round.

    Attributes:
        sid: The room's; None if there is no room of this name.
        people: Everybody who has joined it.
    """

    at: int
    sid: str | None
    people: tuple[Seen, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LookFailed:
    """The room API did not answer a `LookAtRoom`; that is not absence."""

    at: int
    error: str


# What an agent and its worker say.


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAttached:
    """A job asks to be in charge, or reports again after its link was down.

    Attributes:
        job: `AJ_…`.
        identity: The agent's in the room.
        epoch: The one its dispatch was for; None for a dispatch that is not ours.
    """

    at: int
    job: str
    identity: str
    epoch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLost:
    """The worker saw the job's process die; everything the job wrote is shipped.

    Attributes:
        exit: Exit code, negative for a signal; None if nobody saw it.
    """

    at: int
    job: str
    exit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDone:
    """The job is over as it should be; everything it wrote is shipped."""

    at: int
    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentYielded:
    """The job's worker is leaving and asks for a successor on another one (a deploy)."""

    at: int
    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseExpired:
    """The job's worker sent no heartbeat for the length of a lease."""

    at: int
    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLost:
    """The link of the job's worker broke. A suspicion, no more."""

    at: int
    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodbyeOver:
    """The agent has said what it had to say after the end was decided."""

    at: int
    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAway:
    """The user stayed silent through check-in number `check`; the loop itself lives in the agent layer."""

    at: int
    job: str
    check: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UserBack:
    """The silent user said something."""

    at: int
    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A line of a job's spool that moves nothing: an item, usage, an error, a state of the agent.

    Attributes:
        seq: Number of the line in its spool, from 1.
        what: Its type, such as `item`, `usage`, `error`, `tool_started`.
        data: What the line says, JSON.
        said_at: The job's own clock, milliseconds; evidence only.
    """

    at: int
    job: str
    seq: int
    what: str
    data: Mapping[str, object] = field(default_factory=dict)
    said_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchAnswered:
    """LiveKit took our dispatch; whether a worker did, nobody says."""

    at: int
    epoch: int
    dispatch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchFailed:
    """LiveKit refused our dispatch or did not answer."""

    at: int
    epoch: int
    error: str


# What people and programs ask for.


@dataclass(frozen=True, slots=True, kw_only=True)
class EndAsked:
    """Somebody wants the session to end, and says why.

    Attributes:
        by: Who asks; what is told to everybody follows from the reason.
        job: The asking agent's.
        identity: The asking user's.
        detail: One sentence for people.
        data: JSON for the report.
    """

    at: int
    reason: Reason
    by: By
    job: str = ""
    identity: str = ""
    detail: str | None = None
    data: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAsked:
    """Somebody asked for a token of this session."""

    at: int
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceGiven:
    """A page told what its browser saw: offline, hidden, pagehide, an error of the SDK."""

    at: int
    identity: str
    what: str
    data: Mapping[str, object] = field(default_factory=dict)
    said_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlStarted:
    """The control plane was down and is up again; whatever happened meanwhile is still on its way."""

    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired:
    """An alarm is due. One that was cancelled meanwhile is ignored; one that is early is asked for again."""

    at: int
    kind: TimerKind


RoomFact: TypeAlias = (
    RoomStarted
    | RoomFinished
    | ParticipantJoined
    | ParticipantLeft
    | ParticipantAborted
    | ParticipantRemoved
    | EgressStarted
    | EgressEnded
    | RoomSeen
    | LookFailed
)
AgentFact: TypeAlias = (
    AgentAttached
    | AgentLost
    | AgentDone
    | AgentYielded
    | LeaseExpired
    | LinkLost
    | GoodbyeOver
    | UserAway
    | UserBack
    | Noted
    | DispatchAnswered
    | DispatchFailed
)
Request: TypeAlias = EndAsked | TokenAsked | EvidenceGiven
Event: TypeAlias = RoomFact | AgentFact | Request | ControlStarted | TimerFired
