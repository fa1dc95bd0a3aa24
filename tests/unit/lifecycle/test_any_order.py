"""Whatever happens, in whatever order: what must hold for every session at every moment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from roomkeeper.lifecycle import ends
from roomkeeper.lifecycle.actions import (
    AcceptJob,
    Action,
    CancelTimer,
    DeleteRoom,
    EmitEvent,
    FenceJob,
    Ignored,
    LookAtRoom,
    MuteAgent,
    SendReport,
    SetTimer,
    WriteRoomState,
)
from roomkeeper.lifecycle.codec import dump_event, dump_session, load_event, load_session
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
    SessionOpened,
    TimerFired,
    TokenAsked,
    UserAway,
    UserBack,
)
from roomkeeper.lifecycle.evidence import DEPARTURES
from roomkeeper.lifecycle.machine import begin, transition
from roomkeeper.lifecycle.policy import read_policy
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.replay import replay
from roomkeeper.lifecycle.state import Session, Standing, State, room_state
from roomkeeper.lifecycle.vocabulary import Dispatcher, Origin, ParticipantKind, TimerKind

KINDS = {
    "candidate": ParticipantKind.STANDARD,
    "panelist": ParticipantKind.STANDARD,
    "camera": ParticipantKind.INGRESS,
    "+49123": ParticipantKind.SIP,
    "recorder": ParticipantKind.EGRESS,
    "agent-AJ_1": ParticipantKind.AGENT,
    "agent-AJ_2": ParticipantKind.AGENT,
    "agent-AJ_3": ParticipantKind.AGENT,
    "avatar": ParticipantKind.AGENT,
    "scribe": ParticipantKind.AGENT,
}
HIDDEN = {"scribe"}
identities = st.sampled_from(sorted(KINDS))
connections = st.integers(1, 3)
rooms = st.sampled_from(["RM_1", "RM_2", "RM_3"])
jobs = st.sampled_from(["AJ_1", "AJ_2", "AJ_3", "AJ_4"])
raws = st.sampled_from([*DEPARTURES, "A_WORD_OF_TOMORROW"])
policies = st.fixed_dictionaries(
    {
        "hold.web": st.sampled_from([0, 7, 300]),
        "hold.other": st.sampled_from([0, 60]),
        "join_timeout": st.sampled_from([0, 300]),
        "agent_timeout": st.sampled_from([0, 20]),
        "counts": st.sampled_from([["web", "sip", "other"], ["sip", "identity:pane*"]]),
        "recover.attempts": st.sampled_from([0, 1, 3]),
        "time_limit": st.sampled_from(["none", 40, 3600]),
        "time_limit.warn": st.just([30, 10]),
        "linger": st.sampled_from([0, 3]),
        "ends_for_all": st.sampled_from(["host", "anyone", "nobody"]),
    }
)


def attending(session: Session) -> tuple[set[str], str | None]:
    """Who is there, of those whom a session is for."""
    return {person.identity for person in session.users}, session.agent.identity


class AnyOrder(RuleBasedStateMachine):
    """A session, and as much of the world as its actions need to make sense in."""

    @initialize(
        policy=policies, dispatcher=st.sampled_from(Dispatcher), origin=st.sampled_from(Origin), talking=st.booleans()
    )
    def open(self, policy: dict[str, Any], dispatcher: Dispatcher, origin: Origin, talking: bool) -> None:  # noqa: FBT001
        opened = SessionOpened(
            at=1_800_000_000_000,
            session="S_1",
            room="interview",
            agent_name="interviewer",
            dispatcher=dispatcher,
            origin=origin,
            policy=read_policy(policy),
        )
        self.now = self.moved_at = opened.at
        self.journal: list[SessionOpened | Event] = [opened]
        self.alarms: dict[TimerKind, int] = {}
        self.looks = 0
        self.voices: set[str] = set()
        self.written = 0
        self.revisions: list[int] = []
        self.deleted = False
        self.session, actions = begin(opened)
        self.carry_out(actions)
        if talking:
            self.happen(RoomStarted(at=0, sid="RM_1"))
            self.happen(ParticipantJoined(at=0, sid="PA_panelist_0", identity="panelist"))
            self.the_expected_job_attaches_and_joins("AJ_1")
            assert self.session.state is State.LIVE

    def happen(self, event: Event) -> None:
        before = self.session
        self.moved_at = self.now
        event = replace(event, at=self.now)
        self.journal.append(event)
        self.session, actions = transition(before, event)
        if isinstance(event, TimerFired) and not any(isinstance(action, Ignored) for action in actions):
            self.alarms.pop(event.kind)
        if isinstance(event, RoomSeen | LookFailed):
            self.looks = 0
        if isinstance(event, AgentDone | AgentLost):
            self.voices.discard(event.job)
        self.carry_out(actions)
        self.compare(before, self.session, actions)
        self.attend(before, self.session, actions)
        assert load_event(dump_event(event)) == event

    def carry_out(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            match action:
                case SetTimer(kind=kind, at=at):
                    self.alarms[kind] = at
                case CancelTimer(kind=kind):
                    del self.alarms[kind]
                case LookAtRoom():
                    self.looks += 1
                case AcceptJob(job=job, muted=False) | MuteAgent(job=job, muted=False):
                    self.voices.add(job)
                case MuteAgent(job=job, muted=True) | FenceJob(job=job):
                    self.voices.discard(job)
                case WriteRoomState(seq=seq):
                    self.written = seq
                case SendReport(revision=revision):
                    self.revisions.append(revision)
                case DeleteRoom():
                    self.deleted = True
                case _:
                    pass

    def compare(self, before: Session, after: Session, actions: tuple[Action, ...]) -> None:
        assert after.seq >= before.seq
        visible = {**room_state(before, self.now), "seq": 0}
        if visible != {**room_state(after, self.now), "seq": 0}:
            assert after.seq > before.seq
            assert self.written == after.seq
        if before.end is not None:
            assert after.end == before.end
        if before.state is State.ENDED:
            assert (after.state, after.ended_at, after.since) == (State.ENDED, before.ended_at, before.since)
        assert after.current >= before.current
        assert len(after.epochs) >= len(before.epochs)
        assert after.report >= before.report
        if any(isinstance(action, Ignored) for action in actions) and len(actions) == 1:
            assert replace(after, gone=(), sids=()) == replace(before, gone=(), sids=())

    def attend(self, before: Session, after: Session, actions: tuple[Action, ...]) -> None:
        """Whoever comes or goes is counted, and told unless a state or the end tells it."""
        was, there = attending(before), attending(after)
        assert after.attendance == before.attendance + (was != there)
        untold = was != there and after.seq == before.seq and after.state is not State.ENDED
        said = [action for action in actions if isinstance(action, EmitEvent) and action.topic == "session.changed"]
        assert said == [EmitEvent(topic="session.changed", data={"attendance": after.attendance})] * untold
        idle = not after.users and after.agent.identity is not None and after.state is not State.ENDED
        since = self.now if before.idle_since is None else before.idle_since
        assert after.idle_since == (since if idle else None)

    # What may happen.

    @rule(seconds=st.sampled_from([0, 0.2, 1, 5, 5, 12, 31, 400]))
    def time_passes(self, seconds: float) -> None:
        self.now += round(seconds * 1000)

    @precondition(lambda self: self.session.timers)
    @rule(data=st.data())
    def an_alarm_is_due(self, data: st.DataObject) -> None:
        kind = data.draw(st.sampled_from(sorted(self.session.timers)))
        self.now = max(self.now, self.session.timers[kind])
        self.happen(TimerFired(at=0, kind=kind))

    @rule(kind=st.sampled_from(TimerKind))
    def an_alarm_fires_that_may_be_stale(self, kind: TimerKind) -> None:
        self.happen(TimerFired(at=0, kind=kind))

    @rule(sid=rooms)
    def a_room_starts(self, sid: str) -> None:
        self.happen(RoomStarted(at=0, sid=sid))

    @rule(sid=rooms)
    def a_room_finishes(self, sid: str) -> None:
        self.happen(RoomFinished(at=0, sid=sid))

    @rule(identity=identities, number=connections, room=st.sampled_from(["", "RM_1", "RM_2"]), name=st.booleans())
    def somebody_joins(self, identity: str, number: int, room: str, name: bool) -> None:  # noqa: FBT001
        self.happen(
            ParticipantJoined(
                at=0,
                sid=f"PA_{identity}_{number}",
                identity=identity,
                kind=KINDS[identity],
                room_sid=room,
                agent_name="interviewer" if name else "",
                on_behalf="agent-AJ_1" if identity == "avatar" else "",
                hidden=identity in HIDDEN,
            )
        )

    @rule(
        identity=identities,
        number=connections,
        room=st.sampled_from(["", "RM_1", "RM_2"]),
        raw=raws,
        sip=st.sampled_from([0, 200, 486]),
        referred=st.booleans(),
    )
    def somebody_leaves(
        self,
        identity: str,
        number: int,
        room: str,
        raw: str,
        sip: int,
        referred: bool,  # noqa: FBT001
    ) -> None:
        self.happen(
            ParticipantLeft(
                at=0,
                sid=f"PA_{identity}_{number}",
                identity=identity,
                kind=KINDS[identity],
                room_sid=room,
                hidden=identity in HIDDEN,
                raw=raw,
                sip_status=sip,
                referred=referred,
            )
        )

    @precondition(lambda self: self.session.participants)
    @rule(data=st.data(), raw=raws)
    def somebody_there_leaves(self, data: st.DataObject, raw: str) -> None:
        person = data.draw(st.sampled_from(self.session.participants))
        self.happen(ParticipantLeft(at=0, sid=person.sid, identity=person.identity, kind=person.kind, raw=raw))

    @rule(identity=identities, number=connections, raw=raws)
    def somebody_fails_to_join(self, identity: str, number: int, raw: str) -> None:
        sid = f"PA_{identity}_{number}"
        self.happen(ParticipantAborted(at=0, sid=sid, identity=identity, kind=KINDS[identity], raw=raw))

    @rule(identity=identities)
    def a_removal_is_confirmed(self, identity: str) -> None:
        self.happen(ParticipantRemoved(at=0, identity=identity))

    @rule(room=st.sampled_from([None, "RM_1", "RM_2"]), people=st.sets(st.tuples(identities, connections), max_size=4))
    def the_room_is_seen(self, room: str | None, people: set[tuple[str, int]]) -> None:
        listed = tuple(
            Seen(sid=f"PA_{identity}_{number}", identity=identity, kind=KINDS[identity], hidden=identity in HIDDEN)
            for identity, number in sorted(people)
        )
        self.happen(RoomSeen(at=0, sid=room, people=listed if room else ()))

    @rule()
    def the_room_is_seen_as_believed(self) -> None:
        listed = tuple(
            Seen(sid=person.sid, identity=person.identity, kind=person.kind) for person in self.session.participants
        )
        self.happen(RoomSeen(at=0, sid=self.session.room_sid, people=listed if self.session.room_sid else ()))

    @rule()
    def the_room_api_fails(self) -> None:
        self.happen(LookFailed(at=0, error="503"))

    @rule(job=jobs, epoch=st.sampled_from([None, None, 1, 2, 3]))
    def a_job_attaches(self, job: str, epoch: int | None) -> None:
        self.happen(AgentAttached(at=0, job=job, identity=f"agent-{job}", epoch=epoch))

    @rule(job=jobs)
    def an_expected_job_attaches_and_joins(self, job: str) -> None:
        self.the_expected_job_attaches_and_joins(job)

    def the_expected_job_attaches_and_joins(self, job: str) -> None:
        self.happen(AgentAttached(at=0, job=job, identity=f"agent-{job}", epoch=self.session.current))
        self.happen(ParticipantJoined(at=0, sid=f"PA_{job}", identity=f"agent-{job}", kind=ParticipantKind.AGENT))

    @precondition(lambda self: self.session.agent.job is not None)
    @rule(
        make=st.sampled_from(
            [AgentLost, AgentDone, AgentYielded, LeaseExpired, LinkLost, GoodbyeOver, UserBack],
        )
    )
    def the_worker_in_charge_speaks(self, make: Any) -> None:  # noqa: ANN401 - one of the classes above
        self.happen(make(at=0, job=self.session.agent.job))

    @rule(
        job=jobs,
        make=st.sampled_from([AgentLost, AgentDone, AgentYielded, LeaseExpired, LinkLost, GoodbyeOver, UserBack]),
    )
    def some_worker_speaks(self, job: str, make: Any) -> None:  # noqa: ANN401 - one of the classes above
        self.happen(make(at=0, job=job))

    @precondition(lambda self: self.session.successor is not None)
    @rule()
    def the_successor_comes(self) -> None:
        self.happen(AgentAttached(at=0, job="AJ_9", identity="agent-AJ_9", epoch=self.session.successor))
        self.happen(ParticipantJoined(at=0, sid="PA_9", identity="agent-AJ_9", kind=ParticipantKind.AGENT))

    @rule(job=jobs, seq=st.integers(1, 5), what=st.sampled_from(["item", "usage"]))
    def a_line_of_a_spool_arrives(self, job: str, seq: int, what: str) -> None:
        self.happen(Noted(at=0, job=job, seq=seq, what=what))

    @rule(job=jobs, check=st.integers(1, 3))
    def the_user_is_away(self, job: str, check: int) -> None:
        self.happen(UserAway(at=0, job=job, check=check))

    @rule(reason=st.sampled_from(Reason), by=st.sampled_from(By), job=jobs, identity=identities)
    def an_end_is_asked_for(self, reason: Reason, by: By, job: str, identity: str) -> None:
        self.happen(EndAsked(at=0, reason=reason, by=by, job=job, identity=identity))

    @rule(start=st.booleans(), egress=st.sampled_from(["EG_1", "EG_2"]))
    def a_recording_starts_or_ends(self, start: bool, egress: str) -> None:  # noqa: FBT001
        self.happen(EgressStarted(at=0, egress=egress) if start else EgressEnded(at=0, egress=egress))

    @rule(
        event=st.sampled_from(
            [
                DispatchAnswered(at=0, epoch=1, dispatch="AD_1"),
                DispatchFailed(at=0, epoch=1, error="503"),
                TokenAsked(at=0, identity="candidate"),
                EvidenceGiven(at=0, identity="candidate", what="offline"),
                ControlStarted(at=0),
            ]
        )
    )
    def something_else_is_told(self, event: Event) -> None:
        self.happen(event)

    # What must hold.

    @invariant()
    def the_world_has_the_alarms_of_the_session(self) -> None:
        assert self.alarms == self.session.timers

    @invariant()
    def no_alarm_outlives_the_end(self) -> None:
        if self.session.state is State.ENDED:
            assert self.session.timers.keys() <= {TimerKind.LINGER, TimerKind.SETTLE}
        if self.session.state is State.ENDING:
            assert self.session.timers.keys() <= {TimerKind.GOODBYE, TimerKind.LOOK}

    @invariant()
    def the_state_is_what_the_people_make_it(self) -> None:
        session = self.session
        if ends.stands(session):
            return
        match session.state:
            case State.LIVE:
                assert session.users
                assert session.agent_is_here
            case State.HOLDING:
                assert not session.users
                assert session.until is not None
            case State.RECOVERING:
                assert session.users
                assert session.had_agent
                assert not session.agent_is_here
            case State.WAITING:
                assert not (session.users and session.agent_is_here)
                assert not session.absent or session.users
            case State.ENDING | State.ENDED:
                assert session.end is not None
        assert session.until is None or session.state is State.HOLDING

    @invariant()
    def no_session_waits_for_nothing(self) -> None:
        session = self.session
        alarms = session.timers.keys()
        pending = session.inferred is not None and TimerKind.WORD in alarms
        looking = session.look is not None and (TimerKind.LOOK in alarms or self.looks > 0)
        match session.state:
            case State.LIVE:
                assert session.policy.time_limit is None or TimerKind.LIMIT in alarms
                assert TimerKind.AGENT_BACK in alarms or session.is_present(session.agent.identity) or pending
            case State.HOLDING:
                assert TimerKind.HOLD in alarms or looking or pending
            case State.RECOVERING:
                assert TimerKind.AGENT in alarms or looking or pending
            case State.WAITING:
                assert alarms & {TimerKind.JOIN, TimerKind.AGENT} or looking or pending
            case State.ENDING:
                assert TimerKind.GOODBYE in alarms
            case State.ENDED:
                kept = session.keeps_room or session.room_sid is None
                assert kept or self.deleted or TimerKind.LINGER in alarms
                assert TimerKind.SETTLE in alarms or (session.report > 0 and not session.unreported)

    @invariant()
    def never_two_voices(self) -> None:
        assert len(self.voices) <= 1

    @invariant()
    def epochs_are_numbered_and_belong_to_one_job_each(self) -> None:
        epochs = self.session.epochs
        assert [epoch.number for epoch in epochs] == list(range(1, len(epochs) + 1))
        known = [epoch.job for epoch in epochs if epoch.job is not None]
        assert len(known) == len(set(known))
        assert sum(epoch.standing is Standing.IN_CHARGE for epoch in epochs) <= 1

    @invariant()
    def recoveries_are_bounded(self) -> None:
        session = self.session
        if session.state is State.RECOVERING and session.inferred is None and session.agent.job is None:
            since = [at for at in session.losses if self.moved_at - at < 600_000]
            assert len(since) <= session.policy.recover_attempts

    @invariant()
    def reports_are_numbered_without_a_gap(self) -> None:
        assert self.revisions == list(range(1, self.session.report + 1))

    def teardown(self) -> None:
        """The journal tells the same story, and so do its bytes."""
        if hasattr(self, "journal"):
            assert replay(self.journal) == self.session
            assert replay([load_event(dump_event(event)) for event in self.journal]) == self.session
            assert load_session(dump_session(self.session)) == self.session


AnyOrder.TestCase.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAnyOrder = AnyOrder.TestCase
