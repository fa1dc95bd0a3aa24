"""What the parts that keep one session share."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from livekit import rtc
from livekit.agents.utils import is_given

from roomkeeper.lifecycle.absence import counts
from roomkeeper.lifecycle.policy import Policy
from roomkeeper.lifecycle.vocabulary import MACHINES, ParticipantKind

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from livekit.agents import AgentSession, JobContext
    from livekit.agents.voice import SpeechHandle

    from roomkeeper.agent.journal import Journal
    from roomkeeper.agent.local import Desk
    from roomkeeper.agent.silence import Silence

log = logging.getLogger("roomkeeper.agent")

CANCEL: Final = 2.0
"""Seconds for tasks to end that were cancelled."""

_PREFIX: Final = "PARTICIPANT_KIND_"


def kind_of(participant: rtc.RemoteParticipant) -> ParticipantKind:
    """LiveKit's kind of a participant, in the words of the core; an unknown one is a bridge to somewhere."""
    name = rtc.ParticipantKind.Name(participant.kind).removeprefix(_PREFIX).lower()
    return ParticipantKind(name) if name in set(ParticipantKind) else ParticipantKind.BRIDGE


def linked_identity(session: AgentSession[Any]) -> str | None:
    """Return who is listened to."""
    try:
        linked = session.room_io.linked_participant
    except RuntimeError:  # a session that runs without a room
        return None
    return linked.identity if linked is not None else None


def _names(tasks: Iterable[asyncio.Task[None]]) -> list[str]:
    return sorted(task.get_name() for task in tasks)


@dataclass(slots=True, kw_only=True)
class Stage:
    """One session, its room, and where its journal goes.

    Attributes:
        policy: What the session goes by; the defaults until the control plane has said.
        session_id: `S_…`; empty until the control plane has said.
        seq: Of the last state that the control plane told.
    """

    ctx: JobContext
    session: AgentSession[Any]
    desk: Desk
    journal: Journal
    silence: Silence
    policy: Policy = field(default_factory=Policy)
    session_id: str = ""
    seq: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _context: contextvars.Context = field(default_factory=contextvars.copy_context)

    @property
    def room(self) -> rtc.Room:
        """The room of the job."""
        return self.ctx.room

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run something for as long as the job lives, in the context of the entrypoint: a tool's ends with the tool."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name, context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a part of Roomkeeper failed", extra={"part": task.get_name()}, exc_info=error)

    async def aclose(self, *, but: asyncio.Task[None] | None = None) -> None:
        """Cancel every task but one; a hook of the application that does not let itself be cancelled is left behind."""
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task not in {current, but}]
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        _, left = await asyncio.wait(tasks, timeout=CANCEL)
        if left:
            log.warning("left behind what does not let itself be cancelled", extra={"parts": _names(left)})

    def counts(self, participant: rtc.RemoteParticipant) -> bool:
        """Whether somebody keeps the session alive by being there."""
        return counts(self.policy, participant.identity, kind_of(participant), hidden=False)

    def counting(self) -> list[rtc.RemoteParticipant]:
        """Everybody in the room who counts, in the order in which they came."""
        return self.company() if self.room.isconnected() else []

    def company(self) -> list[rtc.RemoteParticipant]:
        """The same; once the agent has left, those whom it left behind."""
        return [each for each in self.room.remote_participants.values() if self.counts(each)]

    def people(self) -> list[rtc.RemoteParticipant]:
        """Everybody in the room who is no machine."""
        if not self.room.isconnected():
            return []
        return [each for each in self.room.remote_participants.values() if kind_of(each) not in MACHINES]

    @property
    def linked(self) -> str | None:
        """The identity of the one who is listened to."""
        return linked_identity(self.session)

    def link(self, identity: str) -> None:
        """Listen to somebody."""
        with contextlib.suppress(RuntimeError):  # a session that runs without a room
            self.session.room_io.set_participant(identity)

    def reply(self) -> None:
        """Have the agent answer what was said last, if it has a model to do so."""
        with contextlib.suppress(RuntimeError):
            self.session.generate_reply()

    def speak(self, words: str, *, instructions: str = "", allow_interruptions: bool = True) -> SpeechHandle | None:
        """Have the agent say something.

        Args:
            words: To be said as they are. A model that speaks by itself is asked to.
            instructions: For the model, which finds its own words; without a model the words are said.
            allow_interruptions: Whether the user may interrupt.

        Returns:
            The speech; None if the session neither speaks nor writes now.
        """
        session = self.session
        try:
            agent = session.current_agent
            model = agent.llm if is_given(agent.llm) else session.llm
            voice = agent.tts if is_given(agent.tts) else session.tts
            if model is not None and (instructions or (voice is None and session.output.audio is not None)):
                asked = instructions or f"Say exactly this, and nothing else: {words}"
                return session.generate_reply(instructions=asked, allow_interruptions=allow_interruptions)
            return session.say(words, allow_interruptions=allow_interruptions)
        except RuntimeError:
            return None
