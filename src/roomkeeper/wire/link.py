"""The frames of the agent link: what a worker and the control plane tell each other. Pure.

One WebSocket for each worker, JSON text frames, an object each with its `type`. `docs/agent-link.md` says when they are
sent and is what another language implements; both ends of ours read and write them here.

A frame from outside is read strictly where it matters and leniently where it may grow: a missing or wrong field is
refused with the field's name, an unknown field is passed over, an unknown type is `None` so that a newer peer may say
more than we understand.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the reader looks at the annotations
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, get_args

from roomkeeper.wire.reading import (
    MAX_NAME,
    MAX_NAMES,
    MAX_OBJECTS,
    InvalidFrame,
    is_name,
    plain,
    read_as,
    read_object,
    to_text,
)

__all__ = ["MAX_NAME", "InvalidFrame", "is_name"]

VERSION: Final = 1
PATH: Final = "/agent-link"

MAX_FRAME: Final = 1024 * 1024
"""Bytes of one frame. A line of a spool is smaller, see `MAX_LINE`."""
MAX_LINE: Final = 512 * 1024
"""Bytes of one line of a spool; whoever writes a longer one cuts it and says so in the line."""
MAX_LINES: Final = MAX_OBJECTS
"""Lines in one `Events` frame."""
MAX_JOBS: Final = MAX_NAMES
"""Jobs of one worker."""

HEARTBEAT: Final = 1.0
"""Seconds between two heartbeats."""
LEASE: Final = 5.0
"""Seconds after a worker's last heartbeat until its jobs may be replaced."""
SILENCE: Final = 2.0
"""Seconds after the first heartbeat that does not name a job any more until that job may be replaced: its worker, which
lives, has not heard of it for 1.5 s by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a job's spool.

    Attributes:
        seq: From 1, without gaps.
        at: The job's own clock, milliseconds since the Unix epoch; evidence only.
        type: What it tells; `docs/agent-link.md` has the list.
        data: What it says.
    """

    seq: int
    at: int
    type: str
    data: Mapping[str, Any] = field(default_factory=dict)


# Worker → control plane.


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The first frame of a connection.

    Attributes:
        v: Version of this protocol.
        worker: A name of the worker's own making, the same on every connection of its life.
        agent_name: The agent its jobs are.
        versions: Of the software, for `explain` and `doctor`.
    """

    v: int
    worker: str
    agent_name: str
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """A job asks to be in charge, or says again that it is there.

    Attributes:
        epoch: The one in the attributes of its dispatch; None for a dispatch that is not ours.
        agent_name: The agent this job is.
        session: The session in the attributes of its dispatch; empty if the dispatch is not ours.
        metadata: That of its dispatch: the application's, which every later dispatch of the session has to carry on.
    """

    job: str
    room: str
    room_sid: str
    identity: str
    agent_name: str
    epoch: int | None = None
    session: str = ""
    metadata: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Lines of a job's spool, in order, from the first that was not acknowledged on."""

    job: str
    epoch: int
    events: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A job wants the session to end. A worker with spools writes a line of type `end` instead; both mean the same."""

    job: str
    reason: str
    detail: str | None = None
    data: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The worker lives, and so do these jobs. The control plane answers with the same number and no jobs."""

    n: int
    jobs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A job's process died, and all of its spool was sent. Exit code, negative for a signal."""

    job: str
    exit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Yield:
    """The worker is leaving: another one is to take this job's session over. Repeated until `Mute` comes."""

    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The job is over as it should be, and all of its spool was sent."""

    job: str


# Control plane → worker.


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """The answer to `Hello`. Times in seconds."""

    v: int
    heartbeat: float = HEARTBEAT
    lease: float = LEASE


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """The job is in charge, or will be.

    Attributes:
        session: `S_…`.
        state: What everybody in the room sees, see the contract.
        policy: What the session goes by, in dotted keys.
        resumed: True if another agent was in charge before: the journal is to be restored.
        muted: True if it keeps silent until `Unmute` (a hand-over).
        seq: The last line of this job's spool that has arrived.
        check_ins: How many check-ins the user let pass in silence.
        limit_at: When the time limit ends the session, milliseconds since the Unix epoch; None for never or not yet.
        metadata: The metadata of the application, as its own dispatch had it.
    """

    job: str
    epoch: int
    session: str
    state: Mapping[str, Any]
    policy: Mapping[str, Any]
    resumed: bool = False
    muted: bool = False
    seq: int = 0
    check_ins: int = 0
    limit_at: int | None = None
    metadata: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """All lines up to `seq` are stored.

    Attributes:
        over: True once the job's `Lost` or `Done` is stored too: the spool may go.
    """

    job: str
    seq: int
    over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EndNow:
    """The session ends. With `goodbye` there is somebody to say it to; the job answers with a line `goodbye_over`."""

    job: str
    reason: str
    message: str
    detail: str | None = None
    goodbye: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Fenced:
    """The job is not in charge: it says nothing more, leaves and is `Done`."""

    job: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """Fall silent at the next pause; a job that yielded then leaves and is `Done`."""

    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmute:
    """Speak."""

    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warning:  # noqa: A001 - what it is called in the policy; nothing here raises Python's
    """The time limit is near. Milliseconds."""

    job: str
    remaining: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What the worker sent changes nothing, and why; without a job, the connection is closed next."""

    why: str
    job: str = ""


