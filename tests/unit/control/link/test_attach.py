"""Jobs that attach: which session they get, and what they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from livekit.protocol import models

from roomkeeper.control.adoption import Adopters
from roomkeeper.control.purging import Purge
from roomkeeper.control.room_api import RoomApiFailed
from roomkeeper.lifecycle.events import EndAsked, GoodbyeOver, LeaseExpired, RoomFinished
from roomkeeper.lifecycle.policy import Policy
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.replay import replay
from roomkeeper.lifecycle.state import Standing, State
from roomkeeper.lifecycle.vocabulary import Origin
from roomkeeper.wire import link
from roomkeeper.wire.room_config import room_config
from tests.unit.control.link.conftest import replica
from tests.unit.control.link.scripted import item

# Which session a job gets is the same on both databases; the statements are tested on both in `test_leases`.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.stream import Stream
    from tests.unit.control.conftest import Clock
    from tests.unit.control.link.conftest import Replica


async def test_a_job_takes_charge_and_learns_where_it_is(one: Replica) -> None:
    worker = await one.worker()
    await one.open(policy=Policy(time_limit=3600, hold_web=42), metadata='{"candidate": 7}')
    attached = await worker.attached()
    assert (attached.job, attached.epoch, attached.session) == ("AJ_1", 1, "S_1")
    assert (attached.resumed, attached.muted, attached.seq, attached.check_ins) == (False, False, 0, 0)
    assert (attached.state["session"], attached.state["state"]) == ("S_1", "waiting")
    assert attached.policy["hold.web"] == 42
    assert attached.metadata == '{"candidate": 7}'
    await one.agent_joins()
    session = await one.session()
    assert (session.state, session.agent.job) == (State.LIVE, "AJ_1")
    assert replay(await one.store.journal("S_1")) == session


async def test_the_time_limit_and_the_check_ins_go_on_in_the_next_agent(one: Replica, clock: Clock) -> None:
    first = await one.worker()
    await one.live(first, policy=Policy(time_limit=3600))
    await first.ship([link.Line(seq=1, at=1, type="away", data={"check": 2})])
    began = clock.now
    clock.pass_by(10)
    await first.over(link.Lost(job="AJ_1", exit=-9))
    second = await one.worker("worker-2")
    attached = await second.attached("AJ_2", epoch=2, session="S_1")
    assert (attached.epoch, attached.resumed, attached.check_ins) == (2, True, 2)
    assert attached.limit_at == began + 3_600_000


async def test_a_second_job_is_fenced_before_it_speaks(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    [fenced] = await worker.attach("AJ_2")
    assert fenced == link.Fenced(job="AJ_2", why="epoch 1 is in charge or expected")
    assert (await one.session()).agent.job == "AJ_1"


async def test_a_job_of_another_epoch_than_the_expected_one_is_fenced(one: Replica) -> None:
    worker = await one.worker()
    await one.open()
    [fenced] = await worker.attach(epoch=7, session="S_1")
    assert isinstance(fenced, link.Fenced)
    assert (await worker.attached("AJ_2", epoch=1, session="S_1")).epoch == 1


async def test_a_job_that_attaches_again_is_told_the_same_again(one: Replica) -> None:
    worker = await one.worker()
    first = await one.live(worker)
    await worker.ship([item(1), item(2)])
    again = await worker.attached()
    assert (again.epoch, again.session, again.seq) == (first.epoch, first.session, 2)
    worker.vanish()
    later = await one.worker()
    assert (await later.attached()).seq == 2
    assert (await one.session()).agent.link_lost_at is None


async def test_a_job_that_comes_back_to_an_ending_session_is_told_to_end(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    await one.store.tell("S_1", EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR, detail="closing time"))
    attached, ending = await worker.attach()
    assert isinstance(attached, link.Attached)
    assert attached.state["state"] == "ending"
    assert ending == link.EndNow(
        job="AJ_1", reason="operator_ended", message=attached.state["message"], detail="closing time", goodbye=True
    )


async def test_a_job_that_comes_back_after_the_end_is_fenced_and_its_facts_are_kept(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    await one.store.tell("S_1", EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
    await worker.say(link.Events(job="AJ_1", epoch=1, events=(link.Line(seq=1, at=1, type="goodbye_over"),)))
    await worker.hear(link.Ack)
    assert (await one.session()).state is State.ENDED
    [fenced] = await worker.attach()
    assert isinstance(fenced, link.Fenced)
    assert await worker.ship([item(2)]) == 2
    assert [seq for _, seq, _ in await one.notes()] == [1, 2]


async def test_a_job_whose_lease_ran_out_is_fenced_when_it_comes_back(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    await one.store.tell("S_1", LeaseExpired(at=0, job="AJ_1"))
    [fenced] = await worker.attach()
    assert isinstance(fenced, link.Fenced)


# Which session.


async def test_an_attach_opens_the_session_of_a_configured_agent(one: Replica) -> None:
    worker = await one.worker()
    one.rooms.rooms["tea"] = models.Room(name="tea", sid="RM_1")
    attached = await worker.attached(metadata="from the first dispatch")
    session = await one.session(attached.session)
    assert (session.room, session.agent_name, session.origin) == ("tea", "interviewer", Origin.ADOPTED)
    assert (session.sids, session.policy.hold_web) == (("RM_1",), 60)
    assert attached.metadata == "from the first dispatch"
    found = await one.store.find("AJ_1")
    assert found is not None
    assert found.id == session.id


async def test_a_room_that_only_its_agent_has_told_of_is_the_sessions(one: Replica) -> None:
    worker = await one.worker()
    attached = await worker.attached(room_sid="RM_7")
    await worker.attached(room_sid="RM_7")  # after everything the first one did
    session = await one.session(attached.session)
    assert (session.sids, session.room_sid) == (("RM_7",), "RM_7")


async def test_the_session_that_a_dispatch_names_is_opened_under_that_name(one: Replica) -> None:
    worker = await one.worker()
    attached = await worker.attached(session="S_named", epoch=1)
    assert attached.session == "S_named"


async def test_a_session_of_another_room_is_not_believed(one: Replica) -> None:
    worker = await one.worker()
    await one.open("S_1", "tea")
    attached = await worker.attached("AJ_2", "coffee", session="S_1", room_sid="RM_2")
    assert attached.session != "S_1"
    assert (await one.session(attached.session)).room == "coffee"


async def test_an_agent_that_is_not_configured_is_refused_where_others_are(one: Replica) -> None:
    worker = await one.worker()
    [refused] = await worker.attach(agent_name="note-taker")
    assert isinstance(refused, link.Refused)
    assert "'note-taker' is not configured" in refused.why
    assert await one.store.find("tea") is None
    assert (await worker.attached()).epoch == 1


async def test_where_no_agent_is_configured_every_wrapped_one_is_kept(engine: AsyncEngine, clock: Clock) -> None:
    async with replica(engine, clock, adopters=Adopters()) as one:
        worker = await one.worker()
        assert (await worker.attached(agent_name="anybody")).epoch == 1


async def test_an_agent_of_another_name_is_refused_in_a_kept_room(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    [refused] = await worker.attach("AJ_2", agent_name="note-taker")
    assert refused == link.Refused(why="the room is kept for agent 'interviewer'", job="AJ_2")
    assert len((await one.session()).epochs) == 1


async def test_a_second_room_of_a_job_is_refused(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    [refused] = await worker.attach("AJ_1", "consultation", room_sid="RM_9")
    assert refused == link.Refused(why="AJ_1 belongs to tea", job="AJ_1")
    assert await worker.ship([item(1)]) == 1


async def test_an_ended_sessions_room_opens_no_new_one_for_our_tokens(one: Replica) -> None:
    worker = await one.worker()
    await one.open()
    await one.store.tell("S_1", EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
    await one.store.tell("S_1", RoomFinished(at=0, sid="RM_1"))
    [fenced] = await worker.attach(room_sid="RM_2")
    assert isinstance(fenced, link.Fenced)
    found = await one.store.find("tea")
    assert found is not None
    assert (found.id, found.epochs[-1].standing) == ("S_1", Standing.FENCED)


async def test_an_adopted_rooms_name_is_used_again_after_the_end(one: Replica) -> None:
    worker = await one.worker()
    await one.open(origin=Origin.ADOPTED)
    await one.store.tell("S_1", EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
    await one.store.tell("S_1", RoomFinished(at=0, sid="RM_1"))
    attached = await worker.attached(room_sid="RM_2")
    assert attached.session != "S_1"
    assert (await one.session(attached.session)).generation == 2


@pytest.mark.parametrize("job", ["", "A" * 129])
async def test_a_job_without_a_proper_id_is_refused(one: Replica, job: str) -> None:
    worker = await one.worker()
    [refused] = await worker.attach(job)
    assert isinstance(refused, link.Refused)
    assert "1 to 128" in refused.why


async def test_a_job_in_no_room_is_refused(one: Replica) -> None:
    worker = await one.worker()
    [refused] = await worker.attach("AJ_1", "")
    assert refused == link.Refused(why="it names no room", job="AJ_1")


async def test_the_mark_in_a_rooms_metadata_names_its_session_before_any_webhook_does(one: Replica) -> None:
    metadata = room_config("interviewer", session="S_marked", kind="sip").metadata
    one.rooms.rooms["tea"] = models.Room(name="tea", sid="RM_1", metadata=metadata)
    worker = await one.worker()
    attached = await worker.attached()
    assert (attached.session, (await one.session("S_marked")).origin) == ("S_marked", Origin.SIP)


async def test_a_room_server_that_does_not_answer_keeps_no_job_out(
    one: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(room: str) -> None:
        raise RoomApiFailed(f"no answer about {room}")

    monkeypatch.setattr(one.rooms, "find", fail)
    monkeypatch.setattr(one.rooms, "look", fail)
    worker = await one.worker()
    assert (await worker.attached()).epoch == 1


async def test_a_late_spool_brings_nothing_back_of_a_session_that_was_purged(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    asked = EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR)
    await one.store.tell("S_1", asked, GoodbyeOver(at=0, job="AJ_1"))
    await Purge(one.store, one.engine, cast("Stream", Silence())).purge("S_1", force=True)
    assert await worker.ship([item(1)]) == 1  # nothing is kept, and nothing more is wanted
    assert await one.notes() == []
    heir = await one.worker("worker-2")
    [refused] = await heir.attach(session="S_1")
    assert refused == link.Refused(why="what was kept of its session was deleted", job="AJ_1")
    assert await one.store.find("tea") is None


class Silence:
    """A stream that nobody hears."""

    async def emit(self, *_: object) -> None:
        """Say nothing."""
