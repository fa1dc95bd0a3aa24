"""What the raw words of LiveKit, SIP and the operating system mean.

1. Nothing is lost: the raw word stays in the journal beside the reason it was read as, and `explain` shows both.
2. Every word that the protocol has today is in a table here (a test compares with `livekit.protocol`); a word that
   comes tomorrow is read as the most careful neighbour: the network was lost, the agent was lost, the call failed.
3. The same word means different things to different people: CLIENT_INITIATED is a refresh on the web, a hang-up on the
   phone, and a farewell of an agent.

Sources: `livekit_models.proto` (DisconnectReason), `livekit_sip.proto` (SIPStatusCode), RFC 3261 §21,
`livekit/agents/voice/events.py` (CloseReason).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from roomkeeper.lifecycle.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping


class AgentLeft(StrEnum):
    """What an agent's leaving the room means."""

    FAREWELL = "farewell"
    """It left by itself."""
    REJOINING = "rejoining"
    """The connection is being replaced; the agent is expected back within seconds."""
    LOST = "lost"
    """It is gone and did not mean to be."""
    ROOM_CLOSED = "room closed"
    """The room closed around it; nothing is wrong with the agent."""


@dataclass(frozen=True, slots=True)
class Departure:
    """What one DisconnectReason means, by who left.

    Attributes:
        user: The reason, should the user not return: web, mobile and all that is not a phone.
        caller: The same for a SIP participant.
        agent: What it means when the agent in charge leaves with it.
        final: True if waiting for a return is pointless: the hold does not apply.
        meaning: In words, for `explain`.
    """

    user: Reason
    caller: Reason
    agent: AgentLeft
    final: bool
    meaning: str


_LOST = (Reason.USER_LOST, Reason.USER_LOST)

DEPARTURES: Mapping[str, Departure] = {
    "UNKNOWN_REASON": Departure(*_LOST, AgentLeft.LOST, final=False, meaning="left without a reason given"),
    "CLIENT_INITIATED": Departure(
        Reason.USER_LEFT,
        Reason.CALLER_HUNG_UP,
        AgentLeft.FAREWELL,
        final=False,
        meaning="left on purpose: tab closed, page refreshed, hung up, or disconnect() called",
    ),
    "DUPLICATE_IDENTITY": Departure(
        *_LOST, AgentLeft.REJOINING, final=False, meaning="the same identity joined again and replaced it"
    ),
    "SERVER_SHUTDOWN": Departure(
        Reason.ROOM_LOST, Reason.ROOM_LOST, AgentLeft.LOST, final=False, meaning="the room server was shut down"
    ),
    "PARTICIPANT_REMOVED": Departure(
        Reason.REMOVED, Reason.REMOVED, AgentLeft.LOST, final=True, meaning="removed through the room API"
    ),
    "ROOM_DELETED": Departure(
        Reason.ROOM_DELETED, Reason.ROOM_DELETED, AgentLeft.ROOM_CLOSED, final=True, meaning="the room was deleted"
    ),
    "STATE_MISMATCH": Departure(
        *_LOST, AgentLeft.REJOINING, final=False, meaning="told by the server to connect anew (full reconnect)"
    ),
    "JOIN_FAILURE": Departure(*_LOST, AgentLeft.LOST, final=False, meaning="never became fully connected"),
    "MIGRATION": Departure(*_LOST, AgentLeft.REJOINING, final=False, meaning="moved to another node (Cloud)"),
    "SIGNAL_CLOSE": Departure(
        *_LOST, AgentLeft.LOST, final=False, meaning="the signal connection closed before media was up"
    ),
    "ROOM_CLOSED": Departure(
        *_LOST, AgentLeft.ROOM_CLOSED, final=False, meaning="the room closed after the last person had left"
    ),
    "USER_UNAVAILABLE": Departure(
        Reason.USER_LEFT, Reason.CALL_FAILED, AgentLeft.FAREWELL, final=True, meaning="the callee did not answer"
    ),
    "USER_REJECTED": Departure(
        Reason.USER_LEFT, Reason.CALL_FAILED, AgentLeft.FAREWELL, final=True, meaning="the callee rejected the call"
    ),
    "SIP_TRUNK_FAILURE": Departure(
        Reason.USER_LOST, Reason.CALL_FAILED, AgentLeft.LOST, final=True, meaning="the SIP trunk failed"
    ),
    "CONNECTION_TIMEOUT": Departure(*_LOST, AgentLeft.LOST, final=False, meaning="the network was lost"),
    "MEDIA_FAILURE": Departure(*_LOST, AgentLeft.LOST, final=False, meaning="no more media arrived"),
    "AGENT_ERROR": Departure(*_LOST, AgentLeft.LOST, final=False, meaning="the agent reported an error of its own"),
}
"""DisconnectReason, by its name in the protocol."""