FromWorker: TypeAlias = Hello | Attach | Events | End | Heartbeat | Lost | Yield | Done
FromControl: TypeAlias = Welcome | Attached | Ack | EndNow | Fenced | Mute | Unmute | Warning | Refused | Heartbeat
Frame: TypeAlias = FromWorker | FromControl

_NAMES: Final = {
    Hello: "hello",
    Attach: "attach",
    Events: "events",
    End: "end",
    Heartbeat: "heartbeat",
    Lost: "lost",
    Yield: "yield",
    Done: "done",
    Welcome: "welcome",
    Attached: "attached",
    Ack: "ack",
    EndNow: "end",
    Fenced: "fenced",
    Mute: "mute",
    Unmute: "unmute",
    Warning: "warning",
    Refused: "refused",
}
_FROM_WORKER: Final = {_NAMES[kind]: kind for kind in get_args(FromWorker)}
_FROM_CONTROL: Final = {_NAMES[kind]: kind for kind in get_args(FromControl)}


def write(frame: Frame) -> str:
    """Return a frame as the text to send."""
    return to_text({"type": _NAMES[type(frame)], **plain(frame)})


def write_line(line: Line) -> str:
    """Return a line as it stands in a spool, without the line feed."""
    return to_text(plain(line))


def read_from_worker(text: str | bytes) -> FromWorker | None:
    """Read what a worker sent; None for a type of a newer version.

    Raises:
        InvalidFrame: It is too large, no JSON object, or a field is missing or wrong.
    """
    frame: FromWorker | None = _read_frame(text, _FROM_WORKER)
    return frame


def read_from_control(text: str | bytes) -> FromControl | None:
    """Read what the control plane sent; None for a type of a newer version.

    Raises:
        InvalidFrame: It is too large, no JSON object, or a field is missing or wrong.
    """
    frame: FromControl | None = _read_frame(text, _FROM_CONTROL)
    return frame


def read_line(text: str | bytes) -> Line:
    """Read a line of a spool.

    Raises:
        InvalidFrame: It is too large or no such line: the last one of a spool whose writer died.
    """
    line: Line = read_as(Line, read_object(text, MAX_LINE), "")
    return line


def _read_frame(text: str | bytes, known: Mapping[str, type]) -> Any:  # noqa: ANN401 - the callers know
    said = read_object(text, MAX_FRAME)
    name = said.get("type")
    if not isinstance(name, str):
        raise InvalidFrame("`type` is missing.")
    return read_as(known[name], said, f"{name}.") if name in known else None
