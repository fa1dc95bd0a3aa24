"""`await roomkeeper.start(session, agent=…, room=ctx.room)`: `session.start`, and the conversation is kept."""

from __future__ import annotations

import asyncio
import copy
import logging
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from livekit.agents import get_job_context
from livekit.agents.voice.room_io import RoomOptions

from roomkeeper.agent import internals
from roomkeeper.agent.away import Away
from roomkeeper.agent.chat import Chat
from roomkeeper.agent.ending import Ended
from roomkeeper.agent.journal import Codec, Journal
from roomkeeper.agent.kept import Kept, KeptSession, attach_of, kept_of
from roomkeeper.agent.leaving import Leaving
from roomkeeper.agent.local import Desk
from roomkeeper.agent.presence import Presence
from roomkeeper.agent.resumed import Stand, go_on
from roomkeeper.agent.several import Listening, Several
from roomkeeper.agent.silence import Silence, Why, gate
from roomkeeper.agent.stage import Stage
from roomkeeper.agent.stock import StockSession
from roomkeeper.agent.takeover import Takeover, choose, load_userdata
from roomkeeper.agent.watchdog import Watchdog
from roomkeeper.errors import ConfigError
from roomkeeper.lifecycle.reasons import Reason
from roomkeeper.wire import link

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livekit import rtc
    from livekit.agents import Agent, AgentSession, JobContext

    from roomkeeper.agent.takeover import Factory

log = logging.getLogger("roomkeeper.agent")

ATTACH: Final = 1.0
"""Seconds to wait for the control plane; without it the agent runs, journals, and attaches later."""
ATTACH_REPLACEMENT: Final = 10.0
"""Seconds that a replacement waits: without the control plane it has no conversation to go on with."""

CLOCKS: Final = 2.0
"""Seconds by which the clocks of two workers may differ."""


class Dismissed(asyncio.CancelledError):
    """Another agent is in charge, or the session ended meanwhile: this job ends before it says a word.

    It ends the entrypoint quietly.
    """


async def start(
    session: AgentSession[Any],
    *,
    agent: Factory,
    room: rtc.Room,
    agents: Sequence[Factory] = (),
    userdata: Codec | None = None,
    listen_to: Listening = "speaker",
    room_options: RoomOptions | None = None,
    **as_session_start: Any,  # noqa: ANN401 - whatever `session.start` takes
) -> Kept:
    """Start a session that is kept: resumed if its agent was lost, ended once.

    Args:
        session: Not started.
        agent: The agent that begins; a class, a function that makes it, or the agent itself.
        room: Of the job.
        agents: All others that the conversation may be handed to, so that a resumed one can go on with the right one.
        userdata: Writes the userdata down and reads it; without it a resumed session has what it was made with.
        listen_to: Whom the agent hears when several people are there: `speaker`, whoever speaks, or `host`, the first.
        room_options: As for `session.start`; how it ends is the policy's, so `delete_room_on_close` cannot be set,
            and `close_on_disconnect` is always off.
        as_session_start: Everything else that `session.start` takes.

    Returns:
        What is kept.

    Raises:
        ConfigError: An option contradicts the policy.
        NotWrapped: The server was not wrapped.
        Dismissed: Another agent is in charge, or the session ended meanwhile.
    """
    ctx = get_job_context()
    options = _checked(room_options, as_session_start)
    if ctx in kept_of or room is not ctx.room:
        return await _stock(None, session, agent, room, room_options, as_session_start)
    if not internals.supported() or sys.platform == "win32":
        fields = {"installed": internals.version(), "wanted": internals.WANTED}
        log.warning("Roomkeeper does not know this livekit-agents; the session is not kept", extra=fields)
        kept_of[ctx] = kept = await _stock(ctx, session, agent, room, room_options, as_session_start)
        return kept
    start = _Start(ctx, session, Desk.of_job(ctx), userdata, options, listen_to)
    kept_of[ctx] = start.kept
    try:
        await start.run((agent, *agents), as_session_start)
    except Exception as error:
        start.kept.leaving.failed(error)
        raise
    return start.kept