NOT_SEEN = "NOT_SEEN"
"""Our own word for a leave that nobody reported: two listings of the room did not have the participant."""

ROOM_GONE = "ROOM_GONE"
"""Our own word for a leave that follows from the room's end."""

_OURS: Mapping[str, Departure] = {
    NOT_SEEN: Departure(*_LOST, AgentLeft.LOST, final=False, meaning="missing from two listings of the room"),
    ROOM_GONE: Departure(*_LOST, AgentLeft.ROOM_CLOSED, final=False, meaning="the room ended around it, untold"),
}


def departure(raw: str) -> Departure:
    """Read a DisconnectReason.

    Args:
        raw: Its name in the protocol, one of our own words, or a word not known yet.

    Returns:
        What it means; a word not known is read like `UNKNOWN_REASON`.
    """
    return DEPARTURES.get(raw) or _OURS.get(raw) or DEPARTURES["UNKNOWN_REASON"]


@dataclass(frozen=True, slots=True)
class Closing:
    """What the CloseReason of a stock `AgentSession` says when the agent named no reason.

    Attributes:
        reason: The end to ask for; None if the closing decides nothing by itself.
        meaning: In words, for `explain`.
    """

    reason: Reason | None
    meaning: str


CLOSINGS: Mapping[str, Closing] = {
    "error": Closing(Reason.MODEL_FAILED, "an error of STT, LLM or TTS that did not recover closed the session"),
    "job_shutdown": Closing(None, "the job was shut down; whether that was meant, other facts say"),
    "participant_disconnected": Closing(None, "closed because the user left; the hold decides"),
    "user_initiated": Closing(Reason.COMPLETED, "the agent's code closed the session"),
    "task_completed": Closing(Reason.COMPLETED, "the agent's task was completed"),
}
"""CloseReason of livekit-agents, by its value."""


_SIP_NORMAL = 200
_SIP_WORDS: Mapping[int, str] = {
    0: "no status given",
    403: "forbidden by the callee or the trunk",
    404: "the number does not exist",
    408: "the call was not answered in time",
    410: "the number is gone",
    480: "the callee is unavailable",
    484: "the number is incomplete",
    486: "the callee is busy",
    487: "the call was cancelled before it was answered",
    600: "the callee is busy everywhere",
    603: "the callee declined",
    604: "the number does not exist anywhere",
    607: "the callee does not want the call",
    608: "an intermediary rejected the call",
}
_SIP_CLASSES: Mapping[int, str] = {
    1: "the call was still being set up",
    2: "the call was connected",
    3: "the call was forwarded elsewhere",
    4: "the callee or the trunk refused the call",
    5: "the trunk or a server on the way failed",
    6: "the callee refused the call everywhere",
}


def call_reason(status: int) -> Reason | None:
    """Read a final SIP status.

    Args:
        status: RFC 3261 code; 0 if none is known.

    Returns:
        `call_failed` for a call that was refused or could not be set up (300 and above), else None: a call that was
        connected ends for another reason.
    """
    return Reason.CALL_FAILED if status > _SIP_NORMAL + 99 else None


def call_meaning(status: int) -> str:
    """Say a SIP status in words, for `explain`; the code itself is part of the words."""
    words = _SIP_WORDS.get(status) or _SIP_CLASSES.get(status // 100, "an unknown SIP status")
    return f"{words} ({status})"


_EXITS: Mapping[int, str] = {
    0: "exited cleanly",
    1: "died of an error in its own code, or was told to stop twice",
    255: "was stopped together with its process group, or its parent process died",
    -6: "aborted itself (SIGABRT)",
    -9: "was killed (SIGKILL): out of memory, or by its supervisor",
    -10: "was killed by its worker because it no longer answered (SIGUSR1)",
    -11: "crashed in native code (SIGSEGV)",
    -15: "was terminated (SIGTERM)",
}


def exit_meaning(code: int | None) -> str:
    """Say how a job's process ended, for `explain`.

    The code never says whether an end was meant (an exception in an entrypoint exits with 0): the journal does.

    Args:
        code: Exit code as `multiprocessing` has it (negative: the signal); None if nobody saw it.
    """
    if code is None:
        return "vanished; nobody saw how"
    if (words := _EXITS.get(code)) is not None:
        return f"{words}, exit {code}"
    return f"was killed by signal {-code}" if code < 0 else f"failed with exit {code}"
