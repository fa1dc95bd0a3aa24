"""What the carrier makes of a look at a room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from roomkeeper.control.carrier import Carrier
from roomkeeper.control.facts import seen
from roomkeeper.lifecycle.events import ControlStarted, EndAsked, RoomFinished, RoomStarted, SessionOpened
from roomkeeper.lifecycle.policy import Policy, Reuse
from roomkeeper.lifecycle.reasons import By, Reason

if TYPE_CHECKING:
    from roomkeeper.control.store.outbox import Outbox, Task
    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.events import RoomSeen
    from roomkeeper.lifecycle.state import Session
    from tests.unit.control.conftest import Clock


class Rooms:
    """A server with one room, which notes what is deleted of it."""

    def __init__(self, sid: str) -> None:
        self.sid = sid
        self.deleted: list[str] = []

    async def look(self, room: str) -> RoomSeen:
        return seen(self.sid, ())

    async def write_state(self, room: str, sid: str, state: object) -> bool:
        return sid == self.sid

    async def delete(self, room: str, *, sid: str, session: str) -> None:
        if sid == self.sid:
            self.deleted.append(sid)


class Nobody:
    async def emit(self, session: Session, action: object) -> None:
        """Nobody listens."""

    async def report(self, session: Session, revision: int) -> None:
        """Likewise."""


@pytest.mark.parametrize(("reuse", "deleted"), [(Reuse.AFTER_END, []), (Reuse.NEVER, ["RM_2"])])
async def test_a_start_sweeps_the_room_of_a_successor_only_if_the_name_may_have_none(
    store: Store, outbox: Outbox, clock: Clock, reuse: Reuse, deleted: list[str]
) -> None:
    rooms, nobody = Rooms("RM_2"), cast("Any", Nobody())
    carrier = Carrier(store, outbox, cast("Any", rooms), nobody, nobody)
    await store.open(SessionOpened(at=0, session="S_1", room="tea", policy=Policy(linger=1, reuse=reuse)))
    await store.tell(
        "S_1",
        RoomStarted(at=0, sid="RM_1"),
        EndAsked(at=0, reason=Reason.COMPLETED, by=By.APP),
        RoomFinished(at=0, sid="RM_1"),
        ControlStarted(at=0),
    )
    for _ in range(4):
        await carrier.carry_out_due()
        clock.pass_by(2)
    assert rooms.deleted == deleted
    assert (await store.get("S_1")).room_sid is None


async def test_an_alarm_that_a_clock_which_steps_back_made_ring_too_early_rings_again(
    store: Store, outbox: Outbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = cast("Any", Nobody())
    carrier = Carrier(store, outbox, cast("Any", Rooms("RM_1")), nobody, nobody)
    await store.open(SessionOpened(at=0, session="S_1", room="tea", policy=Policy(join_timeout=10)))
    while await carrier.carry_out_due():
        pass
    clock.pass_by(10)
    claim = outbox.claim

    async def then_another_clock(most: int) -> list[Task]:
        tasks = await claim(most)
        clock.pass_by(-5)
        return tasks

    monkeypatch.setattr(outbox, "claim", then_another_clock)
    assert await carrier.carry_out_due() == 1
    monkeypatch.undo()
    assert (await store.get("S_1")).look is None
    clock.pass_by(6)
    while await carrier.carry_out_due():
        pass
    assert (await store.get("S_1")).look is not None
