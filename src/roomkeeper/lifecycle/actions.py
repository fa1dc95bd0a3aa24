"""Everything a session can ask the world to do, in the imperative.

1. Actions are carried out after the transition is stored, at least once, perhaps late, perhaps after the next one:
   each is idempotent, or guarded by a sid, a job or an epoch so that it cannot hit a successor.
2. What comes of an action comes back as an event (`LookAtRoom` → `RoomSeen` or `LookFailed`, `RemoveParticipant` →
   `ParticipantRemoved`, `CreateDispatch` → `DispatchAnswered` or `DispatchFailed`, `DeleteRoom` → `RoomFinished`).
3. `Ignored` is the answer to an event that changed nothing, and says why; `explain` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the codec reads the annotations
from dataclasses import dataclass, field
from typing import TypeAlias

from roomkeeper.lifecycle.reasons import Reason  # noqa: TC001 - the codec reads the annotations
from roomkeeper.lifecycle.vocabulary import TimerKind  # noqa: TC001 - the codec reads the annotations


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRoomState:
    """Write the session's current state into the room's metadata and to topic `roomkeeper`.

    Level-triggered: write what is current when it is carried out; one pending write a session is enough. Nothing to do
    if there is no room.

    Attributes:
        seq: The version that is to be visible at least.
    """

    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRoom:
    """Delete the room, if it is still the one meant.

    Attributes:
        sid: The room's; None if none was ever told: then delete the room of this name only if its metadata carries this
            session.
    """

    room: str
    sid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveParticipant:
    """Take somebody out of the room; not being there is success, and both are answered by `ParticipantRemoved`."""

    identity: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateDispatch:
    """Send an agent, with the epoch in the job's attributes and restart_policy NEVER.

    Asked for again with the same epoch, it replaces a dispatch that no worker took, and leaves one that a worker took.
    """

    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StopEgress:
    """Stop a recording or stream; one that has ended is success."""

    egress: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendReport:
    """Build the report from the journal and hand it to every receiver.

    Attributes:
        revision: 1 for the first; a part of the `webhook-id`.
    """

    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptJob:
    """Answer a job's `attach`: it is in charge, or will be.

    Attributes:
        resumed: True if another agent was in charge before it: the journal is to be restored.
        muted: True if it has to keep silent until `MuteAgent(muted=False)` (a hand-over).
    """

    job: str
    epoch: int
    resumed: bool
    muted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceJob:
    """Tell a job that it is not in charge: it says nothing more and leaves."""

    job: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MuteAgent:
    """Let a job fall silent or speak. One that has yielded does so at its next pause, then leaves and says `done`."""

    job: str
    muted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EndAgent:
    """Tell the job in charge that the session ends.

    Attributes:
        goodbye: True if somebody is there to hear one; the agent answers `GoodbyeOver` or `done`.
    """

    job: str
    reason: Reason
    detail: str | None
    goodbye: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Warn:
    """Tell agent and page that the time limit is near.

    Attributes:
        remaining: Milliseconds.
    """

    remaining: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAtRoom:
    """List the room and its participants now.

    Attributes:
        why: What hangs on it, for the log.
    """

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimer:
    """Raise `TimerFired(kind)` at a time; replaces an earlier alarm of the same kind.

    Attributes:
        at: Milliseconds since the Unix epoch, the clock of the database.
    """

    kind: TimerKind
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTimer:
    """Forget an alarm."""

    kind: TimerKind


@dataclass(frozen=True, slots=True, kw_only=True)
class EmitEvent:
    """Tell the live stream and its subscribers.

    Attributes:
        topic: `session.<state>`, `session.opened`, `session.changed`, `session.agent_lost`, `session.warned` or
            `item.added`. Not the report: that is `SendReport`.
        data: What the topic needs beyond the session itself, JSON. Topic and data together are never the same twice in
            a session, so that a repetition is known.
    """

    topic: str
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """The event is kept as a fact and changed nothing.

    Attributes:
        why: For people.
    """

    why: str


Action: TypeAlias = (
    WriteRoomState
    | DeleteRoom
    | RemoveParticipant
    | CreateDispatch
    | StopEgress
    | SendReport
    | AcceptJob
    | FenceJob
    | MuteAgent
    | EndAgent
    | Warn
    | LookAtRoom
    | SetTimer
    | CancelTimer
    | EmitEvent
    | Ignored
)
