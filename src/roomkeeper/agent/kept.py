"""One session that is kept: what the application holds of it, and what the control plane says to it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol, assert_never
from weakref import WeakKeyDictionary

from livekit.agents import get_job_context

from roomkeeper.agent.ending import Ended, reason_of
from roomkeeper.agent.handover import HandOver
from roomkeeper.agent.limit import warn
from roomkeeper.agent.silence import Why
from roomkeeper.errors import IllegalCall
from roomkeeper.lifecycle.policy import read_policy
from roomkeeper.wire import link

if TYPE_CHECKING:
    from livekit.agents import JobContext

    from roomkeeper.agent.away import Away
    from roomkeeper.agent.leaving import Leaving
    from roomkeeper.agent.stage import Stage

log = logging.getLogger("roomkeeper.agent")


class Kept(Protocol):
    """A session that Roomkeeper keeps; of `roomkeeper.start`.

    Attributes:
        resumed: True if another agent was in charge before, and the conversation goes on: do not greet.
        session_id: `S_…`; empty as long as the control plane has not said.
        metadata: Of the application's own dispatch, the same for every agent of the session.
    """

    @property
    def resumed(self) -> bool: ...  # noqa: D102
    @property
    def session_id(self) -> str: ...  # noqa: D102
    @property
    def metadata(self) -> str: ...  # noqa: D102

    def end(
        self, reason: str = "completed", *, detail: str | None = None, data: object = None, goodbye: str | None = None
    ) -> None:
        """End the session, see `roomkeeper.end`."""

    async def ended(self) -> Ended:
        """Wait until the goodbye is said and the end is told, and return why; also when somebody else ended it.

        Raises:
            CancelledError: The session goes on without this job.
        """
        ...


kept_of: WeakKeyDictionary[JobContext, Kept] = WeakKeyDictionary()
"""The session of each job; of a job's further sessions none is kept."""


class NothingKept(IllegalCall):
    """There is no session to end: call it in a job, after `await roomkeeper.start(…)`."""


def end(
    reason: str = "completed", *, detail: str | None = None, data: object = None, goodbye: str | None = None
) -> None:
    """End the session of this job: once, politely, with a reason. Returns as soon as that is journaled.

    Args:
        reason: From the table of reasons (docs/reference/reasons.md); `completed` if the agent is done, `transferred`
            if people go on without it.
        detail: What you have to add, in words; it goes into the report, and everybody in the room can read it.
        data: What you have to add, as JSON; it goes into the report.
        goodbye: What the agent says last; it cannot be interrupted. None: it has said what it wants to.

    Raises:
        NothingKept: No session was started in this job.
        IllegalCall: The reason is not in the table.
    """
    ctx = get_job_context(required=False)
    kept = kept_of.get(ctx) if ctx is not None else None
    if kept is None:
        raise NothingKept
    kept.end(reason, detail=detail, data=data, goodbye=goodbye)


class KeptSession:
    """A session with a desk.

    Args:
        stage: What its parts share.
        leaving: The ways out.
        away: Its check-ins.
    """

    def __init__(self, stage: Stage, leaving: Leaving, away: Away) -> None:
        self.resumed = False
        self.metadata = ""
        self.unmuted = asyncio.Event()
        self._stage = stage
        self._leaving = leaving
        self._away = away
        self._hand_over = HandOver(stage, leaving)
        self._sid = ""
        self._attaching: asyncio.Task[None] | None = None

    @property
    def session_id(self) -> str:
        """`S_…`; empty as long as the control plane has not said."""
        return self._stage.session_id

    @property
    def leaving(self) -> Leaving:
        """The ways out."""
        return self._leaving

    def end(
        self, reason: str = "completed", *, detail: str | None = None, data: object = None, goodbye: str | None = None
    ) -> None:
        """End the session, see `roomkeeper.end`."""
        ended = Ended(reason=reason_of(reason), detail=detail, data=data)
        if not self._leaving.ending.ask(ended, goodbye=goodbye, because="roomkeeper.end()"):
            log.info("the end is decided already", extra={"reason": reason})

    async def ended(self) -> Ended:
        """Wait until the goodbye is said and the end is told, and return why."""
        return await asyncio.shield(self._leaving.ending.over)

    # What the control plane says.

    def adopt(self, answer: link.Attached) -> None:
        """The job is in charge, or will be."""
        stage = self._stage
        stage.session_id = answer.session
        stage.policy = read_policy(answer.policy)
        stage.seq = max(stage.seq, int(answer.state.get("seq") or 0))
        self.metadata = answer.metadata
        self._away.checks = max(self._away.checks, answer.check_ins)

    def take(self, frame: link.FromControl) -> None:
        """The control plane says something to this job."""
        match frame:
            case link.Attached():
                self._attached(frame)
            case link.EndNow():
                self._leaving.ending.told(frame)
            case link.Fenced():
                self._leaving.fenced(frame.why)
            case link.Mute():
                self._hand_over.begin()
            case link.Unmute():
                self._hand_over.stay()
                self.unmuted.set()
            case link.Warning():
                self._stage.spawn(warn(self._stage, frame.remaining / 1000), "warn")
            case link.Refused():
                self._speak_again()  # it is not kept, so nobody else is in charge either
            case link.Welcome() | link.Ack() | link.Heartbeat():
                pass  # the parent's
            case _:
                assert_never(frame)

    def _attached(self, frame: link.Attached) -> None:
        """The answer came late, or once more."""
        in_time = bool(self._stage.session_id)
        self.adopt(frame)
        if frame.muted and not in_time:
            # A hand-over's successor that began without its conversation: the agent before lives, and goes on.
            self._leaving.dismiss(Why.MUTED, "attached too late for its turn")
        elif not frame.muted:
            self._speak_again()
        self._away.poke()

    def stood_still(self) -> None:
        """This process stood still for longer than a lease: somebody else may be in charge."""
        self._fall_silent("the process stood still")

    def watch_connection(self) -> None:
        """Notice when the connection to the room was made anew; call it once the job is in the room."""
        room = self._stage.room
        self._sid = room.local_participant.sid
        room.on("local_track_republished", lambda *_: self._connected_anew())  # only a full reconnect does that
        room.on("reconnected", self._reconnected)

    def _reconnected(self) -> None:
        if self._stage.room.local_participant.sid != self._sid:
            self._connected_anew()

    def _connected_anew(self) -> None:
        self._sid = self._stage.room.local_participant.sid
        if not self._stage.session_id:
            return  # it never was in charge by anybody's word: there is nobody who could have replaced it
        if self._attaching is None or self._attaching.done():
            self._fall_silent("the connection to the room was made anew")
            self._attaching = self._stage.spawn(self._attach_again(), "attach_again")

    def _fall_silent(self, why: str) -> None:
        if self._leaving.left:
            return
        log.warning("somebody else may be in charge: silent until attached again", extra={"why": why})
        self._stage.silence.begin(Why.MUTED)
        self._stage.silence.hush()

    async def _attach_again(self) -> None:
        answer = await self._stage.desk.attach(attach_of(self._stage))
        if answer is not None:
            self.take(answer)

    def _speak_again(self) -> None:
        self.unmuted.set()
        if Why.MUTED in self._stage.silence:
            self._stage.silence.end(Why.MUTED)
            self._away.poke()


def attach_of(stage: Stage) -> link.Attach:
    """Say which job asks to be in charge."""
    header = stage.desk.header
    return link.Attach(
        job=header.job,
        room=header.room,
        room_sid=header.room_sid,
        identity=header.identity,
        agent_name=header.agent_name,
        epoch=header.epoch or None,
        session=header.session,
        metadata=header.metadata,
    )
