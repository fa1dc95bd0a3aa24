"""Which rooms are ours, by which policy, and what an old token reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from livekit.protocol import models

from roomkeeper.control.adoption import AGENT, SESSION, Adopters, Adoption, token_session
from roomkeeper.control.facts import seen
from roomkeeper.control.purging import Purge
from roomkeeper.control.stream import Stream
from roomkeeper.lifecycle.events import EndAsked, ParticipantJoined, ParticipantLeft, RoomStarted, SessionOpened
from roomkeeper.lifecycle.policy import Kind, Policies, Policy, Reuse
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import State
from roomkeeper.lifecycle.vocabulary import Origin, ParticipantKind
from roomkeeper.wire.room_config import room_config

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.events import RoomFact, RoomSeen
    from roomkeeper.lifecycle.state import Session

SECRET = "secret"
POLICIES = Policies(
    common={"linger": 1, "sip": {"linger": 2}},
    agents={"interviewer": {"time_limit": 60, "sip": {"time_limit": 30}}},
)
ADOPTERS = Adopters(agents={"interviewer": Policy()}, policies=POLICIES)


class Rooms:
    """A LiveKit server with one room."""

    def __init__(self, *people: models.ParticipantInfo) -> None:
        self.people = people
        self.deleted: list[str] = []

    async def look(self, room: str) -> RoomSeen:
        return seen("RM_1", self.people)

    async def delete(self, room: str, *, sid: str | None, session: str) -> None:
        self.deleted.append(room)


def adoption(store: Store, rooms: Rooms | None = None) -> Adoption:
    return Adoption(store, cast("Any", rooms or Rooms()), ADOPTERS, SECRET)


def joined(
    identity: str = "ann", kind: ParticipantKind = ParticipantKind.STANDARD, sid: str = "RM_1", agent_name: str = ""
) -> ParticipantJoined:
    return ParticipantJoined(
        at=0, sid=f"PA_{identity}", identity=identity, kind=kind, room_sid=sid, agent_name=agent_name
    )


def carrying(session: str, agent: str = "interviewer") -> models.ParticipantInfo:
    return models.ParticipantInfo(attributes={SESSION: session, AGENT: agent})


def marked(session: str | None = None, kind: str = "web") -> str:
    return room_config("interviewer", session=session, kind=kind).metadata


async def end(store: Store, session: Session) -> Session:
    return (await store.tell(session.id, EndAsked(at=0, reason=Reason.COMPLETED, by=By.APP))).session


async def test_a_room_of_nobody_we_know_is_not_ours(store: Store) -> None:
    for fact in (joined(), joined("agent", ParticipantKind.AGENT, agent_name="other"), RoomStarted(at=0, sid="RM_1")):
        assert await adoption(store).session_of("tea", fact) is None
    assert await store.open_sessions() == []


@pytest.mark.parametrize("fact", [RoomStarted(at=0, sid="RM_1"), joined()], ids=["room_started", "join"])
async def test_the_mark_of_our_room_configuration_makes_a_room_ours_from_its_first_moment(
    store: Store, fact: RoomFact
) -> None:
    session = await adoption(store).session_of("tea", fact, metadata=marked("S_mine"))
    assert session is not None
    assert (session.id, session.agent_name, session.origin) == ("S_mine", "interviewer", Origin.TOKEN)
    assert session.policy.time_limit == 60


async def test_a_leaving_opens_nothing(store: Store) -> None:
    left = ParticipantLeft(at=0, sid="PA_1", identity="ann", room_sid="RM_1")
    assert await adoption(store).session_of("tea", left, metadata=marked()) is None


async def test_a_token_of_ours_makes_the_session_it_carries(store: Store) -> None:
    promised = token_session("tea", 1, "interviewer", secret=SECRET)
    session = await adoption(store).session_of("tea", joined(), carrying(promised))
    assert session is not None
    assert (session.id, session.agent_name, session.origin) == (promised, "interviewer", Origin.TOKEN)


@pytest.mark.parametrize(
    ("session", "agent"),
    [
        ("S_chosen", "interviewer"),
        (token_session("tea", 1, "interviewer", secret="other"), "interviewer"),
        (token_session("tea", 1, "interviewer", secret=SECRET), "another"),
        (token_session("coffee", 1, "interviewer", secret=SECRET), "interviewer"),
    ],
)
async def test_an_attribute_that_somebody_made_up_makes_no_room_ours(store: Store, session: str, agent: str) -> None:
    assert await adoption(store).session_of("tea", joined(), carrying(session, agent)) is None


async def test_nobody_speaks_into_the_session_of_another_room(store: Store) -> None:
    await store.open(SessionOpened(at=0, session="S_victim", room="coffee"))
    assert await adoption(store).session_of("tea", joined(), carrying("S_victim")) is None


async def test_a_configured_agent_makes_a_room_ours_with_the_policy_of_the_people_there(store: Store) -> None:
    agent = joined("agent", ParticipantKind.AGENT, agent_name="interviewer")
    caller = models.ParticipantInfo(
        sid="PA_c", identity="caller", kind=models.ParticipantInfo.SIP, state=models.ParticipantInfo.ACTIVE
    )
    called = await adoption(store, Rooms(caller)).session_of("call", agent)
    visited = await adoption(store, Rooms()).session_of("visit", agent)
    assert called is not None
    assert visited is not None
    assert (called.policy.time_limit, called.policy.linger) == (30, 2)
    assert (visited.policy.time_limit, visited.policy.linger) == (60, 1)
    assert {called.origin, visited.origin} == {Origin.ADOPTED}


async def test_a_caller_in_a_room_of_a_dispatch_rule_gets_the_policy_of_calls_and_the_name_is_free_again(
    store: Store,
) -> None:
    metadata = marked(kind="sip")
    caller = joined("caller", ParticipantKind.SIP)
    first = await adoption(store).session_of("call", caller, metadata=metadata)
    assert first is not None
    assert (first.origin, first.policy.time_limit, first.reuse) == (Origin.SIP, 30, Reuse.AFTER_END)
    ended = await end(store, first)
    assert ended.state is State.ENDED
    second = await adoption(store).session_of("call", joined("caller", ParticipantKind.SIP, "RM_2"), metadata=metadata)
    assert second is not None
    assert (second.id != first.id, second.generation) == (True, 2)


async def test_after_the_end_its_tokens_reach_the_ended_session_and_open_nothing(store: Store) -> None:
    promised = token_session("tea", 1, "interviewer", secret=SECRET)
    opened = await adoption(store).session_of("tea", joined(), carrying(promised), marked(promised))
    assert opened is not None
    await end(store, opened)
    for fact, person, metadata in (
        (RoomStarted(at=0, sid="RM_2"), None, marked(promised)),
        (joined(sid="RM_2"), carrying(promised), ""),
        (joined("bob", sid="RM_2"), None, marked("S_of_another_token")),
        (joined("agent", ParticipantKind.AGENT, "RM_2", "interviewer"), None, marked(promised)),
    ):
        again = await adoption(store).session_of("tea", fact, person, metadata)
        assert again is not None
        assert (again.id, again.state) == (promised, State.ENDED)
    assert await store.open_sessions() == []


def test_overrides_come_last() -> None:
    policy = ADOPTERS.policy("interviewer", Kind.SIP, {"time_limit": 5})
    assert (policy.time_limit, policy.linger) == (5, 2)
    plain = Adopters(agents={"interviewer": Policy(linger=7)})
    assert plain.policy("interviewer", Kind.SIP, {"hold.sip": 9}) == Policy(linger=7, hold_sip=9)
    assert plain.policy("another") == Policy()


async def test_a_configuration_that_was_given_to_several_rooms_makes_a_session_for_each(store: Store) -> None:
    shared = marked("S_shared")
    tea = await adoption(store).session_of("tea", RoomStarted(at=0, sid="RM_1"), metadata=shared)
    coffee = await adoption(store).session_of("coffee", RoomStarted(at=0, sid="RM_2"), metadata=shared)
    assert tea is not None
    assert coffee is not None
    assert (tea.id, tea.room, coffee.room) == ("S_shared", "tea", "coffee")
    assert coffee.id != tea.id
    again = await adoption(store).session_of("coffee", joined(sid="RM_2"), metadata=shared)
    assert again is not None
    assert again.id == coffee.id


async def test_nobody_has_a_room_deleted_by_naming_a_session_that_was_purged(store: Store, engine: AsyncEngine) -> None:
    old = await end(store, await store.open(SessionOpened(at=0, session="S_old", room="old", agent_name="interviewer")))
    await Purge(store, engine, Stream(store, engine)).purge(old.id, force=True)
    rooms = Rooms()
    await adoption(store, rooms).session_of("tea", RoomStarted(at=0, sid="RM_1"), metadata=marked("S_tea"))
    for room, found in (("tea", "S_tea"), ("theirs", None)):
        session = await adoption(store, rooms).session_of(room, joined("eve"), carrying("S_old"))
        assert (session.id if session is not None else None) == found
    assert rooms.deleted == []


async def test_a_room_that_a_token_of_a_purged_session_makes_again_is_deleted(
    store: Store, engine: AsyncEngine
) -> None:
    name = token_session("tea", 1, "interviewer", secret=SECRET)
    opened = SessionOpened(at=0, session=name, room="tea", agent_name="interviewer")
    await end(store, await store.open(opened))
    await Purge(store, engine, Stream(store, engine)).purge(name, force=True)
    rooms = Rooms()
    assert await adoption(store, rooms).session_of("tea", joined(), carrying(name)) is None
    assert await adoption(store, rooms).session_of("tea", RoomStarted(at=0, sid="RM_1"), metadata=marked(name)) is None
    assert rooms.deleted == ["tea", "tea"]
