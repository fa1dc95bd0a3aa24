"""What is unsigned, forged, oversized, malformed or out of reach is refused, and changes and tells nothing."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from livekit.protocol import models
from livekit.protocol.webhook import WebhookEvent

from roomkeeper.cli.logs import JsonFormatter
from roomkeeper.control.hooks import MAX_BODY
from roomkeeper.control.sessions import MAX_EVIDENCE
from roomkeeper.control.store.tables import metadata
from roomkeeper.lifecycle.events import ParticipantJoined, RoomStarted, SessionOpened
from roomkeeper.wire import webhooks
from roomkeeper.wire.room_config import room_config
from roomkeeper.wire.tokens import Claims, VideoGrants
from tests.unit.control.serving import ADMIN, ANN, KEY, SECRET, Answer, Site, site, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

TEA = Claims(api_key=KEY, video=VideoGrants(room_admin=True, room="tea"))
COFFEE = Claims(api_key=KEY, video=VideoGrants(room_admin=True, room="coffee"))
WORKER = Claims(api_key=KEY, video=VideoGrants(agent=True))
STRANGER = replace(ANN, video=VideoGrants(room_join=True, room="coffee"))

ADMINS_ONLY = (
    ("POST", "/api/sessions"),
    ("GET", "/api/sessions"),
    ("GET", "/api/sessions/S_1"),
    ("DELETE", "/api/sessions/S_1"),
    ("GET", "/api/sessions/S_1/timeline"),
    ("GET", "/api/sessions/S_1/explain"),
    ("GET", "/api/sessions/S_1/report"),
    ("POST", "/api/sessions/S_1/redeliver"),
    ("GET", "/api/stream"),
    ("POST", "/api/purge"),
    ("POST", "/api/invites"),
    ("POST", "/api/login"),
    ("GET", "/api/sessions/S_1/bundle"),
    ("GET", "/api/doctor"),
    ("GET", "/api/dry-run"),
)
PARTICIPANTS_TOO = (
    ("GET", "/api/sessions/S_1/state"),
    ("POST", "/api/sessions/S_1/end"),
    ("POST", "/api/sessions/S_1/evidence"),
)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as served:
        await served.plane.store.open(SessionOpened(at=0, session="S_1", room="tea", agent_name="interviewer"))
        joined = ParticipantJoined(at=0, sid="PA_1", identity="ann", room_sid="RM_1")
        await served.plane.store.tell("S_1", RoomStarted(at=0, sid="RM_1"), joined)
        yield served


@pytest.fixture
def logged() -> Iterator[Callable[[], str]]:
    """Everything that any part logs meanwhile, at every level, fields included."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(JsonFormatter().format(record))

    handler, root = Keep(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    logging.getLogger("aiosqlite").setLevel(logging.INFO)  # it repeats each statement of the tests themselves
    yield lambda: "\n".join(lines)
    root.removeHandler(handler)
    root.setLevel(level)


async def contents(served: Site) -> list[Any]:
    """Everything that the database holds."""
    held: list[Any] = []
    async with served.plane.engine.connect() as connection:
        for table in metadata.sorted_tables:
            held += [(table.name, *row) for row in (await connection.execute(sa.select(table))).all()]
    return held


def refused(answer: Answer, *statuses: int) -> None:
    assert answer.status in statuses, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == answer.status
    assert answer.json["title"]


def altered(signed: str) -> str:
    head, payload, signature = signed.split(".")
    return f"{head}.{payload}.{signature[:-3]}{'AAA' if signature[-3:] != 'AAA' else 'BBB'}"


FORGERIES = {
    "nobody": None,
    "no token": "x",
    "another secret": token(ADMIN, secret="another"),
    "another key": token(replace(ADMIN, api_key="other")),
    "an altered signature": altered(token(ADMIN)),
    "no signature": token(ADMIN).rpartition(".")[0] + ".",
    "an expired token": token(ADMIN, ttl=10, age=3600),
    "one not valid yet": token(ADMIN, age=-3600),
}


async def test_no_forged_token_opens_anything_and_nothing_is_changed(served: Site, logged: Callable[[], str]) -> None:
    before = await contents(served)
    for method, path in (*ADMINS_ONLY, *PARTICIPANTS_TOO):
        for sent in FORGERIES.values():
            refused(await served(method, path, {} if method == "POST" else None, by=sent), 401)
    assert await contents(served) == before
    for sent in filter(None, FORGERIES.values()):
        assert len(sent) == 1 or sent not in logged()
    assert SECRET not in logged()


async def test_a_token_for_something_else_opens_nothing(served: Site) -> None:
    before = await contents(served)
    for who in (ANN, STRANGER, WORKER):
        for method, path in ADMINS_ONLY:
            refused(await served(method, path, {} if method == "POST" else None, by=who), 403)
    for method, path in PARTICIPANTS_TOO:
        refused(await served(method, path, {} if method == "POST" else None, by=WORKER), 403)
        refused(await served(method, path, {} if method == "POST" else None, by=STRANGER), 404)
    assert await contents(served) == before


async def test_an_administrator_of_one_room_reaches_that_room_only(served: Site) -> None:
    before = await contents(served)
    for method, path in (*ADMINS_ONLY[2:8], *PARTICIPANTS_TOO):
        refused(await served(method, path, {} if method == "POST" else None, by=COFFEE), 404)
    assert (await served("GET", "/api/sessions", by=COFFEE)).json["sessions"] == []
    assert (await served("GET", "/api/sessions?search=tea", by=COFFEE)).json["sessions"] == []
    assert sum((await served("GET", "/api/sessions", by=COFFEE)).json["counts"].values()) == 0
    refused(await served("POST", "/api/purge", {"ended_before": "2100-01-01T00:00:00Z"}, by=TEA), 403)
    refused(await served("POST", "/api/sessions", {"room": "coffee"}, by=TEA), 403)
    assert await contents(served) == before
    assert (await served("GET", "/api/sessions/S_1", by=TEA)).status == 200


async def test_a_participant_reaches_its_own_session_only(served: Site) -> None:
    store = served.plane.store
    await store.open(SessionOpened(at=0, session="S_2", room="coffee"))
    carrying = replace(ANN, attributes={"roomkeeper.session": "S_another"})
    before = await contents(served)
    for method, path in PARTICIPANTS_TOO:
        body: object = {} if method == "POST" else None
        refused(await served(method, path.replace("S_1", "S_2"), body, by=ANN), 404)
        refused(await served(method, path, body, by=carrying), 404)
    assert await contents(served) == before
    assert (await served("GET", "/api/sessions/S_1/state", by=ANN)).json["session"] == "S_1"


@pytest.mark.parametrize("name", ["token", "access_token", "jwt"])
async def test_a_token_in_the_address_is_not_looked_at(served: Site, name: str, logged: Callable[[], str]) -> None:
    sent = token(ADMIN)
    refused(await served("GET", f"/api/sessions?{name}={sent}"), 401)
    assert sent not in logged()


MALFORMED = (b"{", b"[]", b"\xff\xfe", b"[" * 60_000, b'{"a": NaN}', b'{"a": "\\ud800"}', b"null", b"3")


async def test_malformed_and_oversized_calls_change_nothing(served: Site) -> None:
    before = await contents(served)
    posts = ("/api/sessions", "/api/token", "/api/purge", "/api/invites", "/api/sessions/S_1/end")
    for path in (*posts, "/api/sessions/S_1/evidence"):
        for body in MALFORMED:
            # What is nested that deeply is too large for evidence already.
            large = path.endswith("evidence") and len(body) > MAX_EVIDENCE
            refused(await served("POST", path, body, by=ADMIN), 413 if large else 400)
        refused(await served("POST", path, b" " * 70_000, by=ADMIN), 413)
    for path in ("/api/sessions/%00", "/api/sessions/S_%00/state", "/api/sessions/%ff/state", "/api/nothing"):
        refused(await served("GET", path, by=ADMIN), 404)
    for method in ("PUT", "PATCH", "DELETE"):
        refused(await served(method, "/api/token", by=ADMIN), 405)
    assert await contents(served) == before


# Webhooks.


def event(name: str = "participant_joined", number: str = "EV_1") -> WebhookEvent:
    made = WebhookEvent(event=name, id=number, created_at=int(time.time()))
    made.room.CopyFrom(models.Room(sid="RM_9", name="new", metadata=room_config("interviewer").metadata))
    made.participant.CopyFrom(models.ParticipantInfo(sid="PA_9", identity="bob", state=models.ParticipantInfo.ACTIVE))
    return made


def sign(body: bytes, *, secret: str = SECRET, age: float = 0) -> str:
    return webhooks.sign(body, api_key=KEY, secret=secret, now=time.time() - age)


async def hook(served: Site, body: bytes, signature: str | None) -> Answer:
    headers = {"Content-Type": webhooks.CONTENT_TYPE} | ({"Authorization": signature} if signature else {})
    return await served("POST", "/webhooks/livekit", body, headers=headers)


async def test_webhooks_that_livekit_did_not_sign_change_nothing(served: Site, logged: Callable[[], str]) -> None:
    body = webhooks.encode(event())
    before = await contents(served)
    signatures = {
        "unsigned": None,
        "signed by somebody else": sign(body, secret="another"),
        "signed for another body": sign(body + b" "),
        "signed too long ago": sign(body, age=3600),
        "an administrator's token": token(ADMIN),
        "no token": "Bearer x",
    }
    for signature in signatures.values():
        refused(await hook(served, body, signature), 401)
    assert await contents(served) == before
    assert all(signature not in logged() for signature in signatures.values() if signature)
    figures = (await served("GET", "/metrics")).text
    assert f'roomkeeper_webhooks_total{{outcome="refused"}} {len(signatures)}.0' in figures


async def test_signed_nonsense_and_oversized_webhooks_change_nothing(served: Site) -> None:
    before = await contents(served)
    for body in (b"{", b"[]", b"\xff", b'{"event": 3}', b'{"participant": [1]}', b"[" * 60_000):
        refused(await hook(served, body, sign(body)), 400)
    for body in (b"{}", b'{"event": "from_the_future"}', b'{"event": "participant_joined"}'):
        assert (await hook(served, body, sign(body))).json == {"taken": False}
    large = b" " * (MAX_BODY + 1)
    refused(await hook(served, large, sign(large)), 413)
    assert await contents(served) == before


async def test_a_webhook_that_is_played_again_answers_and_changes_nothing(served: Site) -> None:
    body = webhooks.encode(event())
    first = await hook(served, body, sign(body))
    assert (first.status, first.json) == (200, {"taken": True})
    session = await served.plane.store.find("new")
    assert session is not None
    assert [person.identity for person in session.users] == ["bob"]
    before = await contents(served)
    for _ in range(3):
        again = await hook(served, body, sign(body))
        assert (again.status, again.json) == (200, {"taken": False})
    assert await contents(served) == before


async def test_no_answer_and_no_log_holds_a_token_or_a_secret(served: Site, logged: Callable[[], str]) -> None:
    admin, ann = token(ADMIN), token(ANN)
    given = [
        await served("GET", "/api/sessions", by=admin),
        await served("GET", "/api/sessions/S_1", by=admin),
        await served("GET", "/api/sessions/S_1/timeline?events=1", by=admin),
        await served("GET", "/api/sessions/S_1/state", by=ann),
        await served("POST", "/api/sessions/S_1/evidence", {"what": "offline"}, by=ann),
        await served("POST", "/api/sessions/S_1/end", {}, by=ann),
        await served("GET", "/api/sessions/S_1/report", by=admin),
        await served("GET", "/metrics"),
        await served("GET", "/openapi.json"),
    ]
    asked = await served("POST", "/api/token", {"room_name": "other"}, by=admin)
    for text in (*(answer.text + str(answer.headers) for answer in given), str(asked.headers), logged()):
        assert SECRET not in text
        assert admin not in text
        assert ann not in text
        assert asked.json["participant_token"] not in text
    assert SECRET not in asked.text
