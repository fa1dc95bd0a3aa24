"""JSON Schemas of what the API takes and gives."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from roomkeeper.lifecycle.policy import Kind
from roomkeeper.lifecycle.reasons import By, Outcome, Reason
from roomkeeper.lifecycle.state import State
from roomkeeper.lifecycle.vocabulary import Dispatcher

Schema: TypeAlias = dict[str, Any]


def obj(properties: dict[str, Schema], *, required: tuple[str, ...] | None = None, more: bool = False) -> Schema:
    """Describe an object.

    Args:
        properties: Schema by name.
        required: Names that are always there; None: all.
        more: Whether there may be others.
    """
    needed = list(properties) if required is None else list(required)
    schema: Schema = {"type": "object", "properties": properties}
    return schema | ({"required": needed} if needed else {}) | ({} if more else {"additionalProperties": False})


def array(items: Schema) -> Schema:
    """Describe a list."""
    return {"type": "array", "items": items}


def nullable(schema: Schema) -> Schema:
    """Describe what may be missing."""
    return {"anyOf": [schema, {"type": "null"}]}


def ref(name: str) -> Schema:
    """Name a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def text() -> Schema:
    """Describe a string."""
    return {"type": "string"}


def number() -> Schema:
    """Describe a number."""
    return {"type": "number"}


def boolean() -> Schema:
    """Describe true or false."""
    return {"type": "boolean"}


def words(choices: type[State | Reason | By | Outcome | Kind | Dispatcher]) -> Schema:
    """Describe one of some words."""
    return {"enum": [str(choice) for choice in choices]}


_TIMES: Final = {name: nullable(ref("Time")) for name in ("until", "live_at", "ended_at", "idle_since", "purged_at")}
_END: Final = {
    "reason": nullable(ref("Reason")),
    "by": nullable(words(By)),
    "outcome": nullable(words(Outcome)),
    "detail": nullable(text()),
}
_SESSION: Final = {
    "id": text(),
    "room": text(),
    "generation": number(),
    "agent_name": text(),
    "state": words(State),
    "since": ref("Time"),
    "seq": number(),
    "attendance": number(),
    "opened_at": ref("Time"),
    **_END,
    **_TIMES,
    "users": array(text()),
    "agent": nullable(text()),
    "report": number(),
}
_TOKEN: Final = ("server_url", "participant_token", "room_name", "participant_name", "participant_identity")
_TOKEN_CAMEL: Final = ("serverUrl", "participantToken", "roomName", "participantName", "participantIdentity")

SCHEMAS: Final[dict[str, Schema]] = {
    "Time": {"type": "string", "format": "date-time"},
    "Reason": words(Reason),
    "Problem": obj(
        {"type": text(), "title": text(), "status": number(), "detail": text()},
        required=("type", "title", "status"),
        more=True,
    ),
    "Counts": obj({str(state): number() for state in State}),
    "State": obj(
        {
            "v": {"const": 1},
            "session": text(),
            "seq": number(),
            "state": words(State),
            "since": ref("Time"),
            "now": ref("Time"),
            "until": nullable(ref("Time")),
            "reason": nullable(ref("Reason")),
            "by": nullable(words(By)),
            "message": nullable(text()),
            "detail": nullable(text()),
        }
    ),
    "Session": obj(_SESSION),
    "ListedSession": obj({**_SESSION, "parked": number()}),
    "SessionDetails": obj(
        {
            **_SESSION,
            "room_sids": array(text()),
            "origin": text(),
            "participants": array(obj({"identity": text(), "kind": text(), "sid": text(), "counts": boolean()})),
            "epochs": array(
                obj({"number": number(), "standing": text(), "job": nullable(text()), "identity": nullable(text())})
            ),
            "policy": obj({}, more=True),
            "deliveries": array(obj({}, more=True)),
            "deeds": array(obj({}, more=True)),
        }
    ),
    "SessionRequest": obj(
        {
            "agent": text(),
            "room": text(),
            "user": obj(
                {"identity": text(), "name": text(), "metadata": text(), "attributes": obj({}, more=True)},
                required=("identity",),
            ),
            "host": text(),
            "kind": words(Kind),
            "dispatch": words(Dispatcher),
            "policy": obj({}, more=True),
            "metadata": {"type": ["string", "object"]},
            "idempotency_key": text(),
        },
        required=(),
    ),
    "Token": obj({name: text() for name in ("session", *_TOKEN, *_TOKEN_CAMEL)}),
    "TokenRequest": obj(
        {
            "room_name": text(),
            "participant_identity": text(),
            "participant_name": text(),
            "participant_metadata": text(),
            "participant_attributes": obj({}, more=True),
            "room_config": obj({}, more=True),
        },
        required=(),
        more=True,
    ),
}
