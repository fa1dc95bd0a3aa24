"""Plays a session's life for a test: events in, session and actions out, timers fired when their time has come."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from roomkeeper.lifecycle.actions import Ignored, LookAtRoom
from roomkeeper.lifecycle.codec import (
    body_values,
    dump_action,
    dump_body,
    dump_event,
    dump_session,
    load_action,
    load_event,
    load_session,
)
from roomkeeper.lifecycle.events import (
    AgentAttached,
    ParticipantJoined,
    ParticipantLeft,
    RoomSeen,
    RoomStarted,
    Seen,
    SessionOpened,
    TimerFired,
)
from roomkeeper.lifecycle.machine import begin, transition
from roomkeeper.lifecycle.policy import read_policy
from roomkeeper.lifecycle.replay import replay
from roomkeeper.lifecycle.vocabulary import Dispatcher, Origin, ParticipantKind

if TYPE_CHECKING:
    from roomkeeper.lifecycle.actions import Action
    from roomkeeper.lifecycle.events import Event
    from roomkeeper.lifecycle.reasons import Reason
    from roomkeeper.lifecycle.state import Session, State
    from roomkeeper.lifecycle.vocabulary import TimerKind

_A = TypeVar("_A")

START = 1_800_000_000_000
SECOND = 1_000


class Story:
    """A session under test, with its own clock.

    Attributes:
        now: The database's clock, milliseconds.
        journal: Every event so far.
        actions: What the last call asked for.
        ever: What all calls asked for.
    """

    def __init__(
        self,
        policy: dict[str, Any] | None = None,
        *,
        dispatcher: Dispatcher = Dispatcher.ROOM,
        origin: Origin = Origin.TOKEN,
        agent_name: str = "interviewer",
        host: str = "",
    ) -> None:
        self.now = START
        opened = SessionOpened(
            at=self.now,
            session="S_1",
            room="interview-1",
            agent_name=agent_name,
            origin=origin,
            dispatcher=dispatcher,
            host=host,
            policy=read_policy(policy or {}),
        )
        self.journal: list[SessionOpened | Event] = [opened]
        self.session, self.actions = begin(opened)
        self.ever: list[Action] = list(self.actions)
        self.answers = True

    def __call__(self, event: Event, *, after: float = 0) -> tuple[Action, ...]:
        """Let something happen, `after` seconds from now; alarms that are due before it fire first."""
        if after:
            self.wait(after)
        return self._happen(event)

    def _happen(self, event: Event) -> tuple[Action, ...]:
        event = replace(event, at=self.now)
        self.journal.append(event)
        self.session, self.actions = transition(self.session, event)
        self.ever += self.actions
        assert load_event(dump_event(event)) == event
        assert load_session(dump_session(self.session)) == self.session
        assert orjson.loads(orjson.dumps(body_values(self.session))) == dump_body(self.session)
        assert [load_action(dump_action(action)) for action in self.actions] == list(self.actions)
        return self.actions

    def wait(self, seconds: float) -> None:
        """Let time pass; alarms fire, and looks at the room are answered with what the session believes."""
        until = self.now + round(seconds * SECOND)
        while due := [(at, kind) for kind, at in self.session.timers.items() if at <= until]:
            at, kind = min(due)
            self.now = max(self.now, at)
            self._happen(TimerFired(at=0, kind=kind))
            if self.answers and any(isinstance(action, LookAtRoom) for action in self.actions):
                self.look()
        self.now = until

    def look(self) -> tuple[Action, ...]:
        """List the room, which is as the session believes it to be."""
        people = tuple(
            Seen(sid=person.sid, identity=person.identity, kind=person.kind) for person in self.session.participants
        )
        return self._happen(RoomSeen(at=0, sid=self.session.room_sid, people=people))

    def asked(self, kind: type[_A]) -> list[_A]:
        """Actions of a kind that the last call asked for."""
        return [action for action in self.actions if isinstance(action, kind)]

    def ever_asked(self, kind: type[_A]) -> list[_A]:
        """Actions of a kind in the whole story."""
        return [action for action in self.ever if isinstance(action, kind)]

    @property
    def ignored(self) -> str | None:
        """Why the last event changed nothing; None if it did."""
        return next((action.why for action in self.actions if isinstance(action, Ignored)), None)

    def state(self) -> State:
        """The session's state; a call, so that the type checker does not take it for constant."""
        return self.session.state

    def looks_for(self) -> TimerKind | None:
        """The alarm whose decision hangs on the room."""
        return None if self.session.look is None else self.session.look.why

    def link_lost_at(self) -> int | None:
        """When the link of the agent in charge broke."""
        return self.session.agent.link_lost_at

    def successor(self) -> int | None:
        """The epoch that is to take over."""
        return self.session.successor

    def reason(self) -> Reason | None:
        """Why it ends; None while no end is decided."""
        return None if self.session.end is None else self.session.end.reason

    @property
    def replayed(self) -> Session:
        """The session that the journal tells of."""
        return replay(self.journal)

    # What most stories begin with.

    def room(self, sid: str = "RM_1") -> None:
        """The room is created."""
        self(RoomStarted(at=0, sid=sid))

    def user(self, identity: str = "candidate", *, sid: str = "", **more: Any) -> None:  # noqa: ANN401 - fields of the event
        """A user joins."""
        self(ParticipantJoined(at=0, sid=sid or f"PA_{identity}", identity=identity, **more))

    def leaves(self, identity: str = "candidate", raw: str = "CLIENT_INITIATED", *, sid: str = "", **more: Any) -> None:  # noqa: ANN401 - fields of the event
        """A user leaves."""
        self(ParticipantLeft(at=0, sid=sid or f"PA_{identity}", identity=identity, raw=raw, **more))

    def agent(self, job: str = "AJ_1", *, epoch: int | None = None, attached: bool = True) -> None:
        """An agent attaches and joins; a stock one only joins."""
        identity = f"agent-{job}"
        if attached:
            self(AgentAttached(at=0, job=job, identity=identity, epoch=epoch))
        self(
            ParticipantJoined(
                at=0,
                sid=f"PA_{identity}",
                identity=identity,
                kind=ParticipantKind.AGENT,
                agent_name=self.session.agent_name,
            )
        )

    def agent_leaves(self, job: str = "AJ_1", raw: str = "CLIENT_INITIATED") -> None:
        """An agent leaves the room."""
        identity = f"agent-{job}"
        self(ParticipantLeft(at=0, sid=f"PA_{identity}", identity=identity, kind=ParticipantKind.AGENT, raw=raw))

    def live(self, *, attached: bool = True) -> None:
        """Room, user and agent are there."""
        self.room()
        self.user()
        self.agent(attached=attached)
