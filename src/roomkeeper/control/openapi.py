"""`GET /openapi.json`: the HTTP API for programs, OpenAPI 3.1.

One table, compared by tests with the routes and with real answers. What is open (an explanation, a report) is described
where it is defined.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse

from roomkeeper import __version__
from roomkeeper.control import report
from roomkeeper.control.shapes import SCHEMAS, array, boolean, nullable, number, obj, ref, text

if TYPE_CHECKING:
    from starlette.requests import Request

    from roomkeeper.control.shapes import Schema

ADMIN, PARTICIPANT, INVITEE, WORKER, LIVEKIT = "admin", "participant", "invitee", "worker", "livekit"
JSON, SSE, TEXT = "application/json", "text/event-stream", "text/plain"

_WHO: Final = {
    ADMIN: "LiveKit API token with `roomAdmin`, without `roomJoin`; with `room`, for that room only.",
    PARTICIPANT: "Token that may join a room; reaches its own session.",
    INVITEE: "Invite, as `POST /api/invites` and `roomkeeper login --invite` make it.",
    WORKER: "LiveKit API token with `agent`.",
    LIVEKIT: "LiveKit's signature of the body (no `Bearer`).",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be asked for.

    Attributes:
        does: In one sentence.
        who: May ask; nobody in particular: everybody.
        gives: Schema of the answer by status.
        takes: Schema of the body.
        query: Meaning by parameter.
        refuses: Statuses beyond those that follow from `who` and `takes`.
        media: Of the answer.
    """

    method: str
    path: str
    does: str
    who: tuple[str, ...]
    gives: dict[int, Schema]
    takes: Schema | None = None
    query: tuple[tuple[str, str], ...] = ()
    refuses: tuple[int, ...] = ()
    media: str = JSON


_SESSION: Final = "/api/sessions/{id}"
_LIST_QUERY: Final = (
    ("state", "`open`, `parked` (something was given up), or one of the six."),
    ("agent", "Name of the agent."),
    ("reason", "Of the end."),
    ("room", "The whole name."),
    ("search", "A part of the room's or agent's name, or any whole id."),
    ("limit", "1 to 200; 50."),
    ("cursor", "From the page before."),
)
_OPEN: Final = obj({}, more=True)

