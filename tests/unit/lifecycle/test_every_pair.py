"""Every state meets every event. The table says by hand what comes of it: change it only on purpose.

A cell is the next state (W waiting, L live, H holding, R recovering, E ending, X ended) and what is asked for, alarms,
metadata and stream left out. `-` means: ignored with a reason.

The states: `waiting` has a user and no agent; `live` a user and the attached agent AJ_1; in `holding` the network of
the user is lost and the agent is there; in `recovering` AJ_1 was killed and is out of the room, epoch 2 is dispatched;
in `ending` an operator has ended it, AJ_1 says goodbye; in `ended` that is over, AJ_1 done, the report sent, the room
lingers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from roomkeeper.lifecycle.actions import CancelTimer, EmitEvent, Ignored, SetTimer, WriteRoomState
from roomkeeper.lifecycle.events import (
    AgentAttached,
    AgentDone,
    AgentLost,
    AgentYielded,
    ControlStarted,
    DispatchAnswered,
    DispatchFailed,
    EgressEnded,
    EgressStarted,
    EndAsked,
    Event,
    EvidenceGiven,
    GoodbyeOver,
    LeaseExpired,
    LinkLost,
    LookFailed,
    Noted,
    ParticipantAborted,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantRemoved,
    RoomFinished,
    RoomSeen,
    RoomStarted,
    Seen,
    TimerFired,
    TokenAsked,
    UserAway,
    UserBack,
)
from roomkeeper.lifecycle.machine import TABLE, transition
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import End, Session, State
from roomkeeper.lifecycle.vocabulary import ParticipantKind, TimerKind
from tests.unit.lifecycle.story import Story

_BELIEVED = "the room is listed as it is believed to be"


def _events() -> dict[str, Event]:
    """The events of the table, by the name of its line."""
    return {
        "RoomStarted another": RoomStarted(at=0, sid="RM_2"),
        "RoomStarted the same": RoomStarted(at=0, sid="RM_1"),
        "RoomFinished": RoomFinished(at=0, sid="RM_1"),
        "RoomFinished another": RoomFinished(at=0, sid="RM_0"),
        "ParticipantJoined user": ParticipantJoined(at=0, sid="PA_2", identity="guest"),
        "ParticipantJoined agent": ParticipantJoined(
            at=0, sid="PA_5", identity="agent-AJ_5", kind=ParticipantKind.AGENT, agent_name="interviewer"
        ),
        "ParticipantLeft user": ParticipantLeft(at=0, sid="PA_candidate", identity="candidate", raw="CLIENT_INITIATED"),
        "ParticipantLeft agent lost": ParticipantLeft(
            at=0, sid="PA_agent-AJ_1", identity="agent-AJ_1", kind=ParticipantKind.AGENT, raw="CONNECTION_TIMEOUT"
        ),
        "ParticipantLeft agent by itself": ParticipantLeft(
            at=0, sid="PA_agent-AJ_1", identity="agent-AJ_1", kind=ParticipantKind.AGENT, raw="CLIENT_INITIATED"
        ),
        "ParticipantLeft room deleted": ParticipantLeft(
            at=0, sid="PA_candidate", identity="candidate", raw="ROOM_DELETED"
        ),
        "ParticipantAborted": ParticipantAborted(at=0, sid="PA_3", identity="third"),
        "ParticipantRemoved": ParticipantRemoved(at=0, identity="agent-AJ_1"),
        "EgressStarted": EgressStarted(at=0, egress="EG_1"),
        "EgressEnded": EgressEnded(at=0, egress="EG_1"),
        "RoomSeen as believed": RoomSeen(at=0, sid=_BELIEVED),
        "RoomSeen no room": RoomSeen(at=0, sid=None),
        "LookFailed": LookFailed(at=0, error="503"),
        "AgentAttached another": AgentAttached(at=0, job="AJ_7", identity="agent-AJ_7"),
        "AgentAttached again": AgentAttached(at=0, job="AJ_1", identity="agent-AJ_1"),
        "AgentLost": AgentLost(at=0, job="AJ_1", exit=-9),
        "AgentDone": AgentDone(at=0, job="AJ_1"),
        "AgentYielded": AgentYielded(at=0, job="AJ_1"),
        "LeaseExpired": LeaseExpired(at=0, job="AJ_1"),
        "LinkLost": LinkLost(at=0, job="AJ_1"),
        "GoodbyeOver": GoodbyeOver(at=0, job="AJ_1"),
        "UserAway": UserAway(at=0, job="AJ_1", check=1),
        "UserBack": UserBack(at=0, job="AJ_1"),
        "Noted": Noted(at=0, job="AJ_1", seq=1, what="item"),
        "DispatchAnswered": DispatchAnswered(at=0, epoch=1, dispatch="AD_1"),
        "DispatchFailed": DispatchFailed(at=0, epoch=1, error="503"),
        "EndAsked by agent": EndAsked(at=0, reason=Reason.COMPLETED, by=By.AGENT, job="AJ_1"),
        "EndAsked by user": EndAsked(at=0, reason=Reason.USER_ENDED, by=By.USER, identity="candidate"),
        "EndAsked by operator": EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR),
        "TokenAsked": TokenAsked(at=0, identity="candidate"),
        "EvidenceGiven": EvidenceGiven(at=0, identity="candidate", what="offline"),
        "ControlStarted": ControlStarted(at=0),
        **{f"TimerFired {kind}": TimerFired(at=0, kind=kind) for kind in TimerKind},
    }


TABLE_BY_HAND = """
                                | waiting         | live                            | holding                         | recovering        | ending                      | ended
