"""The user goes, and comes back.

1. While nobody who counts is there the agent is silent and costs nothing: what it says is broken off, it hears nothing,
   no model is asked.
2. Whoever comes back is linked, heard, and told where the talk stood: by the agent's `on_return`, else by its model.
   Who left before a word was said is greeted.
3. A kind that is not waited for (a caller, by default) and left on purpose ends the session here and now: the process
   is free before the webhook of the hang-up has come.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from livekit import api, rtc
from livekit.agents import Agent

from roomkeeper.agent.ending import Ended
from roomkeeper.agent.silence import Why
from roomkeeper.agent.stage import kind_of
from roomkeeper.lifecycle.absence import treated_as
from roomkeeper.lifecycle.evidence import departure
from roomkeeper.lifecycle.policy import Kind
from roomkeeper.lifecycle.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from roomkeeper.agent.ending import Ending
    from roomkeeper.agent.several import Several
    from roomkeeper.agent.stage import Stage

log = logging.getLogger("roomkeeper.agent")

INSTRUCTIONS: Final = (
    "The user lost the connection or reloaded the page and is back now. In one or two short sentences say where you "
    "were and go on: repeat what was cut off or is still to be answered. Do not greet, do not begin anew."
)
WORDS: Final = "You are back. Please go on."
BEGIN: Final = "The conversation has not begun yet, and the user is here now. Greet the user and begin."
HELLO: Final = "Hello."
REFERRED: Final = "roomkeeper.referred"
"""Attribute of a caller whom the application handed elsewhere; the control plane reads it too."""
SETTLED: Final = 0.3
"""Seconds from when somebody who returned is heard until the agent speaks: their side subscribes meanwhile."""
TRACK: Final = 5.0
"""Seconds to wait for the microphone of somebody who returned; then they are spoken to all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """Somebody who counts is back, after nobody was there.

    Attributes:
        identity: Who.
        after: Seconds since the last one had gone.
    """

    identity: str
    after: float


class Presence:
    """Follows who is there.

    Args:
        stage: The session.
        several: Links the one who is to be heard.
        ending: The end, for those who are not waited for.
        came: Called whenever somebody who counts came.
    """

    def __init__(self, stage: Stage, several: Several, ending: Ending, came: Callable[[], None]) -> None:
        self._stage = stage
        self._several = several
        self._ending = ending
        self._came = came
        self._gone_at = 0.0
        self._returning: asyncio.Task[None] | None = None
        self._referred: set[str] = set()
        self._transfer = stage.ctx.transfer_sip_participant

    def attach(self) -> None:
        """Begin to follow the room."""
        self._stage.room.on("participant_connected", self._connected)
        self._stage.room.on("participant_disconnected", self._disconnected)
        self._stage.ctx.transfer_sip_participant = self._refer  # type: ignore[method-assign]

    def _refer(
        self,
        participant: rtc.RemoteParticipant | str,
        *args: Any,  # noqa: ANN401 - as the original has them
        **kwargs: Any,  # noqa: ANN401
    ) -> asyncio.Future[api.SIPParticipantInfo]:
        """`ctx.transfer_sip_participant()`: who leaves then did not hang up."""
        identity = participant if isinstance(participant, str) else participant.identity
        self._referred.add(identity)
        self._stage.journal.write("room", {"event": "transfer", "identity": identity})
        return self._transfer(participant, *args, **kwargs)

    def start(self, *, resumed: bool) -> None:
        """The agent is in the room. One that was resumed into an empty room waits there for the user to return."""
        present = self._stage.counting()
        if present:
            self._several.link()
        elif resumed:
            self._go_silent()

    def _connected(self, participant: rtc.RemoteParticipant) -> None:
        if not self._stage.counts(participant):
            return
        self._several.arrived(participant)
        self._came()
        if Why.GONE in self._stage.silence:
            after = time.monotonic() - self._gone_at
            returned = Returned(identity=participant.identity, after=after)
            self._returning = self._stage.spawn(self._welcome(participant, returned), "welcome_back")

    def _disconnected(self, participant: rtc.RemoteParticipant) -> None:
        stage = self._stage
        if not stage.counts(participant):
            return
        if [each for each in stage.counting() if each.sid != participant.sid]:
            self._several.left(participant)
            return
        self._go_silent()
        self._let_go(participant)

    def _go_silent(self) -> None:
        stage = self._stage
        if Why.GONE not in stage.silence:
            self._gone_at = time.monotonic()
        if self._returning is not None:
            self._returning.cancel()
        if not self._ending.decided:  # a goodbye that nobody hears ends by itself
            stage.silence.hush()
        stage.silence.begin(Why.GONE)

    def _let_go(self, participant: rtc.RemoteParticipant) -> None:
        """End at once for somebody who left on purpose and is not waited for."""
        stage = self._stage
        kind = treated_as(kind_of(participant))
        reason = participant.disconnect_reason
        if stage.policy.hold_for(kind) > 0 or reason != rtc.DisconnectReason.CLIENT_INITIATED:
            return
        meaning = departure(rtc.DisconnectReason.Name(reason))
        ended = Ended(reason=meaning.caller if kind is Kind.SIP else meaning.user)
        if participant.identity in self._referred or participant.attributes.get(REFERRED, "") not in {"", "false"}:
            ended = Ended(reason=Reason.TRANSFERRED)
        self._ending.ask(ended, because=f"{participant.identity} left and is not waited for")

    async def _welcome(self, participant: rtc.RemoteParticipant, returned: Returned) -> None:
        """Hear them, be heard, and say where the talk stood."""
        stage = self._stage
        stage.silence.end(Why.GONE)
        await self._microphone(participant)
        await asyncio.sleep(SETTLED)
        if stage.silence or stage.session.user_state == "speaking" or stage.session.agent_state == "speaking":
            return
        agent = stage.session.current_agent
        begun = any(item.role in {"user", "assistant"} for item in stage.session.history.messages())
        hook: Callable[[Returned], Awaitable[Any] | None] | None = getattr(agent, "on_return", None)
        if not begun and type(agent).on_enter is not Agent.on_enter:
            await agent.on_enter()
        elif hook is not None:
            answer = hook(returned)
            if inspect.isawaitable(answer):
                await answer
        elif begun:
            stage.speak(WORDS, instructions=INSTRUCTIONS)
        else:
            stage.speak(HELLO, instructions=BEGIN)

    async def _microphone(self, participant: rtc.RemoteParticipant) -> None:
        """Wait until one of their tracks is heard."""
        stage = self._stage
        heard = asyncio.Event()

        def subscribed(_: rtc.Track, __: rtc.TrackPublication, who: rtc.RemoteParticipant) -> None:
            if who.sid == participant.sid:
                heard.set()

        stage.room.on("track_subscribed", subscribed)
        try:
            if any(publication.track is not None for publication in participant.track_publications.values()):
                return
            async with asyncio.timeout(TRACK):
                await heard.wait()
        except TimeoutError:
            return
        finally:
            stage.room.off("track_subscribed", subscribed)