def _checked(options: RoomOptions | None, arguments: dict[str, Any]) -> RoomOptions:
    """Return the options with which a session is kept."""
    for name in ("room_input_options", "room_output_options"):
        if name in arguments:
            raise ConfigError(f"`{name}` is deprecated in livekit-agents: pass `room_options=RoomOptions(…)`.")
    options = copy.copy(options) if options is not None else RoomOptions()
    if options.delete_room_on_close:
        raise ConfigError("`delete_room_on_close` contradicts Roomkeeper, which ends the room; leave it out.")
    options.close_on_disconnect = False
    return options


async def _stock(
    ctx: JobContext | None,
    session: AgentSession[Any],
    agent: Factory,
    room: rtc.Room,
    options: RoomOptions | None,
    arguments: dict[str, Any],
) -> StockSession:
    stock = StockSession(ctx, session)
    await session.start(choose([agent], ()), room=room, room_options=options or RoomOptions(), **arguments)
    return stock


async def _ask(desk: Desk, attach: link.Attach, within: float) -> link.Attached | link.Fenced | None:
    """Ask to be in charge; do not wait where the parent knows of no control plane."""
    asked = asyncio.ensure_future(desk.attach(attach, within))
    alone = asyncio.ensure_future(_is_alone(desk))
    try:
        await asyncio.wait({asked, alone}, return_when=asyncio.FIRST_COMPLETED)
        return asked.result() if asked.done() else None
    finally:
        for task in (asked, alone):
            task.cancel()


async def _is_alone(desk: Desk) -> None:
    while not desk.parent.told or desk.parent.url:  # noqa: ASYNC110 - the desk has no event for it
        await asyncio.sleep(0.02)


async def _nothing() -> None:
    """Do nothing."""


