"""The description of the API against its routes, and against what it really answers."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator
from starlette.routing import Mount, Route

from roomkeeper.control.openapi import OPERATIONS, document
from roomkeeper.lifecycle.events import EndAsked, ParticipantJoined, RoomStarted, SessionOpened
from roomkeeper.lifecycle.reasons import By, Reason
from tests.unit.control.serving import ADMIN, ANN, Answer, Site, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from starlette.routing import BaseRoute


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as served:
        yield served


def walk(routes: Iterable[BaseRoute], prefix: str = "") -> Iterable[tuple[str, str]]:
    for route in routes:
        if isinstance(route, Route):
            for method in (route.methods or set()) - {"HEAD"}:
                yield method, prefix + route.path.replace(":path", "")
        elif isinstance(route, Mount):
            yield from walk(route.routes or (), prefix + route.path)


async def test_every_route_is_described_and_nothing_else(served: Site) -> None:
    described = [(each.method, each.path) for each in OPERATIONS]
    assert sorted(set(walk(served.app.routes))) == sorted(described)


async def test_the_document_is_served_and_refers_to_nothing_that_is_missing(served: Site) -> None:
    answer = await served("GET", "/openapi.json")
    assert answer.json == document()
    assert answer.json["openapi"].startswith("3.1")
    named = set(re.findall(r"#/components/schemas/(\w+)", answer.text))
    assert named == set(answer.json["components"]["schemas"]) & named
    for schema in answer.json["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def check(answer: Answer, method: str, path: str, status: int) -> None:
    """Compare an answer with what the document says of it."""
    assert answer.status == status, answer.text
    described = document()["paths"][path][method.lower()]["responses"][str(status)]["content"]
    media = answer.headers["content-type"].partition(";")[0]
    assert media in described
    whole = {**document(), "$ref": f"#/paths/{_pointer(path, method, status, media)}"}
    errors = [error.message for error in Draft202012Validator(whole).iter_errors(answer.json)]
    assert errors == [], (method, path, errors)


def _pointer(path: str, method: str, status: int, media: str) -> str:
    parts = (path, method.lower(), "responses", str(status), "content", media, "schema")
    return "/".join(part.replace("~", "~0").replace("/", "~1") for part in parts)


async def test_real_answers_are_as_described(served: Site) -> None:
    one = "/api/sessions/{id}"
    body: dict[str, Any] = {"room": "tea", "user": {"identity": "ann"}}
    check(await served("POST", "/api/sessions", body, by=ADMIN), "POST", "/api/sessions", 201)
    check(await served("POST", "/api/sessions", body, by=ADMIN), "POST", "/api/sessions", 409)
    check(await served("POST", "/api/token", {"room_name": "tea"}, by=ADMIN), "POST", "/api/token", 201)
    session = await served.plane.store.find("tea")
    assert session is not None
    joined = ParticipantJoined(at=0, sid="PA_1", identity="ann", room_sid="RM_1")
    await served.plane.store.tell(session.id, RoomStarted(at=0, sid="RM_1"), joined)
    for what in ("", "/timeline", "/explain", "/journal", "/bundle"):
        check(await served("GET", f"/api/sessions/tea{what}", by=ADMIN), "GET", one + what, 200)
    check(await served("GET", "/api/sessions/tea/timeline?events=1", by=ADMIN), "GET", f"{one}/timeline", 200)
    check(await served("GET", "/api/sessions/tea/report", by=ADMIN), "GET", f"{one}/report", 409)
    check(await served("GET", "/api/sessions/tea/state", by=ANN), "GET", f"{one}/state", 200)
    evidence = {"what": "offline", "data": {"for": 3}}
    check(await served("POST", "/api/sessions/tea/evidence", evidence, by=ANN), "POST", f"{one}/evidence", 202)
    check(await served("POST", "/api/sessions/tea/end", {}, by=ANN), "POST", f"{one}/end", 200)
    check(await served("GET", "/api/sessions/tea/report", by=ADMIN), "GET", f"{one}/report", 200)
    check(await served("POST", "/api/sessions/tea/redeliver", by=ADMIN), "POST", f"{one}/redeliver", 202)
    check(await served("GET", "/api/sessions", by=ADMIN), "GET", "/api/sessions", 200)
    check(await served("GET", "/api/sessions?state=x", by=ADMIN), "GET", "/api/sessions", 400)
    check(await served("POST", "/api/token", {"room_name": "tea"}, by=ADMIN), "POST", "/api/token", 410)
    check(await served("DELETE", "/api/sessions/tea", by=ADMIN), "DELETE", one, 409)
    check(await served("DELETE", "/api/sessions/tea?force=true", by=ADMIN), "DELETE", one, 200)
    check(await served("GET", f"/api/sessions/{session.id}/report", by=ADMIN), "GET", f"{one}/report", 410)
    check(await served("GET", f"/api/sessions/{session.id}", by=ADMIN), "GET", one, 200)
    old = {"ended_before": "2000-01-01T00:00:00Z"}
    check(await served("POST", "/api/purge", old, by=ADMIN), "POST", "/api/purge", 200)
    check(await served("POST", "/api/invites", {"identity": "ann"}, by=ADMIN), "POST", "/api/invites", 201)
    check(await served("POST", "/api/login", by=ADMIN), "POST", "/api/login", 403)
    check(await served("GET", "/api/stream"), "GET", "/api/stream", 401)
    for path in ("/healthz", "/readyz"):
        check(await served("GET", path), "GET", path, 200)


async def test_figures_tell_states_ends_and_answers_but_no_names(served: Site) -> None:
    store = served.plane.store
    for number in range(3):
        await store.open(SessionOpened(at=0, session=f"S_{number}", room=f"tea-{number}"))
    await store.tell("S_0", EndAsked(at=0, reason=Reason.COMPLETED, by=By.APP))
    while await served.plane.carrier.carry_out_due():
        pass
    await served("GET", "/api/sessions/tea-1/state", by=ADMIN)
    await served("GET", "/made-up-by-a-caller")
    text = (await served("GET", "/metrics")).text
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert figures['roomkeeper_sessions{state="waiting"}'] == "2.0"
    assert figures['roomkeeper_ends_total{reason="completed"}'] == "1.0"
    route = 'method="GET",route="/api/sessions/{id}/state",status="200"'
    assert figures[f"roomkeeper_http_requests_total{{{route}}}"] == "1.0"
    for name in ("outbox_depth", "outbox_age_seconds", "outbox_parked", "deliveries_waiting", "deliveries_parked"):
        assert f"roomkeeper_{name}" in figures
    assert "tea-" not in text
    assert "made-up" not in text
    assert "S_" not in json.dumps(figures)
