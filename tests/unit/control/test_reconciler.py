"""The reconciler against a room API that is played: what it finds, what it leaves alone, what a round costs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from livekit.protocol import models

from roomkeeper.control import reconciler as module
from roomkeeper.control.adoption import Adopters, Adoption
from roomkeeper.control.metrics import Metrics
from roomkeeper.control.reconciler import Reconciler
from roomkeeper.control.room_api import RoomApiFailed
from roomkeeper.control.surveying import FRESH, STALE
from roomkeeper.lifecycle.actions import DeleteRoom
from roomkeeper.lifecycle.events import (
    ControlStarted,
    EgressStarted,
    EndAsked,
    LookFailed,
    RoomFinished,
    SessionOpened,
    TimerFired,
)
from roomkeeper.lifecycle.policy import Policy
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import State
from roomkeeper.lifecycle.vocabulary import TimerKind

if TYPE_CHECKING:
    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.state import Session
    from tests.unit.control.conftest import Clock

AGENT = "interviewer"
Info = models.ParticipantInfo


class Rooms:
    """A room API: rooms with people, and a count of the questions."""

    def __init__(self) -> None:
        self.live: dict[str, tuple[models.Room, list[Info]]] = {}
        self.asked: list[str] = []
        self.broken: set[str] = set()

    def put(self, name: str, sid: str, *people: Info) -> None:
        counting = sum(person.kind not in {Info.AGENT, Info.EGRESS} for person in people)
        self.live[name] = (models.Room(name=name, sid=sid, num_participants=counting), list(people))

    async def rooms(self) -> list[models.Room]:
        return [room for room, _ in self.live.values()]

    async def people(self, room: str) -> list[Info]:
        self.asked.append(room)
        if room in self.broken:
            raise RoomApiFailed("deadline_exceeded")
        return self.live[room][1] if room in self.live else []

    async def find(self, room: str) -> models.Room | None:
        return self.live[room][0] if room in self.live else None

    async def look(self, room: str) -> Any:  # noqa: ANN401 - as the real one
        from roomkeeper.control.facts import seen

        found = self.live.get(room)
        return seen(None, ()) if found is None else seen(found[0].sid, found[1])


class Idle:
    def wake(self) -> None:
        """Nothing is carried out here."""


def person(identity: str, kind: Info.Kind = Info.STANDARD, **attributes: str) -> Info:
    info = Info(sid=f"PA_{identity}", identity=identity, kind=kind, state=Info.ACTIVE)
    info.attributes.update({name.replace("__", "."): value for name, value in attributes.items()})
    return info


def agent(identity: str = "agent") -> Info:
    return person(identity, Info.AGENT, lk__agent_name=AGENT)


@pytest.fixture
def rooms() -> Rooms:
    return Rooms()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def reconciler(store: Store, rooms: Rooms, metrics: Metrics) -> Reconciler:
    adopters = Adopters(agents={AGENT: Policy(linger=1)})
    adoption = Adoption(store, cast("Any", rooms), adopters)
    return Reconciler(store, adoption, cast("Any", rooms), cast("Any", Idle()), metrics)


async def session_in(store: Store, room: str) -> Session:
    session = await store.find(room)
    assert session is not None
    return session


async def events(store: Store, session: Session) -> list[str]:
    return [type(event).__name__ for event in await store.journal(session.id)]


async def live(store: Store, rooms: Rooms, reconciler: Reconciler, name: str = "tea") -> Session:
    rooms.put(name, f"RM_{name}", person("ann"), agent())
    await reconciler.compare()
    session = await session_in(store, name)
    assert session.state is State.LIVE
    return session


async def ended(store: Store, clock: Clock, session: Session) -> Session:
    """End a session and let its linger pass; the deletion is left to somebody else."""
    await store.tell(session.id, EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
    clock.pass_by(1.1)
    told = await store.tell(session.id, TimerFired(at=0, kind=TimerKind.LINGER))
    assert any(isinstance(action, DeleteRoom) for action in told.actions)
    return told.session


async def test_a_room_of_our_agent_is_adopted_though_no_webhook_came(
    store: Store, rooms: Rooms, reconciler: Reconciler
) -> None:
    session = await live(store, rooms, reconciler)
    assert [user.identity for user in session.users] == ["ann"]


async def test_rooms_of_others_are_counted_and_left_alone_and_looked_at_only_when_they_change(
    store: Store, rooms: Rooms, reconciler: Reconciler, metrics: Metrics, clock: Clock
) -> None:
    rooms.put("theirs", "RM_theirs", person("eve"), person("bot", Info.AGENT, lk__agent_name="other"))
    for _ in range(3):
        await reconciler.compare()
        clock.pass_by(2)
    round_ = await reconciler.compare()
    clock.pass_by(2)
    assert (round_.strange, round_.ours) == (1, 0)
    assert rooms.asked == ["theirs"]
    assert await store.find("theirs") is None
    assert metrics.registry.get_sample_value("roomkeeper_rooms", {"whose": "strange"}) == 1
    rooms.put("theirs", "RM_theirs", person("eve"), person("bob"))
    await reconciler.compare()
    clock.pass_by(STALE / 1000)
    await reconciler.compare()
    assert len(rooms.asked) == 3


async def test_who_came_and_went_untold_is_found(
    store: Store, rooms: Rooms, reconciler: Reconciler, clock: Clock
) -> None:
    await live(store, rooms, reconciler)
    rooms.put("tea", "RM_tea", agent())
    for _ in range(8):
        clock.pass_by(1.5)
        await reconciler.compare()
    assert (await session_in(store, "tea")).state is State.HOLDING


async def test_an_agent_that_is_gone_untold_is_found_though_the_count_of_people_is_the_same(
    store: Store, rooms: Rooms, reconciler: Reconciler, clock: Clock
) -> None:
    await live(store, rooms, reconciler)
    rooms.put("tea", "RM_tea", person("ann"))
    for _ in range(10):
        clock.pass_by(1.5)
        await reconciler.compare()
    assert (await session_in(store, "tea")).state is State.RECOVERING


async def test_a_room_that_is_gone_is_believed_after_two_listings_five_seconds_apart(
    store: Store, rooms: Rooms, reconciler: Reconciler, clock: Clock
) -> None:
    await live(store, rooms, reconciler)
    rooms.live.clear()
    await reconciler.compare()
    clock.pass_by(4.9)
    await reconciler.compare()
    assert (await session_in(store, "tea")).room_sid == "RM_tea"
    clock.pass_by(0.2)
    await reconciler.compare()
    session = await session_in(store, "tea")
    assert (session.room_sid, session.state) == (None, State.HOLDING)


async def test_a_live_room_of_an_ended_session_is_swept_again_until_it_is_gone(
    store: Store, rooms: Rooms, reconciler: Reconciler, clock: Clock, metrics: Metrics
) -> None:
    session = await ended(store, clock, await live(store, rooms, reconciler))
    clock.pass_by(STALE / 1000)
    await reconciler.compare()
    assert TimerKind.LINGER in (await store.get(session.id)).timers
    assert metrics.registry.get_sample_value("roomkeeper_wasted_room_seconds_total") == pytest.approx(28.1, abs=0.2)
    assert metrics.registry.get_sample_value("roomkeeper_wasted_agent_seconds_total") == pytest.approx(28.1, abs=0.2)
    rooms.live.clear()
    await reconciler.compare()
    assert (await store.get(session.id)).settled


async def test_a_room_that_an_old_token_makes_again_is_swept_at_the_next_round(
    store: Store, rooms: Rooms, reconciler: Reconciler, clock: Clock
) -> None:
    opened = await store.open(SessionOpened(at=0, session="S_1", room="tea", agent_name=AGENT, policy=Policy(linger=1)))
    rooms.put("tea", "RM_1", person("ann"), agent())
    await reconciler.compare()
    session = await ended(store, clock, await store.get(opened.id))
    await store.tell(session.id, RoomFinished(at=0, sid="RM_1"))
    rooms.put("tea", "RM_2", person("ann"))
    clock.pass_by(1.5)
    await reconciler.compare()
    again = await store.get(session.id)
    assert again.room_sid == "RM_2"
    assert again.timers[TimerKind.LINGER] <= clock.now + 1_000
    assert (await session_in(store, "tea")).generation == 1


async def test_a_name_that_may_be_used_again_is_not_swept(
    store: Store, rooms: Rooms, reconciler: Reconciler, clock: Clock
) -> None:
    session = await ended(store, clock, await live(store, rooms, reconciler))
    rooms.put("tea", "RM_2", person("bob"))
    clock.pass_by(1.5)
    await reconciler.compare()
    assert (await store.get(session.id)).settled
    rooms.put("tea", "RM_2", person("bob"), agent("agent-2"))
    clock.pass_by(STALE / 1000)
    await reconciler.compare()
    assert (await session_in(store, "tea")).generation == 2


async def test_a_recording_that_no_webhook_told_is_known_by_its_participant(
    store: Store, rooms: Rooms, reconciler: Reconciler, clock: Clock
) -> None:
    await live(store, rooms, reconciler)
    rooms.put("tea", "RM_tea", person("ann"), agent(), person("EG_1", Info.EGRESS))
    clock.pass_by(FRESH / 1000)
    await reconciler.compare()
    session = await session_in(store, "tea")
    assert session.egresses == ("EG_1",)
    assert (await events(store, session)).count(EgressStarted.__name__) == 1


async def test_people_of_a_room_that_was_made_again_meanwhile_are_not_taken_for_those_of_the_old_one(
    store: Store, rooms: Rooms, reconciler: Reconciler, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await live(store, rooms, reconciler)
    people = rooms.people

    async def after_a_refresh(room: str) -> list[Info]:
        monkeypatch.undo()
        rooms.put("tea", "RM_again", Info(sid="PA_again", identity="ann", state=Info.ACTIVE), agent("agent-2"))
        return await people(room)

    monkeypatch.setattr(rooms, "people", after_a_refresh)
    clock.pass_by(FRESH / 1000)
    assert (await reconciler.compare()).failed == 1
    clock.pass_by(1.5)
    await reconciler.compare()
    session = await store.get(session.id)
    assert session.room_sid == "RM_again"
    assert [user.sid for user in session.users] == ["PA_again"]


async def test_a_strangers_room_that_was_made_again_meanwhile_is_opened_with_its_own_people(
    store: Store, rooms: Rooms, reconciler: Reconciler, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms.put("tea", "RM_old")
    people = rooms.people

    async def after_a_refresh(room: str) -> list[Info]:
        monkeypatch.undo()
        rooms.put("tea", "RM_again", person("ann"), agent())
        return await people(room)

    monkeypatch.setattr(rooms, "people", after_a_refresh)
    await reconciler.compare()
    clock.pass_by(1.5)
    await reconciler.compare()
    session = await session_in(store, "tea")
    assert session.sids == ("RM_again",)
    assert [user.identity for user in session.users] == ["ann"]


async def test_a_room_that_cannot_be_looked_at_is_not_absent(
    store: Store, rooms: Rooms, reconciler: Reconciler, clock: Clock
) -> None:
    session = await live(store, rooms, reconciler)
    rooms.broken.add("tea")
    clock.pass_by(FRESH / 1000)
    round_ = await reconciler.compare()
    assert round_.failed == 1
    assert (await events(store, session))[-1] == LookFailed.__name__
    assert (await store.get(session.id)).state is State.LIVE


async def test_a_round_has_a_bound_and_nobody_waits_for_ever(
    store: Store, rooms: Rooms, reconciler: Reconciler, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOKS", 4)
    for number in range(10):
        rooms.put(f"room {number}", f"RM_{number}", person("ann"), agent())
    for _ in range(3):
        before = len(rooms.asked)
        await reconciler.compare()
        assert len(rooms.asked) - before <= 4
        clock.pass_by(FRESH / 1000)
    assert set(rooms.asked) == set(rooms.live)
    rooms.put("room 9", "RM_9", person("ann"), person("bob"), agent())
    await reconciler.compare()
    assert "room 9" in rooms.asked[-4:]


async def test_a_round_in_which_nothing_changed_writes_nothing(
    store: Store, rooms: Rooms, reconciler: Reconciler, clock: Clock
) -> None:
    session = await live(store, rooms, reconciler)
    before = len(await events(store, session))
    for _ in range(5):
        clock.pass_by(FRESH / 1000)
        await reconciler.compare()
    assert len(await events(store, session)) == before


async def test_every_unsettled_session_is_told_of_a_start_an_ended_one_too(
    store: Store, rooms: Rooms, reconciler: Reconciler, clock: Clock
) -> None:
    going_on = await live(store, rooms, reconciler, "tea")
    rooms.put("milk", "RM_milk", person("ann"), agent("agent-milk"))
    clock.pass_by(1)
    await reconciler.compare()
    lives_on = await ended(store, clock, await session_in(store, "milk"))
    over = await store.open(SessionOpened(at=0, session="S_over", room="over"))
    over = (await store.tell(over.id, EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))).session
    assert over.settled
    await reconciler._start()
    told = [(await events(store, each)).count(ControlStarted.__name__) for each in (going_on, lives_on, over)]
    assert told == [1, 1, 0]


async def test_a_room_that_cannot_even_be_read_keeps_no_other_from_being_compared(
    store: Store, rooms: Rooms, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = rooms.people

    async def odd(room: str) -> list[Info]:
        if room == "odd":
            raise KeyError(room)
        return await people(room)

    monkeypatch.setattr(rooms, "people", odd)
    rooms.put("odd", "RM_odd", person("eve"))
    await live(store, rooms, reconciler)
    assert (await reconciler.compare()).ours == 1


async def test_a_round_that_fails_in_an_unforeseen_way_is_not_the_last(
    reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, rounds = asyncio.Event(), 0

    async def compare() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise KeyError("odd")
        again.set()

    monkeypatch.setattr(reconciler, "compare", compare)
    monkeypatch.setattr(module, "EVERY", 0)
    task = asyncio.create_task(reconciler.run())
    async with asyncio.timeout(5):
        await again.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
