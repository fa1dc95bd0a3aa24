"""The frames of the agent link: what a worker and the control plane tell each other. Pure.

One WebSocket for each worker, JSON text frames, an object each with its `type`. `docs/agent-link.md` says when they are
sent and is what another language implements; both ends of ours read and write them here.

A frame from outside is read strictly where it matters and leniently where it may grow: a missing or wrong field is
refused with the field's name, an unknown field is passed over, an unknown type is `None` so that a newer peer may say
more than we understand.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any, Final, TypeAlias, TypeGuard, Union, get_args, get_origin, get_type_hints

from roomkeeper.errors import RoomkeeperError

VERSION: Final = 1
PATH: Final = "/agent-link"

MAX_FRAME: Final = 1024 * 1024
"""Bytes of one frame. A line of a spool is smaller, see `MAX_LINE`."""
MAX_LINE: Final = 512 * 1024
"""Bytes of one line of a spool; whoever writes a longer one cuts it and says so in the line."""
MAX_LINES: Final = 500
"""Lines in one `Events` frame."""
MAX_JOBS: Final = 1_000
"""Jobs of one worker."""
MAX_NAME: Final = 512
"""Characters of an id, an identity or a name."""

HEARTBEAT: Final = 1.0
"""Seconds between two heartbeats."""
LEASE: Final = 5.0
"""Seconds after the last heartbeat that named a job until that job may be replaced."""


class InvalidFrame(RoomkeeperError):
    """A frame of the agent link cannot be read; send what docs/agent-link.md says."""


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
    return _text({"type": _NAMES[type(frame)], **_plain(frame)})


def write_line(line: Line) -> str:
    """Return a line as it stands in a spool, without the line feed."""
    return _text(_plain(line))


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
    line: Line = _sound(Line, _object(text, MAX_LINE), "")
    return line


def is_name(value: object) -> TypeGuard[str]:
    """Say whether something from outside will do as an id, an identity or a name."""
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and not _UNFIT.search(value)


def _read_frame(text: str | bytes, known: Mapping[str, type]) -> Any:  # noqa: ANN401 - the callers know
    said = _object(text, MAX_FRAME)
    name = said.get("type")
    if not isinstance(name, str):
        raise InvalidFrame("`type` is missing.")
    return _sound(known[name], said, f"{name}.") if name in known else None


def _object(text: str | bytes, limit: int) -> dict[str, Any]:
    size = len(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    if size > limit:
        raise InvalidFrame(f"It has {size} bytes; {limit} are allowed.")
    try:
        said = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise InvalidFrame("It is not JSON.") from None
    if not isinstance(said, dict):
        raise InvalidFrame("It is not a JSON object.")
    return said


def _sound(kind: type, said: Mapping[str, Any], where: str) -> Any:  # noqa: ANN401 - the callers know
    """Read an object whose data can be stored and written again; halves of characters and numbers too large go."""
    read = _read(kind, said, where)
    try:
        try:
            _to_json(_deeper(said)).encode()
        except ValueError:  # of the data: a name would have been refused
            return _read(kind, _repaired(said), where)
    except RecursionError:
        raise InvalidFrame("It is nested too deeply.") from None
    return read


def _text(said: Mapping[str, Any]) -> str:
    """Write JSON that everybody can read, whatever an application put into it."""
    try:
        text = _to_json(said)
        text.encode()
    except ValueError:
        return _to_json(_repaired(said))
    return text


_to_json: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _deeper(said: object) -> object:
    """Wrap an object, so that what is read here can still be written by whoever has a deeper stack."""
    for _ in range(_MARGIN):
        said = [said]
    return said


def _repaired(said: object) -> Any:  # noqa: ANN401 - of the same kind as it was
    match said:
        case str():
            return said.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case float():
            return said if math.isfinite(said) else None
        case Mapping():
            return {_repaired(name): _repaired(value) for name, value in said.items()}
        case list() | tuple():
            return [_repaired(value) for value in said]
        case _:
            return said


def _no_number(name: str) -> None:
    """Refuse NaN and the infinities, which Python reads and no database takes.

    Raises:
        ValueError: always.
    """
    raise ValueError(name)


def _plain(value: Any) -> dict[str, Any]:  # noqa: ANN401 - one of the dataclasses here
    return {
        line.name: [_plain(each) for each in said] if line.name == "events" else said
        for line in fields(value)
        for said in [getattr(value, line.name)]
    }


@cache
def _shape(kind: type) -> tuple[tuple[str, Any, bool], ...]:
    hints = get_type_hints(kind)
    return tuple(
        (line.name, hints[line.name], line.default is MISSING and line.default_factory is MISSING)
        for line in fields(kind)
    )


def _read(kind: type, said: Mapping[str, Any], where: str) -> Any:  # noqa: ANN401 - the callers know
    values = {}
    for name, hint, needed in _shape(kind):
        if name in said:
            values[name] = _value(hint, said[name], f"{where}{name}")
        elif needed:
            raise InvalidFrame(f"`{where}{name}` is missing.")
    return kind(**values)


def _value(hint: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - one answer for each kind of field
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in {Union, types.UnionType}:
        return None if value is None else _value(arguments[0], value, where)
    if origin is tuple:
        limit = MAX_LINES if arguments[0] is Line else MAX_JOBS
        if not isinstance(value, list) or len(value) > limit:
            raise InvalidFrame(f"`{where}` has to be a list of at most {limit}.")
        return tuple(_value(arguments[0], each, where) for each in value)
    if hint is Line:
        if not isinstance(value, dict):
            raise InvalidFrame(f"`{where}` has to hold objects.")
        return _read(Line, value, f"{where}.")
    if origin is not None:
        if not isinstance(value, dict):
            raise InvalidFrame(f"`{where}` has to be an object.")
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise InvalidFrame(f"`{where}` has to be {_WORDS[hint]}.")
    if hint is int and not -_LARGEST <= value <= _LARGEST:
        raise InvalidFrame(f"`{where}` is out of range.")
    if hint is str and where.rpartition(".")[2] in _SHORT:
        if len(value) > MAX_NAME:
            raise InvalidFrame(f"`{where}` has more than {MAX_NAME} characters.")
        if _UNFIT.search(value):
            raise InvalidFrame(f"`{where}` has a character that no name has.")
    return value


_WORDS: Final = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
_LARGEST: Final = 2**53
_MARGIN: Final = 200
"""Levels by which the stack of a later writer may be deeper than a reader's."""
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters and halves of characters: no database takes all of them as a key."""
_SHORT: Final = {"worker", "agent_name", "job", "room", "room_sid", "identity", "session", "reason", "type"}
