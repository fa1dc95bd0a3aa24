"""Purging: what stays, what goes, and that nothing comes back; on both databases."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from roomkeeper.control import purging
from roomkeeper.control.delivery import Deliveries, Receiver, post
from roomkeeper.control.purging import Purge, Undone
from roomkeeper.control.store.tables import deliveries, metadata, sessions
from roomkeeper.control.stream import Position, Stream
from roomkeeper.lifecycle.events import (
    AgentAttached,
    AgentDone,
    EndAsked,
    EvidenceGiven,
    Noted,
    ParticipantJoined,
    RoomFinished,
    RoomStarted,
    SessionOpened,
)
from roomkeeper.lifecycle.policy import Policy
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import State
from tests.unit.control.serving import ADMIN, ANN, Site, site

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.store.store import Store
    from tests.unit.control.conftest import Clock

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PERSONAL = ("Ann Smith", "ann-smith", "my secret hobby", "RM_1", "AJ_1", "hobby.example", "call me ann")


async def talked(store: Store, session: str = "S_1", room: str = "interview-ann-smith") -> None:
    """Have a session with personal data in every corner, and end it."""
    opened = SessionOpened(
        at=0,
        session=session,
        room=room,
        agent_name="interviewer",
        host="ann-smith",
        metadata='{"name": "Ann Smith"}',
        policy=Policy(counts=("identity:ann-smith",)),
    )
    await store.open(opened)
    await store.tell(
        session,
        RoomStarted(at=0, sid="RM_1"),
        ParticipantJoined(at=0, sid="PA_1", identity="ann-smith", room_sid="RM_1"),
        AgentAttached(at=0, job="AJ_1", identity="agent-AJ_1"),
        ParticipantJoined(at=0, sid="PA_2", identity="agent-AJ_1", room_sid="RM_1"),
        Noted(at=0, job="AJ_1", seq=1, what="item", data={"text": "my secret hobby"}),
        EvidenceGiven(at=0, identity="ann-smith", what="error", data={"url": "hobby.example"}),
        EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR, detail="call me ann", data={"x": "Ann Smith"}),
    )


async def settle(store: Store, engine: AsyncEngine, session: str = "S_1") -> None:
    """Let the room go, and everything be done."""
    await store.tell(session, RoomFinished(at=0, sid="RM_1"), AgentDone(at=0, job="AJ_1"))
    async with engine.begin() as connection:
        await connection.execute(sa.text("DELETE FROM outbox"))


async def everything(engine: AsyncEngine) -> str:
    """Return all that the database holds, as text."""
    held: list[str] = []
    async with engine.connect() as connection:
        for table in metadata.sorted_tables:
            held += [repr(tuple(row)) for row in (await connection.execute(sa.select(table))).all()]
    return "\n".join(held)


async def test_nothing_personal_is_left_and_the_end_stays_counted(store: Store, engine: AsyncEngine) -> None:
    stream = Stream(store, engine)
    await talked(store)
    await settle(store, engine)
    before = await store.get("S_1")
    await stream.emit(before, "session.ended", {"seq": 1})
    letter = {"id": "msg_1", "session": "S_1", "receiver": "r", "type": "t", "body": "Ann Smith", "tries": 1}
    times = {"created_at": 1, "due_at": 1, "delivered_at": 2, "claimed_until": 0}
    async with engine.begin() as connection:
        await connection.execute(sa.insert(deliveries).values(letter | times))
    held = await everything(engine)
    assert [word for word in PERSONAL if word not in held] == []

    left = await Purge(store, engine, stream).purge("S_1")
    held = await everything(engine)
    assert [word for word in PERSONAL if word in held] == []
    stored = await store.get("S_1")
    assert stored == left
    assert stored.end is not None
    assert (stored.state, stored.end.reason, stored.end.at) == (
        State.ENDED,
        Reason.OPERATOR_ENDED,
        before.end and before.end.at,
    )
    assert (stored.opened_at, stored.ended_at, stored.agent_name) == (before.opened_at, before.ended_at, "interviewer")
    # Whoever compares summaries must not take the one that was purged for an earlier one.
    assert (stored.seq, stored.attendance) == (before.seq, before.attendance)
    assert stored.attendance > 0
    assert await store.find("interview-ann-smith") is None
    assert [each.topic for each in await stream.after(Position())] == ["session.purged"]


async def test_facts_that_come_later_are_dropped_and_purging_again_changes_nothing(
    store: Store, engine: AsyncEngine, clock: Clock
) -> None:
    purge = Purge(store, engine, Stream(store, engine))
    await talked(store)
    await settle(store, engine)
    left = await purge.purge("S_1")
    told = await store.tell("S_1", Noted(at=0, job="AJ_1", seq=2, what="item", data={"text": "my secret hobby"}))
    assert (told.session, told.actions) == (left, ())
    clock.pass_by(60)
    assert await purge.purge("S_1") == left
    assert await store.journal("S_1") == []
    assert "hobby" not in await everything(engine)


async def test_what_goes_on_or_is_not_done_stays(store: Store, engine: AsyncEngine) -> None:
    purge = Purge(store, engine, Stream(store, engine))
    await store.open(SessionOpened(at=0, session="S_0", room="open"))
    with pytest.raises(Undone, match="end it first"):
        await purge.purge("S_0", force=True)
    await talked(store)
    await store.tell("S_1", AgentDone(at=0, job="AJ_1"))
    with pytest.raises(Undone, match="on its way"):
        await purge.purge("S_1")
    assert len(await store.journal("S_1")) > 1
    assert (await purge.purge("S_1", force=True)).purged_at is not None


async def test_sessions_are_purged_by_age(store: Store, engine: AsyncEngine, clock: Clock) -> None:
    purge = Purge(store, engine, Stream(store, engine))
    for number in range(3):
        await talked(store, f"S_{number}", f"room-{number}")
        await settle(store, engine, f"S_{number}")
        clock.pass_by(3600)
    ends = [(await store.get(f"S_{number}")).ended_at or 0 for number in range(3)]
    assert await purge.aged(ends[2]) == ["S_0", "S_1"]
    assert await purge.aged(ends[2], most=1) == ["S_0"]
    await purge.purge("S_0")
    assert await purge.aged(ends[2]) == ["S_1"]
    async with engine.connect() as connection:
        rooms = set((await connection.execute(sa.select(sessions.c.room))).scalars())
    assert rooms == {"S_0", "room-1", "room-2"}


async def test_what_is_not_done_keeps_nothing_that_ended_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "AT_ONCE", 2)
    async with site(tmp_path) as served:
        store, engine = served.plane.store, served.plane.engine
        for number in range(5):
            await talked(store, f"S_{number}", f"room-{number}")
            await settle(store, engine, f"S_{number}")
        letter = {"receiver": "gone", "type": "t", "body": "", "created_at": 1, "due_at": 1}
        async with engine.begin() as connection:
            for number in range(3):
                row = {"id": f"msg_{number}", "session": f"S_{number}", **letter}
                await connection.execute(sa.insert(deliveries).values(row))
        far = {"ended_before": "2100-01-01T00:00:00Z"}
        first = (await served("POST", "/api/purge", far, by=ADMIN)).json
        assert first == {"purged": 2, "not_done": 3, "more": True}
        assert (await served("POST", "/api/purge", far, by=ADMIN)).json == {"purged": 0, "not_done": 3, "more": False}


async def test_what_was_under_way_when_a_session_was_purged_brings_nothing_back(
    store: Store, engine: AsyncEngine
) -> None:
    stream = Stream(store, engine)
    outgoing = Deliveries(store, engine, [Receiver("http://127.0.0.1:1/", SECRET, ("session.*",))], post)
    await talked(store)
    await settle(store, engine)
    before = await store.get("S_1")
    await Purge(store, engine, stream).purge("S_1", force=True)
    await outgoing.report(before, 1)  # by a carrier that read the session before it was purged
    await outgoing.emit(before, "session.live", {"seq": 1})
    await stream.emit(before, "session.live", {"seq": 1})
    held = await everything(engine)
    assert [word for word in PERSONAL if word in held] == []
    assert "msg_" not in held


async def test_a_report_that_is_written_while_its_session_is_purged_is_deleted_or_never_there(
    store: Store, engine: AsyncEngine
) -> None:
    stream = Stream(store, engine)
    outgoing = Deliveries(store, engine, [Receiver("http://127.0.0.1:1/", SECRET)], post)
    for number in range(8):
        name = f"S_{number}"
        await talked(store, name, f"room-{number}")
        await settle(store, engine, name)
        before = await store.get(name)
        purge = Purge(store, engine, stream)
        await asyncio.gather(purge.purge(name, force=True), outgoing.report(before, 1), stream.emit(before, "x", {}))
    held = await everything(engine)
    assert [word for word in PERSONAL if word in held] == []


async def test_the_api_purges_and_says_of_a_purged_session_that_it_was(tmp_path: Path) -> None:
    async with site(tmp_path) as served:
        await talked(served.plane.store, "S_1", "tea")
        assert (await served("DELETE", "/api/sessions/S_1", by=ADMIN)).status == 409
        await settle(served.plane.store, served.plane.engine)
        for who, status in ((None, 401), (ANN, 403)):
            assert (await served("DELETE", "/api/sessions/S_1", by=who)).status == status
        purged = await served("DELETE", "/api/sessions/tea", by=ADMIN)
        assert (purged.status, purged.json["session"]) == (200, "S_1")
        assert (await served("DELETE", "/api/sessions/S_1", by=ADMIN)).json == purged.json
        assert (await served("DELETE", "/api/sessions/tea", by=ADMIN)).status == 404
        for what in ("timeline", "explain", "report", "bundle"):
            assert (what, (await served("GET", f"/api/sessions/S_1/{what}", by=ADMIN)).status) == (what, 410)
        shown = (await served("GET", "/api/sessions/S_1", by=ADMIN)).json
        assert (shown["purged_at"], shown["reason"], shown["detail"]) == (
            purged.json["purged_at"],
            "operator_ended",
            None,
        )
        listed = (await served("GET", "/api/sessions", by=ADMIN)).json["sessions"]
        assert [(line["id"], line["room"]) for line in listed] == [("S_1", "S_1")]


async def test_the_api_purges_by_age(tmp_path: Path) -> None:
    async with site(tmp_path) as served:
        await ended(served, "S_1")
        far = {"ended_before": "2100-01-01T00:00:00Z"}
        for wrong in ({}, {"ended_before": "yesterday"}, {"ended_before": "2100-01-01"}, {"ended_before": 1}):
            assert (await served("POST", "/api/purge", wrong, by=ADMIN)).status == 400
        assert (await served("POST", "/api/purge", far, by=ANN)).status == 403
        early = await served("POST", "/api/purge", {"ended_before": "2000-01-01T00:00:00+00:00"}, by=ADMIN)
        assert early.json == {"purged": 0, "not_done": 0, "more": False}
        assert (await served("POST", "/api/purge", far, by=ADMIN)).json["purged"] == 1


async def test_a_token_of_a_purged_session_stays_useless(tmp_path: Path) -> None:
    async with site(tmp_path) as served:
        given: dict[str, Any] = (await served("POST", "/api/token", {"room_name": "tea"}, by=ADMIN)).json
        await ended(served, given["session"])
        await served("DELETE", f"/api/sessions/{given['session']}", by=ADMIN)
        again = await served("POST", "/api/token", {"room_name": "tea"}, by=ADMIN)
        assert (again.status, again.json["session"]) == (410, given["session"])
        assert "participant_token" not in json.dumps(again.json)


async def ended(served: Site, session: str) -> None:
    """Have a session that has ended, with nothing left to do."""
    store = served.plane.store
    await store.open(SessionOpened(at=0, session=session, room="tea", agent_name="interviewer"))
    await store.tell(session, EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
    async with served.plane.engine.begin() as connection:
        await connection.execute(sa.text("DELETE FROM outbox"))
