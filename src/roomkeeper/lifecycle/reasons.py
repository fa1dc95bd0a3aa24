"""Why a session ended: the one table of reasons.

Documentation (`docs/reference/reasons.md`) and TypeScript (`generated.ts`) are generated from it.

1. A session ends with exactly one reason; the reason says who ended it (`by`) and how it went (`outcome`).
2. `message` is what the user reads; the policy may replace it, per language. `when` is what the operator reads.
3. What an application has to add goes into `detail` (text) and `data` (JSON), never into a new reason.
4. A reason is never renamed and never removed: journals and reports hold it for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class By(StrEnum):
    """Who ended the session."""

    AGENT = "agent"
    USER = "user"
    OPERATOR = "operator"
    APP = "app"
    SYSTEM = "system"


class Outcome(StrEnum):
    """How it went, in one word to count by."""

    FINISHED = "finished"
    ABANDONED = "abandoned"
    FAILED = "failed"


class Reason(StrEnum):
    """Every way in which a session can end."""

    COMPLETED = "completed"
    TRANSFERRED = "transferred"
    TIME_LIMIT = "time_limit"
    USER_ENDED = "user_ended"
    CALLER_HUNG_UP = "caller_hung_up"
    USER_LEFT = "user_left"
    USER_LOST = "user_lost"
    USER_AWAY = "user_away"
    USER_NEVER_JOINED = "user_never_joined"
    CALL_FAILED = "call_failed"
    VOICEMAIL = "voicemail"
    AGENT_LEFT = "agent_left"
    OPERATOR_ENDED = "operator_ended"
    REMOVED = "removed"
    ROOM_DELETED = "room_deleted"
    AGENT_FAILED = "agent_failed"
    MODEL_FAILED = "model_failed"
    AGENT_UNAVAILABLE = "agent_unavailable"
    ROOM_LOST = "room_lost"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of reasons.

    Attributes:
        by: Who ended the session.
        outcome: How it went.
        message: What the user reads, in English.
        when: What has to happen for it.
    """

    by: By
    outcome: Outcome
    message: str
    when: str


REASONS: Mapping[Reason, Row] = {
    Reason.COMPLETED: Row(
        By.AGENT,
        Outcome.FINISHED,
        "The conversation is complete. Thank you.",
        "the agent said that the conversation is done",
    ),
    Reason.TRANSFERRED: Row(
        By.AGENT,
        Outcome.FINISHED,
        "You have been transferred.",
        "the agent's part is over and people go on: the report is sent, the room kept until the last one leaves",
    ),
    Reason.TIME_LIMIT: Row(
        By.SYSTEM,
        Outcome.FINISHED,
        "The time for this conversation is over.",
        "the policy's time limit, after its warnings",
    ),
    Reason.USER_ENDED: Row(
        By.USER,
        Outcome.FINISHED,
        "You ended the conversation.",
        "End pressed by a user whom the policy lets end it for all; others only leave",
    ),
    Reason.CALLER_HUNG_UP: Row(
        By.USER,
        Outcome.FINISHED,
        "The call has ended.",
        "the caller hung up (SIP BYE; a REFER is `transferred`)",
    ),
    Reason.USER_LEFT: Row(
        By.USER,
        Outcome.ABANDONED,
        "The conversation ended because you left.",
        "left on purpose (CLIENT_INITIATED) and did not return within the hold",
    ),
    Reason.USER_LOST: Row(
        By.USER,
        Outcome.ABANDONED,
        "The conversation ended because your connection was lost.",
        "network lost (CONNECTION_TIMEOUT and kin) and not back within the hold",
    ),
    Reason.USER_AWAY: Row(
        By.USER,
        Outcome.ABANDONED,
        "The conversation ended because nobody answered.",
        "silent through every check-in",
    ),
    Reason.USER_NEVER_JOINED: Row(
        By.USER,
        Outcome.ABANDONED,
        "The conversation was closed because nobody joined in time.",
        "nobody who counts came within the join timeout",
    ),
    Reason.CALL_FAILED: Row(
        By.SYSTEM,
        Outcome.FAILED,
        "The call could not be connected.",
        "SIP: busy, rejected, unavailable, or the trunk failed",
    ),
    Reason.VOICEMAIL: Row(
        By.SYSTEM,
        Outcome.FINISHED,
        "The call was answered by a machine.",
        "a machine answered the call",
    ),
    Reason.AGENT_LEFT: Row(
        By.AGENT,
        Outcome.FINISHED,
        "The conversation is over.",
        "an agent left by itself and gave no reason; where several people stay together, it is `transferred`",
    ),
    Reason.OPERATOR_ENDED: Row(
        By.OPERATOR,
        Outcome.FINISHED,
        "The conversation was ended by the organizer.",
        "ended through API, command line or console",
    ),
    Reason.REMOVED: Row(
        By.OPERATOR,
        Outcome.FINISHED,
        "You were removed from the conversation.",
        "the last user was removed through the room API",
    ),
    Reason.ROOM_DELETED: Row(
        By.APP,
        Outcome.FINISHED,
        "The conversation is over.",
        "someone else deleted the room (the usual stock ending)",
    ),
    Reason.AGENT_FAILED: Row(
        By.SYSTEM,
        Outcome.FAILED,
        "The conversation ended because of a technical problem.",
        "the agent was lost and the recoveries are used up",
    ),
    Reason.MODEL_FAILED: Row(
        By.SYSTEM,
        Outcome.FAILED,
        "The conversation ended because of a technical problem.",
        "an unrecoverable error of the STT, LLM or TTS",
    ),
    Reason.AGENT_UNAVAILABLE: Row(
        By.SYSTEM,
        Outcome.FAILED,
        "Nobody is available right now. Please try again later.",
        "no agent took the dispatch in time",
    ),
    Reason.ROOM_LOST: Row(
        By.SYSTEM,
        Outcome.FAILED,
        "The conversation ended because of a technical problem.",
        "the room server lost the room and did not bring it back",
    ),
}
