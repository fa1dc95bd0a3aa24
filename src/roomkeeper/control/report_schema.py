"""The shape of a report, as JSON Schema; `docs/reference/report.schema.json` is written from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from roomkeeper.lifecycle.reasons import REASONS, By, Outcome
from roomkeeper.lifecycle.vocabulary import ParticipantKind

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION: Final = 1
"""Of the report's schema: a field may be added without a new one, never renamed or removed."""

_TIME: Final = {"type": ["string", "null"], "format": "date-time"}
_TEXT: Final = {"type": ["string", "null"]}
_WORD: Final = {"type": "string"}
_FLAG: Final = {"type": ["boolean", "null"]}
_EPOCH: Final = {"type": "integer", "minimum": 0, "description": "the agent's number; 0: it never attached"}
_DATE: Final = {"type": "string", "format": "date-time"}


def _object(required: str, **properties: object) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties}


def _many(shape: Mapping[str, object], meaning: str) -> dict[str, Any]:
    return {"type": "array", "description": meaning, "items": shape}


_PERSON: Final = _object(
    "identity kind sid joined_at left_at raw_reason",
    identity=_WORD,
    kind={"enum": [*map(str, ParticipantKind)]},
    sid=_WORD,
    joined_at=_TIME,
    left_at=_TIME,
    raw_reason=_TEXT | {"description": "LiveKit's DisconnectReason, or our own word where nobody said one"},
    attributes={
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "LiveKit's own of a call: sip.*",
    },
    sip_status={"type": ["integer", "null"], "description": "RFC 3261"},
)
_ITEM: Final = _object(
    "type epoch at",
    type={"type": "string", "description": "message, tool_call, or LiveKit's own type of any other chat item"},
    epoch=_EPOCH,
    id=_TEXT,
    at=_TIME,
    role=_WORD | {"description": "of a message: user, assistant, system, developer"},
    text=_WORD,
    interrupted={"type": "boolean"},
    cut={"type": "integer", "minimum": 1, "description": "characters that were too many for a line"},
    call_id=_WORD,
    name=_TEXT,
    arguments={"description": "of a tool: JSON, or the model's text if it is none"},
    output={"description": "of a tool; null: it never came back"},
    is_error=_FLAG,
    ended_at=_TIME,
    data={"type": "object", "description": "any other item as LiveKit writes it"},
)
_AGENT: Final = _object(
    "number",
    number={"type": "integer", "minimum": 1},
    job=_TEXT,
    identity=_TEXT,
    attached_at=_TIME,
    over_at=_TIME,
    end={"enum": ["done", "lost", None]},
    exit={"type": ["integer", "null"], "description": "exit code of the job, negative for a signal"},
)

SCHEMA: Final[Mapping[str, object]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:roomkeeper:report:1",
    "title": "Roomkeeper report",
    "description": "What one session was. A version may get more fields; pass over what you do not know.",
    **_object(
        "v revision session room generation room_sids agent_name reason by outcome message because opened_at ended_at "
        "participants items transcripts errors epochs usage recordings gaps",
        v={"const": VERSION},
        revision={"type": "integer", "minimum": 1, "description": "facts that came late make the next one"},
        session={"type": "string", "pattern": "^S_"},
        room=_WORD,
        generation={"type": "integer", "minimum": 1, "description": "which session in a room of this name"},
        room_sids={"type": "array", "items": _WORD},
        agent_name=_WORD,
        metadata=_TEXT | {"description": "the application's own, as its agents got it"},
        reason={"enum": [*map(str, REASONS)]},
        by={"enum": [*map(str, By)]},
        outcome={"enum": [*map(str, Outcome)]},
        message=_WORD | {"description": "what the user read"},
        detail=_TEXT | {"description": "the application's sentence"},
        data={"description": "the application's JSON"},
        because=_WORD | {"description": "the decisive fact, and the setting it met"},
        opened_at=_DATE,
        live_at=_TIME,
        ended_at=_DATE,
        participants=_many(_PERSON, "every connection"),
        items=_many(_ITEM, "every chat item, in order"),
        transcripts=_many(
            _object("epoch at text", epoch=_EPOCH, at=_TIME, text=_WORD, identity=_TEXT, language=_TEXT),
            "what the speech recognition understood, also where no item came of it",
        ),
        errors=_many(
            _object("epoch at", epoch=_EPOCH, at=_TIME, source=_TEXT, error=_TEXT, recoverable={"type": "boolean"}),
            "what models and plugins complained about",
        ),
        epochs=_many(_AGENT, "the agents, one after the other"),
        usage=_many(_object("epoch", epoch=_EPOCH), "the totals of each agent, as LiveKit counts them"),
        recordings=_many(
            _object("egress started_at ended_at", egress=_WORD, started_at=_TIME, ended_at=_TIME),
            "recordings and streams",
        ),
        gaps=_many(
            _object(
                "job from to",
                job=_WORD,
                **{"from": {"type": "integer", "minimum": 1}, "to": {"type": ["integer", "null"], "minimum": 1}},
            ),
            "lines of an agent's spool that never came; to is null where nobody knows how many there were",
        ),
    ),
}
