"""A running plane looked at by the doctor, bundled, and rehearsing: against a LiveKit server that is played."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, cast

import pytest
import sqlalchemy as sa

from roomkeeper.control.carrier import Carrier
from roomkeeper.control.checkup import Check, Checkup, Health
from roomkeeper.control.dry_run import DryRooms, Rehearsal
from roomkeeper.control.logtail import LogTail
from roomkeeper.control.plane import PlaneConfig, assemble
from roomkeeper.control.receivers import Receiver
from roomkeeper.control.room_api import NotDone
from roomkeeper.control.store.migrate import migrate
from roomkeeper.control.store.tables import told
from roomkeeper.lifecycle.events import EndAsked, ParticipantJoined, RoomStarted, SessionOpened
from roomkeeper.lifecycle.policy import Policy
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import State

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.plane import Plane
    from roomkeeper.control.store.outbox import Outbox
    from roomkeeper.control.store.store import Store
    from tests.unit.control.conftest import Clock

SECRET = "whsec_c2VjcmV0"
KEY = "0123456789abcdef0123456789abcdef"


async def plane_on(engine: AsyncEngine, *, receiver: str = "http://127.0.0.1:1/x") -> Plane:
    async with engine.begin() as connection:
        await connection.execute(sa.text("DROP TABLE IF EXISTS alembic_version"))
    config = PlaneConfig(
        database="",
        livekit_url="http://127.0.0.1:9",
        api_key="devkey",
        api_secret=KEY,
        receivers=(Receiver(receiver, SECRET),),
    )
    return assemble(config, engine)


async def checks(plane: Plane) -> dict[str, Check]:
    return {check.name: check for check in await Checkup(plane).run()}


async def test_a_doctor_finds_what_is_missing_and_says_what_to_do(engine: AsyncEngine) -> None:
    plane = await plane_on(engine, receiver="http://no-such-host.invalid/x")
    try:
        found = await checks(plane)
    finally:
        await plane.rooms.close()
    assert {name: check.health for name, check in found.items()} == {
        "database": Health.FAILED,
        "livekit": Health.FAILED,
        "clocks": Health.FAILED,
        "webhook": Health.WARNING,
        "agent link": Health.WARNING,
        "deliveries": Health.OK,
        "receivers": Health.FAILED,
    }
    assert "LIVEKIT_API_KEY" in found["livekit"].said
    assert "register https://" in found["webhook"].said
    assert "no-such-host.invalid" in found["receivers"].said
    assert SECRET not in str(found)


async def test_a_doctor_is_content_with_what_works(database_url: str) -> None:
    from roomkeeper.control.store.engine import open_engine

    async with open_engine(database_url) as engine:
        await migrate(engine)
        config = PlaneConfig(database="", livekit_url="http://127.0.0.1:9", api_key="devkey", api_secret=KEY)
        plane = assemble(config, engine)
        now = await plane.store.now()
        async with engine.begin() as connection:
            await connection.execute(sa.insert(told).values(source="webhook EV_1", at=now))
        try:
            found = await checks(plane)
        finally:
            await plane.rooms.close()
    assert found["database"].health is Health.OK
    assert found["webhook"].health is Health.OK
    assert found["receivers"].said == "there are none: reports are only kept"


async def test_a_dry_run_decides_and_does_nothing(store: Store, outbox: Outbox, clock: Clock) -> None:
    rehearsal = Rehearsal(clock)
    rooms = DryRooms("http://127.0.0.1:9", "devkey", KEY, rehearsal)
    carrier = Carrier(store, outbox, rooms, cast("Any", None), cast("Any", Nobody()))
    await store.open(SessionOpened(at=0, session="S_1", room="tea", policy=Policy(linger=1)))
    await store.tell("S_1", RoomStarted(at=0, sid="RM_1"), ParticipantJoined(at=0, sid="PA_1", identity="ann"))
    await store.tell("S_1", EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
    for _ in range(4):
        while await carrier.carry_out_due():
            pass
        clock.pass_by(1)
    await rooms.close()
    session = await store.get("S_1")
    assert (session.state, session.room_sid) == (State.ENDED, "RM_1")
    deeds = [(deed["what"], deed["about"]) for deed in rehearsal.plain()]
    assert ("tell the room", "ended operator_ended") in deeds
    assert ("delete the room", "RM_1") in deeds


async def test_a_deed_that_is_wanted_again_is_counted_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    rehearsal = Rehearsal(lambda: 1_800_000_000_000)
    rooms = DryRooms("http://127.0.0.1:9", "devkey", KEY, rehearsal)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            with pytest.raises(NotDone):
                await rooms.remove("tea", "agent")
    await rooms.close()
    [deed] = rehearsal.plain()
    assert (deed["what"], deed["about"], deed["times"]) == ("remove a participant", "agent", 3)
    assert [record.message for record in caplog.records].count("would") == 1


def test_the_tail_of_the_log_keeps_what_is_about_a_session_and_every_warning() -> None:
    tail = LogTail()
    log = logging.getLogger("roomkeeper.test.tail")
    log.setLevel(logging.INFO)
    log.addHandler(tail)
    log.info("session", extra={"session": "S_1"})
    log.info("session", extra={"session": "S_2"})
    log.warning("deed failed", extra={"session": "S_3"})
    assert [json.loads(line)["session"] for line in tail.about("S_1")] == ["S_1", "S_3"]


class Nobody:
    async def emit(self, *_: object) -> None:
        """Nobody listens."""

    async def report(self, *_: object) -> None:
        """Nobody reads."""
