"""The API of sessions over real sockets, on both databases."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import aiohttp
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from roomkeeper.control.allowance import Allowance
from roomkeeper.control.bodies import MAX_BODY
from roomkeeper.control.carrier import Carrier
from roomkeeper.control.delivery import Deliveries, Receiver
from roomkeeper.control.listing import Listing
from roomkeeper.control.problems import EXCEPTION_HANDLERS
from roomkeeper.control.sessions import EVIDENCE_A_MINUTE, MAX_EVIDENCE, Sessions
from roomkeeper.lifecycle.events import AgentAttached, EgressStarted, EndAsked, ParticipantJoined, RoomStarted
from roomkeeper.lifecycle.events import SessionOpened as Opened
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.vocabulary import ParticipantKind
from roomkeeper.wire.tokens import Claims, VideoGrants, mint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.store.outbox import Outbox
    from roomkeeper.control.store.store import Store
    from tests.unit.control.conftest import Clock

KEYS = {"devkey": "secret"}
ALL = Claims(api_key="devkey", video=VideoGrants(room_admin=True))
TEA = Claims(api_key="devkey", video=VideoGrants(room_admin=True, room="tea"))
ANN = Claims(api_key="devkey", identity="ann", video=VideoGrants(room_join=True, room="tea"))
BOB = replace(ANN, identity="bob")
ELSEWHERE = replace(ANN, video=VideoGrants(room_join=True, room="coffee"))


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass
class Api:
    """The API as its callers see it."""

    address: str
    http: aiohttp.ClientSession

    async def __call__(
        self, method: str, path: str, claims: Claims | None = ALL, body: object = None, *, age: float = 0
    ) -> Answer:
        headers = {}
        if claims is not None:
            token = mint(claims, secret="secret", now=time.time() - age, ttl=3600)
            headers["Authorization"] = f"Bearer {token}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        async with self.http.request(method, f"{self.address}{path}", headers=headers, data=data) as answer:
            text = await answer.text()
            assert "eyJ" not in text
            assert "secret" not in text.replace("the secret of its API key", "")
            return Answer(answer.status, answer.headers, json.loads(text))


async def never(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    return 500


@pytest.fixture
def deliveries(store: Store, engine: AsyncEngine) -> Deliveries:
    return Deliveries(store, engine, [Receiver("http://127.0.0.1:1/x", "whsec_c2VjcmV0")], never)


@pytest.fixture
async def api(store: Store, engine: AsyncEngine, outbox: Outbox, deliveries: Deliveries) -> AsyncIterator[Api]:
    carrier = Carrier(store, outbox, cast("Any", None), cast("Any", None), cast("Any", None))  # only ever woken
    sessions = Sessions(store, Listing(store, engine), carrier, deliveries, outbox, KEYS)
    app = Starlette(routes=[Mount("/api", routes=sessions.routes())], exception_handlers=EXCEPTION_HANDLERS)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as http:
        yield Api(f"http://127.0.0.1:{port}/api/sessions", http)
    server.should_exit = True
    await task


async def talk(store: Store, session: str = "S_1", room: str = "tea", generation: int = 1) -> str:
    """Open a session that is live, with ann as its host."""
    await store.open(Opened(at=0, session=session, room=room, generation=generation, agent_name="interviewer"))
    agent = ParticipantJoined(at=0, sid=f"PA_a{session}", identity="agent", kind=ParticipantKind.AGENT)
    await store.tell(
        session,
        RoomStarted(at=0, sid=f"RM_{session}"),
        ParticipantJoined(at=0, sid=f"PA_u{session}", identity="ann"),
        AgentAttached(at=0, job=f"AJ_{session}", identity="agent"),
        agent,
        EgressStarted(at=0, egress=f"EG_{session}"),
    )
    return session


async def test_everybody_reads_the_same_state(api: Api, store: Store) -> None:
    await talk(store)
    answers = [await api("GET", "/S_1/state", who) for who in (ALL, TEA, ANN, BOB)]
    assert [answer.status for answer in answers] == [200] * 4
    assert all(answer.body == answers[0].body for answer in answers)
    assert (answers[0].body["session"], answers[0].body["state"], answers[0].body["reason"]) == ("S_1", "live", None)
    assert answers[0].headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["S_1", "a%2Froom%3Fwith%20marks", "RM_S_1", "AJ_S_1", "EG_S_1"])
async def test_a_session_has_many_names(api: Api, store: Store, name: str) -> None:
    await talk(store, room="a/room?with marks")
    assert (await api("GET", f"/{name}/state")).body["session"] == "S_1"
    assert (await api("GET", f"/{name}")).body["room"] == "a/room?with marks"


async def test_a_page_that_wakes_up_days_later_still_learns_why(api: Api, store: Store) -> None:
    await talk(store)
    await store.tell("S_1", EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
    late = await api("GET", "/S_1/state", ANN, age=6 * 86400)
    assert (late.status, late.body["session"]) == (200, "S_1")
    assert (await api("GET", "/S_1/state", ANN, age=8 * 86400)).status == 401
    assert (await api("POST", "/S_1/end", ANN, {}, age=6 * 86400)).status == 401


async def test_what_is_out_of_reach_does_not_exist(api: Api, store: Store) -> None:
    await talk(store)
    await talk(store, "S_2", "coffee")
    for who in (TEA, ANN):
        assert (await api("GET", "/S_2/state", who)).status == 404
        assert (await api("POST", "/S_2/end", who, {})).status == 404
        assert (await api("POST", "/S_2/evidence", who, {"what": "offline"})).status == 404
    nothing, foreign = await api("GET", "/nothing/state", ELSEWHERE), await api("GET", "/S_1/state", ELSEWHERE)
    assert nothing.body == foreign.body
    assert nothing.headers["content-type"] == "application/problem+json"
    assert len(await store.journal("S_2")) == 6


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/S_1"),
        ("GET", "/S_1/timeline"),
        ("GET", "/S_1/report"),
        ("GET", "/S_1/explain"),
        ("POST", "/S_1/redeliver"),
    ],
)
async def test_participants_and_strangers_get_nothing_that_is_for_administrators(
    api: Api, store: Store, method: str, path: str
) -> None:
    await talk(store)
    assert (await api(method, path, ANN)).status == 403
    assert (await api(method, path, None)).status == 401
    other = replace(TEA, video=VideoGrants(room_admin=True, room="coffee"))
    answer = await api(method, path, other)
    assert answer.status == 404 if path else (answer.body["sessions"], answer.body["cursor"]) == ([], None)


async def test_the_host_ends_it_once_and_is_told_the_same_again(api: Api, store: Store) -> None:
    await talk(store)
    first = await api("POST", "/S_1/end", ANN, {"detail": "I am done"})
    assert (first.status, first.body["reason"], first.body["by"]) == (200, "user_ended", "user")
    assert first.body["state"] == "ending"
    lines = len(await store.journal("S_1"))
    again = await api("POST", "/S_1/end", ALL, {"reason": "operator_ended"})
    assert (again.status, again.body["reason"], again.body["detail"]) == (200, "user_ended", "I am done")
    assert len(await store.journal("S_1")) == lines


async def test_a_guest_may_only_leave(api: Api, store: Store) -> None:
    await talk(store)
    refused = await api("POST", "/S_1/end", BOB, {})
    assert refused.status == 403
    assert "ends_for_all = host: bob may only leave" in refused.body["detail"]
    assert (await api("POST", "/S_1/end", ANN, {"reason": "completed"})).status == 403
    assert (await store.get("S_1")).end is None


@pytest.mark.parametrize(("reason", "by"), [(None, By.OPERATOR), ("removed", By.OPERATOR), ("completed", By.APP)])
async def test_an_administrator_ends_it_with_any_reason(api: Api, store: Store, reason: str | None, by: By) -> None:
    await talk(store)
    body = {"detail": "…", "data": {"score": 4}} | ({"reason": reason} if reason else {})
    answer = await api("POST", "/tea/end", TEA, body)
    assert (answer.status, answer.body["reason"]) == (200, reason or "operator_ended")
    asked = (await store.journal("S_1"))[-1]
    assert isinstance(asked, EndAsked)
    assert (asked.by, asked.data) == (by, {"score": 4})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"data": NaN}', 400),
        (b'{"detail": "\\ud800"}', 400),
        (b'{"detail": 1}', 400),
        (b'{"reason": "boredom"}', 400),
        (b'{"reason": ["completed"]}', 400),
        (b"[" * 100_000, 413),
        (b"[" * 60_000, 400),
        (b'{"detail": "' + b"x" * 1001 + b'"}', 400),
        (b" " * (MAX_BODY + 1), 413),
    ],
)
async def test_malformed_and_oversized_bodies_change_nothing(api: Api, store: Store, body: bytes, status: int) -> None:
    await talk(store)
    answer = await api("POST", "/S_1/end", ALL, body)
    assert (answer.status, answer.body["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(await store.journal("S_1")) == 6


async def test_evidence_is_kept_as_the_callers_own(api: Api, store: Store) -> None:
    await talk(store)
    given = {"what": "offline", "data": {"for": 3}, "said_at": 17, "identity": "somebody else"}
    assert (await api("POST", "/S_1/evidence", ANN, given)).status == 202
    last: Any = (await store.journal("S_1"))[-1]
    assert (last.identity, last.what, last.data, last.said_at) == ("ann", "offline", {"for": 3}, 17)
    for wrong in ({}, {"what": "x" * 65}, {"what": "x", "data": []}, {"what": "x", "said_at": "now"}):
        assert (await api("POST", "/S_1/evidence", ANN, wrong)).status == 400


async def test_evidence_is_no_place_to_store_things(api: Api, store: Store) -> None:
    await talk(store)
    said = {"what": "error", "data": {"text": "x" * MAX_EVIDENCE}}
    assert (await api("POST", "/S_1/evidence", ANN, said)).status == 413


async def test_a_browser_that_says_too_much_is_stopped(api: Api, store: Store) -> None:
    await talk(store)
    said = [(await api("POST", "/S_1/evidence", ANN, {"what": "offline"})).status for _ in range(EVIDENCE_A_MINUTE + 1)]
    assert (said[:-1], said[-1]) == ([202] * EVIDENCE_A_MINUTE, 429)
    assert (await api("POST", "/S_1/evidence", BOB, {"what": "offline"})).status == 202


def test_an_allowance_comes_back_with_time() -> None:
    now = 0.0
    allowance = Allowance(2, 60, clock=lambda: now)
    taken = []
    for now in (0, 1, 2, 60, 60.5, 61):  # noqa: B007 - the clock reads it
        taken.append(allowance.take("ann"))  # noqa: PERF401 - as above
    assert taken == [True, True, False, True, False, True]
    now = 1000
    assert allowance.take("bob")
    assert list(allowance._taken) == ["bob"]


async def test_sessions_come_in_pages_newest_first(api: Api, store: Store, clock: Clock) -> None:
    for number in range(5):
        await talk(store, f"S_{number}", f"room {number // 2}", number % 2 + 1)
        clock.pass_by(number % 2)  # some in the same millisecond
    await store.tell("S_0", EndAsked(at=0, reason=Reason.REMOVED, by=By.OPERATOR))
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api("GET", f"?limit=2&cursor={quote(cursor)}")).body
        seen += [session["id"] for session in page["sessions"]]
        assert len(page["sessions"]) <= 2
        cursor = page["cursor"]
    assert sorted(seen) == [f"S_{number}" for number in range(5)]
    assert seen[0] == "S_4"

    async def ids(query: str, who: Claims = ALL) -> list[str]:
        return sorted(session["id"] for session in (await api("GET", query, who)).body["sessions"])

    assert await ids("?room=room%201") == ["S_2", "S_3"]
    assert await ids("?state=open") == ["S_0", "S_1", "S_2", "S_3", "S_4"]
    assert await ids("?state=ended") == []
    assert await ids("?state=live") == ["S_1", "S_2", "S_3", "S_4"]
    assert await ids("?state=ending") == ["S_0"]
    own = replace(TEA, video=VideoGrants(room_admin=True, room="room 2"))
    assert await ids("", own) == ["S_4"]
    assert await ids("?room=room%201", own) == []


async def test_sessions_are_found_by_agent_reason_and_any_part_of_a_name_and_are_counted(
    api: Api, store: Store, clock: Clock
) -> None:
    await talk(store, "S_1", "Interview 50%")
    await talk(store, "S_2", "interview 501")
    await store.open(Opened(at=0, session="S_3", room="tea", agent_name="butler"))
    await store.tell("S_3", EndAsked(at=0, reason=Reason.REMOVED, by=By.OPERATOR))

    async def ids(query: str) -> list[str]:
        return sorted(session["id"] for session in (await api("GET", query)).body["sessions"])

    assert await ids("?agent=butler") == await ids("?reason=removed") == ["S_3"]
    assert await ids("?search=INTERVIEW") == ["S_1", "S_2"]
    assert await ids("?search=50%25") == ["S_1"]  # no wildcard
    assert await ids("?search=butl") == ["S_3"]
    assert await ids("?search=RM_S_2") == await ids("?search=S_2") == ["S_2"]
    assert await ids("?search=nothing&state=open") == []

    counts = (await api("GET", "?state=ended&limit=1")).body["counts"]
    assert counts == {"waiting": 0, "live": 2, "holding": 0, "recovering": 0, "ending": 0, "ended": 1}
    clock.pass_by(25 * 3600)
    counts = (await api("GET", "")).body["counts"]
    assert (counts["live"], counts["ended"]) == (2, 0)


@pytest.mark.parametrize(
    "query", ["?limit=0", "?limit=201", "?limit=x", "?limit=99999", "?state=gone", "?cursor=1", "?reason=x"]
)
async def test_a_filter_that_is_none_is_refused(api: Api, query: str) -> None:
    assert (await api("GET", query)).status == 400


async def test_one_session_shows_what_is_still_to_be_done(api: Api, store: Store) -> None:
    await talk(store)
    shown = (await api("GET", "/S_1")).body
    assert (shown["state"], shown["users"], shown["agent"]) == ("live", ["ann"], "agent")
    assert shown["room_sids"] == ["RM_S_1"]
    assert {person["identity"] for person in shown["participants"]} == {"ann", "agent"}
    assert any(deed["kind"] == "WriteRoomState" for deed in shown["deeds"])
    assert shown["policy"]["hold.web"] == 300


async def test_the_report_is_there_when_it_has_ended(
    api: Api, store: Store, deliveries: Deliveries, clock: Clock
) -> None:
    await store.open(Opened(at=0, session="S_1", room="tea"))
    assert (await api("GET", "/S_1/report")).status == 409
    ended = (await store.tell("S_1", EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))).session
    report = await api("GET", "/S_1/report")
    assert (report.status, report.body["reason"], report.body["revision"]) == (200, "operator_ended", 1)

    await deliveries.report(ended, 1)
    await deliveries.deliver_due()
    clock.pass_by(80 * 3600)
    await deliveries.deliver_due()
    [delivery] = (await api("GET", "/S_1")).body["deliveries"]
    assert delivery["parked_at"] is not None
    again = await api("POST", "/S_1/redeliver")
    assert (again.status, again.body["deliveries"]) == (202, 1)
    [delivery] = (await api("GET", "/S_1")).body["deliveries"]
    assert (delivery["parked_at"], delivery["tries"]) == (None, 0)


async def test_an_explanation_and_a_timeline_are_in_words(api: Api, store: Store) -> None:
    await talk(store)
    await api("POST", "/S_1/end", ANN, {})
    why = (await api("GET", "/S_1/explain")).body
    assert why["because"] == "ann pressed End"
    assert why["decisive"]["words"] == "user ann asked to end it as user_ended"
    assert why["text"].startswith("S_1 in room tea is ending: user_ended")
    timeline = (await api("GET", "/S_1/timeline")).body
    assert [line["event"] for line in timeline["timeline"]][:2] == ["SessionOpened", "RoomStarted"]
    assert "events" not in why.keys() | timeline.keys()


async def test_an_explanation_has_lanes_and_if_asked_everything_that_happened(api: Api, store: Store) -> None:
    await talk(store)
    why = (await api("GET", "/S_1/explain?events=1")).body
    assert [(span["lane"], span["kind"], span["to"]) for span in why["lanes"] if span["to"] is None] == [
        ("room", "room", None),
        ("ann", "person", None),
        ("epoch 1", "epoch", None),
        ("state", "live", None),
        ("agent", "agent", None),
        ("recording", "recording", None),
    ]
    assert why["lanes"][0]["kind"] == "waiting"
    assert why["events"] == (await api("GET", "/S_1/timeline?events=1")).body["events"]
    assert [event["type"] for event in why["events"]][:3] == ["SessionOpened", "RoomStarted", "ParticipantJoined"]


async def test_names_that_no_database_takes_are_just_not_found(api: Api) -> None:
    for name in ("%00", "S_%00/state", "%ff/state", "%F0%9F%8D%B5/state"):
        assert (await api("GET", f"/{name}")).status == 404
    assert (await api("GET", "?room=%00")).body["sessions"] == []
    assert (await api("GET", "?search=%00")).body["sessions"] == []


async def test_a_report_that_was_given_up_after_three_days_is_shown_and_sent_again_by_command(
    api: Api, store: Store, engine: AsyncEngine, deliveries: Deliveries, clock: Clock
) -> None:
    await talk(store)
    other = await talk(store, "S_2", "coffee")
    session = (await store.tell("S_1", EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))).session
    await deliveries.report(session, 1)
    for _ in range(80):
        await deliveries.deliver_due()
        clock.pass_by(3600)
    [given_up] = (await api("GET", "?state=parked")).body["sessions"]
    assert (given_up["id"], given_up["parked"]) == ("S_1", 1)
    lines = (await api("GET", "")).body["sessions"]
    assert {line["id"]: line["parked"] for line in lines} == {"S_1": 1, other: 0}
    [letter] = (await api("GET", "/S_1")).body["deliveries"]
    assert (letter["error"], letter["parked_at"] is not None) == ("HTTP 500", True)

    again = await api("POST", "/S_1/redeliver", body={})
    assert (again.status, again.body["deliveries"]) == (202, 1)
    got: list[str] = []

    async def up(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        got.append(headers["webhook-id"])
        return 200

    await Deliveries(store, engine, [Receiver("http://127.0.0.1:1/x", "whsec_c2VjcmV0")], up).deliver_due()
    assert got == [letter["id"]]
    assert (await api("GET", "?state=parked")).body["sessions"] == []