OPERATIONS: Final = (
    Operation("GET", "/healthz", "Say that the process lives.", (), {200: obj({"status": text(), "version": text()})}),
    Operation(
        "GET", "/readyz", "Say whether the database answers.", (), {k: obj({"status": text()}) for k in (200, 503)}
    ),
    Operation("GET", "/metrics", "Give figures to Prometheus.", (), {200: text()}, media=TEXT),
    Operation("GET", "/openapi.json", "Give this document.", (), {200: _OPEN}),
    Operation(
        "POST",
        "/webhooks/livekit",
        "Take a webhook of LiveKit; a repetition changes nothing.",
        (LIVEKIT,),
        {200: obj({"taken": boolean()})},
        takes=_OPEN,
    ),
    Operation(
        "POST",
        "/api/token",
        "Give a participant's token: LiveKit's token source.",
        (ADMIN, INVITEE),
        {201: ref("Token")},
        takes=ref("TokenRequest"),
        refuses=(410, 429, 503),
    ),
    Operation(
        "POST",
        "/api/login",
        "Exchange a sign-in for a token of 8 hours.",
        (ADMIN,),
        {200: obj({"token": text(), "expires_at": ref("Time"), "room": nullable(text())})},
    ),
    Operation(
        "POST",
        "/api/invites",
        "Make an invite.",
        (ADMIN,),
        {201: obj({"invite": text(), "expires_at": ref("Time")})},
        takes=obj(
            {"identity": text(), "name": text(), "room": text(), "agent": text(), "ttl": number()},
            required=("identity",),
        ),
    ),
    Operation(
        "POST",
        "/api/sessions",
        "Open a session; with the same `Idempotency-Key` once.",
        (ADMIN,),
        {code: obj({"session": ref("Session"), "token": nullable(ref("Token"))}) for code in (200, 201)},
        takes=ref("SessionRequest"),
        refuses=(409, 410, 422, 503),
    ),
    Operation(
        "GET",
        "/api/sessions",
        "List sessions, newest first.",
        (ADMIN,),
        {200: obj({"sessions": array(ref("ListedSession")), "cursor": nullable(text()), "counts": ref("Counts")})},
        query=_LIST_QUERY,
        refuses=(400,),
    ),
    Operation("GET", _SESSION, "Show a session.", (ADMIN,), {200: ref("SessionDetails")}, refuses=(404,)),
    Operation(
        "DELETE",
        _SESSION,
        "Purge the personal data of an ended session.",
        (ADMIN,),
        {200: obj({"session": text(), "purged_at": ref("Time")})},
        query=(("force", "`true`: also if its report is still on its way."),),
        refuses=(404, 409),
    ),
    Operation(
        "GET",
        f"{_SESSION}/state",
        "Say what everybody in the room sees.",
        (PARTICIPANT, ADMIN),
        {200: ref("State")},
        refuses=(404, 429),
    ),
    Operation(
        "POST",
        f"{_SESSION}/end",
        "End it, once.",
        (PARTICIPANT, ADMIN),
        {200: ref("State")},
        takes=obj({"reason": ref("Reason"), "detail": text(), "data": {}}, required=()),
        refuses=(404, 429),
    ),
    Operation(
        "POST",
        f"{_SESSION}/evidence",
        "Keep what a browser saw.",
        (PARTICIPANT, ADMIN),
        {202: obj({"taken": boolean()})},
        takes=obj({"what": text(), "data": _OPEN, "said_at": number()}, required=("what",)),
        refuses=(404, 429),
    ),
    Operation(
        "GET",
        f"{_SESSION}/timeline",
        "Say what happened, in words.",
        (ADMIN,),
        {200: obj({"session": text(), "timeline": array(_OPEN), "events": array(_OPEN)}, required=("session",))},
        query=(("events", "`1`: also as they are stored, the talk included."),),
        refuses=(404, 410),
    ),
    Operation(
        "GET",
        f"{_SESSION}/explain",
        "Say why.",
        (ADMIN,),
        {200: _OPEN},
        query=(("events", "`1`: also everything that happened, as it is stored."),),
        refuses=(404, 410),
    ),
    Operation(
        "GET",
        f"{_SESSION}/bundle",
        "Give all that explains it, without words and names of people.",
        (ADMIN,),
        {200: _OPEN},
        refuses=(404, 410),
    ),
    Operation("GET", "/api/doctor", "Look at everything that is needed.", (ADMIN,), {200: _OPEN}),
    Operation("GET", "/api/dry-run", "Say what a dry run would have done.", (ADMIN,), {200: _OPEN}, refuses=(404,)),
    Operation(
        "GET",
        f"{_SESSION}/report",
        "Give the report as it would be built now.",
        (ADMIN,),
        {200: ref("Report")},
        refuses=(404, 409, 410),
    ),
    Operation(
        "GET",
        f"{_SESSION}/journal",
        "Give what the agents wrote, for the one that goes on.",
        (WORKER, ADMIN),
        {200: _OPEN},
        query=(("after", "Line after which to go on."), ("limit", "Lines at most.")),
        refuses=(400, 404),
    ),
    Operation(
        "POST",
        f"{_SESSION}/redeliver",
        "Send its reports again, and try again what was given up.",
        (ADMIN,),
        {202: obj({"session": text(), "deliveries": number(), "deeds": number()})},
        refuses=(404,),
    ),
    Operation(
        "POST",
        "/api/purge",
        "Purge sessions by age.",
        (ADMIN,),
        {200: obj({"purged": number(), "not_done": number(), "more": boolean()})},
        takes=obj({"ended_before": ref("Time")}),
    ),
    Operation(
        "GET",
        "/api/stream",
        "Send what happens as server-sent events; resume by `Last-Event-ID`.",
        (ADMIN,),
        {200: text()},
        query=(("session", "Only this session."),),
        refuses=(503,),
        media=SSE,
    ),
)


async def openapi(request: Request) -> JSONResponse:
    """Answer with the document."""
    return JSONResponse(document())


@cache
def document() -> dict[str, Any]:
    """Make the OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    shared = {name: schema for name, schema in report.SCHEMA.items() if name != "$schema"}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Roomkeeper",
            "version": __version__,
            "summary": "The session layer for voice agents on LiveKit.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": {**SCHEMAS, "Report": shared},
            "securitySchemes": {
                who: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": words}
                if who != LIVEKIT
                else {"type": "apiKey", "in": "header", "name": "Authorization", "description": words}
                for who, words in _WHO.items()
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    refuses = {*operation.refuses, *((401, 403) if operation.who else ()), *((400, 413) if operation.takes else ())}
    answers: dict[str, Any] = {
        str(status): {"description": "Done.", "content": {operation.media: {"schema": schema}}}
        for status, schema in operation.gives.items()
    }
    problem = {"description": "Refused.", "content": {"application/problem+json": {"schema": ref("Problem")}}}
    answers |= {str(status): problem for status in sorted(refuses)}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "query", "description": meaning, "schema": text()} for name, meaning in operation.query
    ]
    if "{id}" in operation.path:
        meaning = "`S_…`, a room's name, `RM_…`, `AJ_…` or `EG_…`."
        parameters.insert(0, {"name": "id", "in": "path", "required": True, "description": meaning, "schema": text()})
    described: dict[str, Any] = {"summary": operation.does, "responses": answers}
    described["security"] = [{who: []} for who in operation.who]
    if parameters:
        described["parameters"] = parameters
    if operation.takes is not None:
        described["requestBody"] = {"content": {JSON: {"schema": operation.takes}}}
    return described
