"""Whatever becomes of webhooks (lost, doubled, late, shuffled): a few good listings, and the session is right again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from roomkeeper.lifecycle.events import ParticipantJoined, ParticipantLeft, RoomFinished, RoomSeen, RoomStarted, Seen
from roomkeeper.lifecycle.state import State
from roomkeeper.lifecycle.vocabulary import ParticipantKind
from tests.unit.lifecycle.story import Story

if TYPE_CHECKING:
    from roomkeeper.lifecycle.events import Event

USERS, AGENTS = ("ann", "bob"), ("agent-1", "agent-2")
PATIENT = {
    "hold.web": 100_000,
    "join_timeout": 100_000,
    "agent_timeout": 100_000,
    "recover.attempts": 1_000,
}


@dataclass
class World:
    """What really happens in the room, and what is said of it.

    Attributes:
        words: What was not heard yet.
        room: Number of the room; 0 while there is none.
        made: How many rooms and connections were made.
        there: Who is in the room: identities by sid.
    """

    words: list[Event] = field(default_factory=list)
    room: int = 0
    made: int = 0
    there: dict[str, str] = field(default_factory=dict)

    @property
    def sid(self) -> str | None:
        return f"RM_{self.room}" if self.room else None

    def come(self, identity: str) -> None:
        """Somebody joins, in the place of their last connection; whoever comes first makes the room."""
        self.made += 1
        if not self.room:
            self.room = self.made
            self.words.append(RoomStarted(at=0, sid=str(self.sid)))
        self.go(identity, "DUPLICATE_IDENTITY")
        sid = f"PA_{self.made}"
        self.there[sid] = identity
        self.words.append(
            ParticipantJoined(
                at=0,
                sid=sid,
                identity=identity,
                kind=kind(identity),
                room_sid=str(self.sid),
                agent_name="interviewer" if identity in AGENTS else "",
            )
        )

    def go(self, identity: str, raw: str = "CONNECTION_TIMEOUT") -> None:
        """Somebody leaves, if they are there."""
        for sid in [sid for sid, who in self.there.items() if who == identity]:
            del self.there[sid]
            self.words.append(
                ParticipantLeft(at=0, sid=sid, identity=identity, kind=kind(identity), room_sid=str(self.sid), raw=raw)
            )

    def close(self) -> None:
        """The room ends around everybody."""
        for identity in set(self.there.values()):
            self.go(identity, "ROOM_CLOSED")
        if self.room:
            self.words.append(RoomFinished(at=0, sid=str(self.sid)))
        self.room = 0

    def listing(self) -> RoomSeen:
        """What the room API answers now."""
        people = tuple(Seen(sid=sid, identity=who, kind=kind(who)) for sid, who in self.there.items())
        return RoomSeen(at=0, sid=self.sid, people=people)


def kind(identity: str) -> ParticipantKind:
    return ParticipantKind.AGENT if identity in AGENTS else ParticipantKind.STANDARD


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.sampled_from(USERS + AGENTS)),
        st.tuples(st.just("go"), st.sampled_from(USERS + AGENTS)),
        st.tuples(st.sampled_from(["close", "list", "list late"]), st.just("")),
        st.tuples(st.sampled_from(["hear", "hear twice", "lose"]), st.integers(0, 100)),
        st.tuples(st.just("wait"), st.sampled_from([1, 6])),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, heard_at_last=st.booleans())
def test_a_few_good_listings_put_everything_right(steps: list[tuple[str, str | int]], *, heard_at_last: bool) -> None:
    story, world = Story(PATIENT), World()
    story.answers = False
    for what, which in steps:
        match what, which:
            case "come", str():
                world.come(which)
            case "go", str():
                world.go(which)
            case "close", _:
                world.close()
            case "list", _:
                story(world.listing())
            case "list late", _:
                world.words.append(world.listing())
            case "wait", int():
                story.wait(which)
            case _, int() if world.words:
                word = world.words[which % len(world.words)]
                if what != "hear twice":
                    world.words.remove(word)
                if what != "lose":
                    story(word)
            case _:
                pass
    for word in world.words if heard_at_last else ():
        story(word)

    for _ in range(3):
        story(world.listing(), after=6)

    assert {person.sid: person.identity for person in story.session.participants} == world.there
    assert story.session.room_sid == world.sid
    users = any(who in USERS for who in world.there.values())
    agent = any(who in AGENTS for who in world.there.values())
    expected = {State.LIVE} if users and agent else {State.WAITING, State.RECOVERING if users else State.HOLDING}
    assert story.state() in expected
