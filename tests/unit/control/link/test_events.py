"""Lines of spools: each once, those that move the session move it, and what is wrong with them harms nobody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from roomkeeper.control.report import build
from roomkeeper.lifecycle.events import EndAsked, Noted
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.replay import replay
from roomkeeper.lifecycle.state import State
from roomkeeper.wire import link
from tests.unit.control.link.scripted import item, line

if TYPE_CHECKING:
    from tests.unit.control.link.conftest import Replica

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def test_a_frame_is_stored_in_one_transaction_and_acknowledged_after_it(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    assert await worker.ship([item(1), line(2, "usage", total=3), item(3)]) == 3
    assert await one.notes() == [("AJ_1", 1, "item"), ("AJ_1", 2, "usage"), ("AJ_1", 3, "item")]
    noted = [event for event in await one.store.journal("S_1") if isinstance(event, Noted)]
    assert len({event.at for event in noted}) == 1
    assert [event.said_at for event in noted] == [1_700_000_000_001, 1_700_000_000_002, 1_700_000_000_003]
    assert replay(await one.store.journal("S_1")) == await one.session()


@sqlite_only
async def test_lines_that_come_again_are_acknowledged_and_kept_once(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    await worker.ship([item(1), item(2)])
    before = await one.told()
    assert await worker.ship([item(1), item(2)]) == 2
    assert await one.told() == before
    worker.vanish()
    again = await one.worker()
    await again.attached()
    assert await again.ship([item(2), item(3)]) == 3
    assert [seq for _, seq, _ in await one.notes()] == [1, 2, 3]


@sqlite_only
async def test_a_frame_that_leaves_a_gap_waits_for_the_lines_before_it(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    assert await worker.ship([item(1)]) == 1
    assert await worker.ship([item(4)]) == 1
    assert await worker.ship([item(2), item(3), item(4)]) == 4
    assert [seq for _, seq, _ in await one.notes()] == [1, 2, 3, 4]


@sqlite_only
async def test_a_gap_that_is_insisted_on_is_taken_and_shown_in_the_report(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    assert await worker.ship([item(3)]) == 0
    assert await worker.ship([item(3)]) == 3
    await worker.over(link.Lost(job="AJ_1"))
    await one.store.tell("S_1", EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
    assert build(await one.store.journal("S_1"), 1)["gaps"] == [{"job": "AJ_1", "from": 1, "to": 2}]


@sqlite_only
async def test_jobs_of_one_worker_do_not_wait_for_each_other(one: Replica) -> None:
    worker = await one.worker()
    jobs = [f"AJ_{number}" for number in range(20)]
    for job in jobs:
        await worker.attached(job, f"room-{job}", room_sid=f"RM_{job}")
    for job in jobs:
        await worker.say(link.Events(job=job, epoch=1, events=(item(1), item(2))))
    acks = {(await worker.hear(link.Ack)).job for _ in jobs}
    assert acks == set(jobs)


# What moves the session.


async def test_the_agents_end_is_decided_with_its_line_and_over_with_its_goodbye(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    data = {"reason": "completed", "detail": "all questions asked", "data": {"score": 7}, "by": "tool"}
    await worker.ship([item(1), line(2, "end", **data)])
    session = await one.session()
    assert session.state is State.ENDING
    assert session.end is not None
    assert (session.end.reason, session.end.detail, session.end.data) == (
        Reason.COMPLETED,
        "all questions asked",
        {"score": 7},
    )
    await worker.ship([line(3, "goodbye_over", heard="Bye")])
    assert (await one.session()).state is State.ENDED
    assert (await worker.over(link.Done(job="AJ_1"))) == link.Ack(job="AJ_1", seq=3, over=True)
    session = await one.session()
    assert (session.report, session.unreported) == (1, False)
    assert await one.notes() == [("AJ_1", 1, "item"), ("AJ_1", 2, "end"), ("AJ_1", 3, "goodbye_over")]


@sqlite_only
async def test_an_end_for_no_known_reason_is_a_line_and_is_refused(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    assert await worker.ship([line(1, "end", reason="bored")]) == 1
    assert await worker.hear(link.Refused) == link.Refused(why="'bored' is no reason to end", job="AJ_1")
    assert (await one.session()).state is State.LIVE
    assert await one.notes() == [("AJ_1", 1, "end")]
    assert await worker.ship([item(2)]) == 2


@sqlite_only
async def test_a_worker_without_spools_asks_for_the_end_in_a_frame(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    await worker.say(link.End(job="AJ_1", reason="nonsense"))
    assert (await worker.hear(link.Refused)).job == "AJ_1"
    await worker.say(link.End(job="AJ_1", reason="completed", detail="x" * 5000))
    await worker.over(link.Done(job="AJ_1"))
    session = await one.session()
    assert session.end is not None
    assert (session.state, session.end.reason, len(session.end.detail or "")) == (State.ENDED, Reason.COMPLETED, 1000)


@sqlite_only
async def test_a_fenced_job_decides_nothing_and_is_kept(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    await worker.attach("AJ_2")
    lines = [
        line(1, "end", reason="completed"),
        line(2, "room", event="participant_disconnected", sid="PA_ann", identity="ann", reason="CLIENT_INITIATED"),
    ]
    assert await worker.ship(lines, "AJ_2") == 2
    assert (await one.session()).state is State.LIVE
    assert await one.notes() == [("AJ_2", 1, "end"), ("AJ_2", 2, "room")]


@sqlite_only
async def test_what_the_job_in_charge_sees_in_its_room_is_believed(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    gone = {"sid": "PA_ann", "identity": "ann", "kind": "STANDARD", "reason": "CONNECTION_TIMEOUT"}
    await worker.ship([line(1, "room", event="participant_disconnected", **gone)])
    session = await one.session()
    assert session.state is State.HOLDING
    assert session.absent[0].cause is Reason.USER_LOST
    back = {"sid": "PA_ann2", "identity": "ann", "kind": "STANDARD"}
    await worker.ship([line(2, "room", event="participant_connected", **back)])
    assert (await one.session()).state is State.LIVE
    # What a webhook tells, too, is known then.
    await worker.ship(
        [
            line(3, "room", event="participant_connected", **back),
            line(4, "room", event="participant_disconnected", **gone),
        ]
    )
    assert (await one.session()).state is State.LIVE


@sqlite_only
@pytest.mark.parametrize(
    "data",
    [
        {"event": "participant_disconnected", "sid": 7, "identity": "ann", "reason": "CLIENT_INITIATED"},
        {"event": "participant_disconnected", "sid": "PA_ann", "reason": "CLIENT_INITIATED"},
        {"event": "participant_disconnected", "sid": "", "identity": "ann", "reason": "CLIENT_INITIATED"},
        {"event": "participant_disconnected", "sid": "PA\x00", "identity": "ann", "reason": "CLIENT_INITIATED"},
        {"event": "sang", "sid": "PA_ann", "identity": "ann"},
        # The job's own connection was made anew.
        {"event": "participant_disconnected", "sid": "PA_ann", "identity": "ann", "reason": "UNKNOWN_REASON"},
        {"event": "participant_disconnected", "sid": "PA_ann", "identity": "ann"},
        {},
    ],
)
async def test_a_line_about_the_room_that_makes_no_sense_is_only_a_line(one: Replica, data: dict[str, object]) -> None:
    worker = await one.worker()
    await one.live(worker)
    assert await worker.ship([line(1, "room", **data)]) == 1
    assert (await one.session()).state is State.LIVE
    assert await one.notes() == [("AJ_1", 1, "room")]


@sqlite_only
async def test_check_ins_are_counted_and_taken_back(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    await worker.ship([line(1, "away", check=2), line(2, "away", check="many"), line(3, "away")])
    assert (await one.session()).check_ins == 2
    await worker.ship([line(4, "back")])
    assert (await one.session()).check_ins == 0


# The end of a job.


@sqlite_only
async def test_a_dead_job_is_replaced_and_its_spool_may_go(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    await worker.ship([item(1)])
    assert await worker.over(link.Lost(job="AJ_1", exit=-9)) == link.Ack(job="AJ_1", seq=1, over=True)
    session = await one.session()
    assert (session.state, session.current) == (State.RECOVERING, 2)
    before = await one.told()
    assert (await worker.over(link.Lost(job="AJ_1", exit=-9))).over
    assert await one.told() == before


async def test_that_a_job_is_over_is_known_on_another_connection_too(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    await worker.ship([item(1)])
    await worker.over(link.Lost(job="AJ_1", exit=-9))
    other = await one.worker("worker-2")
    assert await other.over(link.Lost(job="AJ_1")) == link.Ack(job="AJ_1", seq=1, over=True)


@sqlite_only
async def test_what_was_said_right_before_the_connection_broke_is_done(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    await worker.say(link.Events(job="AJ_1", epoch=1, events=(line(1, "end", reason="completed"),)))
    await worker.say(link.Done(job="AJ_1"))
    await worker.socket.close()
    async with asyncio.timeout(5):
        while one.links.workers:
            await asyncio.sleep(0.01)
    session = await one.session()
    assert (session.state, session.end and session.end.reason) == (State.ENDED, Reason.COMPLETED)
    assert "LinkLost" not in await one.told()


async def test_an_orphaned_spool_counts_if_nobody_else_was_in_charge(one: Replica) -> None:
    """A worker died while the control plane was away; the next one in its folder ships what it left."""
    await one.open()
    heir = await one.worker("worker-2")
    await heir.attached("AJ_dead", session="S_1", epoch=1)
    assert await heir.ship([item(1), line(2, "end", reason="completed")], "AJ_dead", epoch=0) == 2
    assert (await heir.over(link.Lost(job="AJ_dead"))).over
    session = await one.session()
    assert (session.state, session.end and session.end.reason) == (State.ENDED, Reason.COMPLETED)
    assert [item["id"] for item in _items(build(await one.store.journal("S_1"), 1))] == ["item_1"]


def _items(report: dict[str, object]) -> list[dict[str, str]]:
    items = report["items"]
    assert isinstance(items, list)
    return [each.get("item", each) for each in items]


@sqlite_only
async def test_a_job_that_never_attached_is_asked_to(one: Replica) -> None:
    worker = await one.worker()
    await one.open()
    await worker.say(link.Events(job="AJ_9", epoch=0, events=(item(1),)))
    assert await worker.hear(link.Refused) == link.Refused(why="say `attach` first", job="AJ_9")
    await worker.say(link.Lost(job="AJ_9"))
    assert (await worker.hear(link.Refused)).job == "AJ_9"
    await worker.attached("AJ_9")
    assert await worker.ship([item(1)], "AJ_9") == 1


@sqlite_only
async def test_late_facts_make_the_reports_next_revision(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    await one.store.tell("S_1", EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
    await worker.over(link.Done(job="AJ_1"))
    session = await one.session()
    assert (session.state, session.report) == (State.ENDED, 1)
    heir = await one.worker("worker-2")
    await heir.attach("AJ_2")
    assert await heir.ship([item(1)], "AJ_2") == 1
    assert (await one.session()).unreported
    await heir.over(link.Lost(job="AJ_2"))
    session = await one.session()
    assert (session.report, session.unreported) == (2, False)


@sqlite_only
async def test_nothing_is_kept_in_memory_of_a_job_that_is_over(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    assert one.links.jobs == 1
    assert (await worker.over(link.Done(job="AJ_1"))).over
    assert one.links.jobs == 0
    assert one.links._workers["worker-1"].jobs == frozenset()
    assert (await worker.over(link.Done(job="AJ_1"))) == link.Ack(job="AJ_1", seq=0, over=True)