class _Start:
    """Puts the parts of a kept session together, and starts it."""

    def __init__(
        self,
        ctx: JobContext,
        session: AgentSession[Any],
        desk: Desk,
        codec: Codec | None,
        options: RoomOptions,
        listen_to: Listening,
    ) -> None:
        journal = Journal(desk, session, ctx.room, codec)
        self._stage = stage = Stage(ctx=ctx, session=session, desk=desk, journal=journal, silence=Silence(session))
        self._codec = codec
        self._options = options
        self._leaving = leaving = Leaving(stage)
        self._away = Away(stage, self._give_up)
        self.kept = KeptSession(stage, leaving, self._away)
        self._several = Several(stage, listen_to, options)
        self._presence = Presence(stage, self._several, leaving.ending, self._away.heard)
        self._takeover = Takeover(stage)
        self._factories: Sequence[Factory] = ()
        self._epoch = 1
        self._handed_over = False
        self._waits_since = 0.0
        self._chat: Chat | None = None
        self._begun = asyncio.Event()

    async def run(self, factories: Sequence[Factory], arguments: dict[str, Any]) -> None:
        """Attach, take over what there is, join the room, begin."""
        stage = self._stage
        self._factories = factories
        await self._attach()
        agent = choose(factories, self._takeover.past.agents if self.kept.resumed else ())
        if self.kept.resumed:
            await self._resume(agent)
        self._watch(agent)
        await stage.session.start(agent, room=stage.room, room_options=self._options, **arguments)
        if self._leaving.left:
            self._begun.set()
            raise Dismissed("the session went on, or ended, while this job started")
        self._started(agent)

    async def _attach(self) -> None:
        stage, kept = self._stage, self.kept
        desk = stage.desk
        replacement = desk.header.epoch > 1
        answer = await _ask(desk, attach_of(stage), ATTACH_REPLACEMENT if replacement else ATTACH)
        if isinstance(answer, link.Fenced):
            self._dismiss(answer)
        if isinstance(answer, link.Attached):
            kept.adopt(answer)
            self._epoch = answer.epoch
            if answer.muted:
                self._handed_over = True
                self._waits_since = time.time() - CLOCKS
                stage.silence.begin(Why.MUTED)
            if answer.resumed:
                # Into the room while the journal is read: nothing of a resumed session is waiting to be heard there.
                takeover = self._takeover
                await asyncio.gather(stage.ctx.connect(), takeover.load(living=self._handed_over))
                # What could not be read was a conversation all the same: nobody is greeted in the middle of it.
                kept.resumed = self._handed_over or takeover.past.begun or not takeover.whole
        desk.listen(kept.take, kept.stood_still)

    def _dismiss(self, fenced: link.Fenced) -> None:
        """End the job before it was in the room.

        Raises:
            Dismissed: always.
        """
        ctx = self._stage.ctx
        log.warning("another agent is in charge: leaving", extra={"why": fenced.why})
        self._leaving.settle()  # not a line more, whatever the entrypoint does on its way out
        task = asyncio.current_task()
        if task is not None:
            task.add_done_callback(lambda _: ctx.shutdown(fenced.why))
        raise Dismissed(fenced.why)

    async def _resume(self, agent: Agent) -> None:
        stage, takeover = self._stage, self._takeover
        await takeover.seed(agent)
        takeover.note()
        self._load_userdata()
        go_on(stage, agent, self._ready)

    def _load_userdata(self) -> None:
        userdata = load_userdata(self._codec, self._takeover.past, None)
        if userdata is not None:
            self._stage.session.userdata = userdata

    async def _turn(self) -> None:
        """Wait for this agent's turn, or until it is clear that there will be none."""
        unmuted: asyncio.Future[Any] = asyncio.ensure_future(self.kept.unmuted.wait())
        over: asyncio.Future[Any] = self._leaving.ending.over
        try:
            await asyncio.wait({unmuted, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            unmuted.cancel()

    async def _take_turn(self) -> None:
        """Take what the agent before did meanwhile, and what nobody took."""
        takeover = self._takeover
        before = takeover.past.userdata
        await takeover.catch_up()
        if takeover.past.userdata != before:
            self._load_userdata()
        self._stage.silence.end(Why.MUTED)
        if self._chat is not None:
            messages = takeover.past.history.messages()
            taken = {each.text_content or "" for each in messages if each.created_at >= self._waits_since}
            await self._chat.take_waiting(taken)

    async def _ready(self) -> Stand | None:
        """Wait until this agent may speak; return where the talk stands then, None if nobody is there to listen."""
        await self._begun.wait()
        if self._handed_over:
            await self._turn()
        if self._leaving.ending.over.done():
            return None
        if self._handed_over:
            await self._take_turn()
            if await self._was_handed_on():
                return None
        return await self._stand()

    async def _stand(self) -> Stand | None:
        """Where the talk stands now, None if nobody is there to listen."""
        if Why.GONE in self._stage.silence:
            return None
        return Stand(past=self._takeover.past, epoch=self._epoch, handed_over=self._handed_over)

    async def _was_handed_on(self) -> bool:
        """Go on with another agent, if the job before handed the talk to it while this one waited."""
        stage, ids = self._stage, self._takeover.past.agents
        current = stage.session.current_agent
        if not ids or ids[-1] == current.id:
            return False
        agent = choose(self._factories, ids)
        if agent.id == current.id:
            return False  # nobody makes the other one
        current.on_exit = _nothing  # type: ignore[method-assign]  # it never was in charge
        await self._takeover.tell(agent)
        go_on(stage, agent, self._stand)
        stage.session.update_agent(agent)
        return True

    def _watch(self, agent: Agent) -> None:
        """Put everything in place before the session starts: what happens from then on is noticed."""
        stage = self._stage
        if (texts := self._options.get_text_output_options()) is not None:
            texts = copy.copy(texts)
            texts.next_in_chain = stage.journal.heard(texts.next_in_chain)
            self._options.text_output = texts
        if (typed := self._options.get_text_input_options()) is not None:
            self._options.text_input = False
            self._chat = Chat(stage, typed, self._away.heard)
            self._chat.attach()
        internals.keep_voice()
        stage.journal.attach(agent)
        self._leaving.attach()
        self._presence.attach()
        self._several.attach()

    def _started(self, agent: Agent) -> None:
        stage = self._stage
        desk = stage.desk
        gate(stage.session, lambda: not (stage.silence.dumb or desk.lapsed))
        stage.journal.write(
            "started",
            {"agent": agent.id, "sdk": internals.version(), "resumed": self.kept.resumed, "epoch": self._epoch},
        )
        stage.journal.dump_userdata()
        self.kept.watch_connection()
        self._presence.start(resumed=self.kept.resumed)
        self._away.attach()
        Watchdog(stage).attach()
        self._begun.set()

    def _give_up(self) -> None:
        words = self._stage.policy.words(Reason.USER_AWAY)
        self._leaving.ending.ask(
            Ended(reason=Reason.USER_AWAY), goodbye=words, because="the user was silent through every check-in"
        )
