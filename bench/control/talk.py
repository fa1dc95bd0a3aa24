"""What happens to sessions in the benchmark: lines of a talk, and now and then a user who leaves and returns."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from roomkeeper.lifecycle.events import (
    AgentAttached,
    Noted,
    ParticipantJoined,
    ParticipantLeft,
    RoomStarted,
    SessionOpened,
)
from roomkeeper.lifecycle.machine import begin, transition
from roomkeeper.lifecycle.vocabulary import ParticipantKind

if TYPE_CHECKING:
    import random

    from roomkeeper.lifecycle.events import Event
    from roomkeeper.lifecycle.state import Session

START = 1_700_000_000_000
LINE = {"role": "user", "text": "I built the importer, and then we moved it to a queue because the files grew.", "n": 1}
LINES_A_VISIT = 6
"""Lines of the talk between two leaves of the user."""
BATCH = 20
"""Lines in a frame of an agent's link."""


@dataclass(slots=True)
class Talk:
    """One session, and what happens next to it.

    Attributes:
        step: How many events there were.
        visit: Which connection of the user this is.
        line: Of the agent's spool, the last.
    """

    id: str
    step: int = 0
    visit: int = 1
    line: int = 0

    def happens(self) -> Event:
        """Make the next event."""
        place = self.step % (LINES_A_VISIT + 2)
        self.step += 1
        if place < LINES_A_VISIT:
            return self._said()
        sid = f"PA_{self.id}_{self.visit}"
        if place == LINES_A_VISIT:
            return ParticipantLeft(at=0, sid=sid, identity="ann", room_sid=f"RM_{self.id}", raw="CLIENT_INITIATED")
        self.visit += 1
        return ParticipantJoined(at=0, sid=f"PA_{self.id}_{self.visit}", identity="ann", room_sid=f"RM_{self.id}")

    def frame(self) -> list[Event]:
        """Make a frame of lines."""
        return [self._said() for _ in range(BATCH)]

    def _said(self) -> Noted:
        self.line += 1
        return Noted(at=0, job=f"AJ_{self.id}", seq=self.line, what="item", data=LINE, said_at=START)


def life(number: int) -> tuple[SessionOpened, list[Event]]:
    """Make what brings a session to life: a room, an agent, a user."""
    name = f"S_{number}"
    opened = SessionOpened(at=START, session=name, room=f"interview-{number}", agent_name="interviewer")
    agent = ParticipantKind.AGENT
    return opened, [
        RoomStarted(at=START, sid=f"RM_{name}"),
        ParticipantJoined(at=START, sid=f"PA_{name}_1", identity="ann", room_sid=f"RM_{name}"),
        AgentAttached(at=START, job=f"AJ_{name}", identity=f"agent-{name}"),
        ParticipantJoined(at=START, sid=f"PA_{name}_a", identity=f"agent-{name}", kind=agent, room_sid=f"RM_{name}"),
    ]


def live_session(number: int) -> tuple[Session, list[SessionOpened | Event]]:
    """Bring a session to life; returns it and its journal."""
    opened, events = life(number)
    session, _ = begin(opened)
    for event in events:
        session, _ = transition(session, event)
    return session, [opened, *events]


def choose(talks: list[Talk], count: int, chance: random.Random) -> list[tuple[Talk, Event]]:
    """Choose which talks go on, and how, in order."""
    chosen = [talks[chance.randrange(len(talks))] for _ in range(count)]
    return [(talk, talk.happens()) for talk in chosen]


def size(events: list[Event]) -> int:
    """Return the bytes of JSON in some events' data; for the output."""
    return sum(len(json.dumps(event.data)) for event in events if isinstance(event, Noted))


def at(event: Event, now: int) -> Event:
    """Give an event its time."""
    return replace(event, at=now)