RoomStarted another             | H               | H                               | H                               | H                 | X EndAgent                  | X
RoomStarted the same            | -               | -                               | -                               | -                 | -                           | -
RoomFinished                    | H               | H                               | H                               | H                 | X EndAgent                  | X
RoomFinished another            | -               | -                               | -                               | -                 | -                           | -
ParticipantJoined user          | W               | L                               | L                               | R                 | E                           | X
ParticipantJoined agent         | L               | L                               | H                               | L                 | E                           | X RemoveParticipant
ParticipantLeft user            | H               | H                               | -                               | H                 | X EndAgent                  | X
ParticipantLeft agent lost      | W               | R FenceJob CreateDispatch       | H FenceJob                      | -                 | X                           | X
ParticipantLeft agent by itself | W               | L                               | H                               | -                 | X                           | X
ParticipantLeft room deleted    | X SendReport    | L                               | -                               | X SendReport      | X EndAgent                  | X
ParticipantAborted              | -               | -                               | -                               | -                 | -                           | -
ParticipantRemoved              | -               | -                               | -                               | -                 | -                           | X
EgressStarted                   | W               | L                               | H                               | R                 | E                           | X StopEgress
EgressEnded                     | -               | -                               | -                               | -                 | -                           | -
RoomSeen as believed            | W               | L                               | H                               | R                 | E                           | X RemoveParticipant
RoomSeen no room                | W               | L                               | H                               | R                 | E                           | X
LookFailed                      | -               | -                               | -                               | -                 | -                           | -
AgentAttached another           | W AcceptJob     | L FenceJob                      | H FenceJob                      | R AcceptJob       | E FenceJob                  | X FenceJob
AgentAttached again             | W AcceptJob     | L AcceptJob                     | H AcceptJob                     | R FenceJob        | E AcceptJob EndAgent        | X FenceJob
AgentLost                       | -               | R RemoveParticipant             | H RemoveParticipant             | -                 | X SendReport                | -
AgentDone                       | -               | X SendReport                    | H RemoveParticipant             | -                 | X SendReport                | -
AgentYielded                    | -               | L CreateDispatch                | H FenceJob RemoveParticipant    | -                 | -                           | -
LeaseExpired                    | -               | R FenceJob RemoveParticipant    | H FenceJob RemoveParticipant    | -                 | X                           | -
LinkLost                        | -               | L                               | H                               | -                 | E                           | -
GoodbyeOver                     | -               | -                               | -                               | -                 | X                           | -
UserAway                        | -               | L                               | -                               | -                 | -                           | -
UserBack                        | -               | L                               | -                               | -                 | -                           | -
Noted                           | W               | L                               | H                               | R                 | E                           | X
DispatchAnswered                | W               | L                               | H                               | R                 | E                           | X
DispatchFailed                  | W               | L                               | H                               | R                 | E                           | X
EndAsked by agent               | -               | E                               | X EndAgent                      | X SendReport      | -                           | -
EndAsked by user                | X SendReport    | E EndAgent                      | X EndAgent                      | X SendReport      | -                           | -
EndAsked by operator            | X SendReport    | E EndAgent                      | X EndAgent                      | X SendReport      | -                           | -
TokenAsked                      | W               | L                               | H                               | R                 | E                           | -
EvidenceGiven                   | W               | L                               | H                               | R                 | E                           | X
ControlStarted                  | W LookAtRoom    | L LookAtRoom                    | H LookAtRoom                    | R LookAtRoom      | E LookAtRoom                | X LookAtRoom
TimerFired join                 | W LookAtRoom    | -                               | -                               | -                 | -                           | -
TimerFired agent                | W LookAtRoom    | -                               | -                               | R LookAtRoom      | -                           | -
TimerFired dispatch             | W CreateDispatch | -                              | -                               | R CreateDispatch  | -                           | -
TimerFired hold                 | -               | -                               | H LookAtRoom                    | -                 | -                           | -
TimerFired word                 | X SendReport    | X EndAgent                      | X EndAgent                      | X SendReport      | -                           | -
TimerFired agent_back           | W               | R FenceJob RemoveParticipant    | H FenceJob RemoveParticipant    | -                 | -                           | -
TimerFired hand_over            | -               | R FenceJob RemoveParticipant    | H FenceJob RemoveParticipant    | -                 | -                           | -
TimerFired warning              | -               | L Warn                          | H Warn                          | R Warn            | -                           | -
TimerFired limit                | -               | E EndAgent                      | X EndAgent                      | X SendReport      | -                           | -
TimerFired look                 | W LookAtRoom    | L LookAtRoom                    | H LookAtRoom                    | R LookAtRoom      | E LookAtRoom                | -
TimerFired goodbye              | -               | -                               | -                               | -                 | X EndAgent                  | -
TimerFired linger               | -               | -                               | -                               | -                 | -                           | X DeleteRoom
TimerFired settle               | -               | -                               | -                               | -                 | -                           | X SendReport
"""  # noqa: E501 - a table


def _sessions() -> dict[State, Story]:
    """One session in each state."""
    waiting = Story()
    waiting.room()
    waiting.user()

    live = Story()
    live.live()

    holding = Story()
    holding.live()
    holding.leaves(raw="CONNECTION_TIMEOUT")

    recovering = Story()
    recovering.live()
    recovering(AgentLost(at=0, job="AJ_1", exit=-9))
    recovering.agent_leaves(raw="PARTICIPANT_REMOVED")

    ending = Story()
    ending.live()
    ending(EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))

    ended = Story()
    ended.live()
    ended(EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR))
    ended(GoodbyeOver(at=0, job="AJ_1"))
    ended(AgentDone(at=0, job="AJ_1"))

    return {story.session.state: story for story in (waiting, live, holding, recovering, ending, ended)}


def _met(event: Event, story: Story) -> tuple[Session, Event]:
    """Make session and event meet: the time is now, and an alarm that fires is set."""
    session = story.session
    if isinstance(event, RoomSeen) and event.sid == _BELIEVED:
        people = tuple(
            Seen(sid=person.sid, identity=person.identity, kind=person.kind) for person in session.participants
        )
        return session, RoomSeen(at=story.now, sid="RM_1", people=people)
    if isinstance(event, TimerFired):
        limit = {TimerKind.LIMIT: story.now + 5_000}
        session = replace(session, timers={**session.timers, **limit, event.kind: story.now})
        if event.kind is TimerKind.WORD:
            inferred = End(reason=Reason.ROOM_DELETED, at=story.now, because="for the table")
            session = replace(session, inferred=inferred)
    return session, replace(event, at=story.now)


_STATES = dict(zip("WLHREX", State, strict=True))
_UNSEEN = (SetTimer, CancelTimer, EmitEvent, WriteRoomState)


def _cells() -> list[tuple[State, str, str]]:
    head, *lines = TABLE_BY_HAND.strip("\n").splitlines()
    states = [State(word.strip()) for word in head.split("|")[1:]]
    return [
        (state, name.strip(), cell.strip())
        for name, *cells in (line.split("|") for line in lines)
        for state, cell in zip(states, cells, strict=True)
    ]


@pytest.mark.parametrize(("state", "name", "cell"), _cells())
def test_the_machine_does_what_the_table_says(state: State, name: str, cell: str) -> None:
    before, event = _met(_events()[name], _sessions()[state])

    after, actions = transition(before, event)

    ignored = [action.why for action in actions if isinstance(action, Ignored)]
    if cell == "-":
        assert ignored
        assert after.state is before.state
        return
    letter, *wanted = cell.split()
    assert not ignored
    assert after.state is _STATES[letter]
    assert [type(action).__name__ for action in actions if not isinstance(action, _UNSEEN)] == wanted


def test_the_table_by_hand_has_every_event_and_every_alarm() -> None:
    named = {type(event) for event in _events().values()}
    assert named == set(get_args(Event))
    assert {name for _, name, _ in _cells()} == set(_events())
    assert set(TABLE) == (named - {TimerFired}) | set(TimerKind)


def test_every_state_has_its_session() -> None:
    assert set(_sessions()) == set(State)
