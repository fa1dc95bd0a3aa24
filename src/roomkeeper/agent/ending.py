"""How a session ends, from the agent's side: one end, once, whoever asks for it.

1. The intent is journaled first: from then on the reason is decided, whatever happens to this process.
2. Then the agent listens no more, says goodbye (uninterruptible, bounded), lets the last words travel, tells the
   control plane, closes its session and leaves. The room, the report and the page are the control plane's.
3. Without a control plane the agent tells the end in the room, by its own attribute, marked as provisional, and stays
   until pages have read it. Only where none is configured at all it deletes the room.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from roomkeeper.agent.silence import Why
from roomkeeper.errors import IllegalCall
from roomkeeper.lifecycle.reasons import REASONS, Reason

if TYPE_CHECKING:
    from livekit.agents import SpeechCreatedEvent
    from livekit.agents.voice import SpeechHandle

    from roomkeeper.agent.leaving import Leaving
    from roomkeeper.agent.stage import Stage
    from roomkeeper.wire import link

log = logging.getLogger("roomkeeper.agent")

ATTRIBUTE: Final = "roomkeeper"
"""The agent's participant attribute that tells the state when nobody else can."""
GOODBYE: Final = 20.0
"""Seconds for the goodbye and what is said before it; the control plane waits for 30."""
HUNG: Final = 5.0
"""Seconds without a sound until the goodbye is given up: nobody subscribed, or the TTS hangs."""
TAIL: Final = 0.4
"""Seconds for the last words to travel: playout is told by the sender's own clock."""
CLOSE: Final = 5.0
"""Seconds for the AgentSession to close."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Why a session ended.

    Attributes:
        reason: From the table of reasons.
        detail: What the application added in words.
        data: What it added in JSON.
    """

    reason: Reason
    detail: str | None = None
    data: Any = None


def reason_of(reason: str) -> Reason:
    """Return a reason by its name.

    Raises:
        IllegalCall: It is not in the table.
    """
    try:
        return Reason(reason)
    except ValueError:
        known = ", ".join(Reason)
        raise IllegalCall(f"{reason!r} is no reason; what you have to add goes into detail. Known: {known}.") from None


class Ending:
    """The end of one session.

    Attributes:
        decided: Why it ends; None while it does not.
        over: Done when goodbye is said and the end is told.
    """

    def __init__(self, stage: Stage, leaving: Leaving) -> None:
        self.decided: Ended | None = None
        self.over: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._stage = stage
        self._leaving = leaving
        self._hurry = asyncio.Event()
        self._speeches: set[SpeechHandle] = set()
        self._task: asyncio.Task[None] | None = None

    def attach(self) -> None:
        """Follow what the application has the agent say: a part of it may not have begun when the end comes."""
        self._stage.session.on("speech_created", self._said)

    def _said(self, event: SpeechCreatedEvent) -> None:
        if event.user_initiated:
            self._speeches.add(event.speech_handle)
            event.speech_handle.add_done_callback(self._speeches.discard)

    def ask(self, ended: Ended, *, goodbye: str | None = None, because: str = "") -> bool:
        """End the session; the first who asks decides.

        Args:
            ended: Why.
            goodbye: What the agent says last; None: it has said all it wants to.
            because: What decided it, for the log.

        Returns:
            False if the end was decided before.
        """
        if self.decided is not None or self._leaving.left:
            return False
        row = REASONS[ended.reason]
        asked = {"reason": ended.reason, "detail": ended.detail, "data": ended.data, "by": row.by}
        self._stage.journal.write("end", {**asked, "goodbye": goodbye is not None})
        log.info("the session ends", extra={"reason": ended.reason, "detail": ended.detail, "because": because})
        self._begin(ended, goodbye)
        return True

    def told(self, frame: link.EndNow) -> None:
        """The control plane ends the session, or says again that it does."""
        if self.decided is not None:
            if not frame.goodbye:
                self._hurry.set()
            return
        if self._leaving.left:
            return
        ended = Ended(reason=reason_of(frame.reason), detail=frame.detail)
        log.info("the control plane ends the session", extra={"reason": ended.reason, "detail": ended.detail})
        # Who pressed End wants no words; who hears nothing of an end from elsewhere believes in a fault.
        words = frame.message if frame.goodbye and ended.reason is not Reason.USER_ENDED else None
        self._stage.silence.hush()
        self._begin(ended, words)

    def forget(self) -> None:
        """This job will see no end: whoever waits for it is cancelled, so that the entrypoint does not hold the job."""
        self.over.cancel()

    def settle(self) -> None:
        """Tell that all is said, as far as there is time: the process is going."""
        if self.decided is not None and not self.over.done():
            self._say_over(heard=False)
            self._leaving.settle()

    def _begin(self, ended: Ended, goodbye: str | None) -> None:
        self.decided = ended
        self._stage.silence.begin(Why.ENDING)
        self._task = self._stage.spawn(self._run(ended, goodbye), "end_session")

    async def _run(self, ended: Ended, goodbye: str | None) -> None:
        stage = self._stage
        try:
            await self._tell("ending", ended)
            heard = await self._say_goodbye(goodbye)
            self._say_over(heard=heard)
            await stage.aclose(but=self._task)
            await self._tell("ended", ended)
            with contextlib.suppress(TimeoutError, RuntimeError):
                await asyncio.wait_for(stage.session.aclose(), CLOSE)
        finally:
            self.settle()
            self._leaving.settle()
            await self._leave_behind(ended)
            self._leaving.leave(ended.detail or ended.reason)

    def _say_over(self, *, heard: bool) -> None:
        if self.over.done():
            return
        self._stage.journal.write("goodbye_over", {"heard": heard})
        assert self.decided is not None  # noqa: S101 - for the type checker: callers have looked
        self.over.set_result(self.decided)

    async def _say_goodbye(self, goodbye: str | None) -> bool:
        """Say it, or finish what is being said, and wait until it was heard; bounded in every way."""
        stage = self._stage
        if not stage.people():
            stage.silence.hush()
            return False
        speech = stage.speak(goodbye, allow_interruptions=False) if goodbye else None
        heard = await (self._played(speech) if speech is not None else self._finished())
        if heard:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), TAIL)
        else:
            stage.silence.hush()
        return heard

    async def _finished(self) -> bool:
        """Wait until what is being said, or about to be, is said; not for tools: one of them may wait for this end."""
        session = self._stage.session
        changed = asyncio.Event()

        def change(_: object) -> None:
            changed.set()

        session.on("agent_state_changed", change)
        for speech in self._speeches:
            speech.add_done_callback(change)
        try:
            async with asyncio.timeout(GOODBYE):
                while session.agent_state == "speaking" or (self._speeches and not self._stage.journal.tools):
                    changed.clear()
                    async with asyncio.timeout(None if session.agent_state == "speaking" else HUNG):
                        await changed.wait()
        except TimeoutError:
            return False
        finally:
            session.off("agent_state_changed", change)
        return True

    async def _played(self, speech: SpeechHandle) -> bool:
        """Wait for the end of a speech; False if it was given up."""
        session = self._stage.session
        played = asyncio.ensure_future(speech.wait_for_playout())
        hurry = asyncio.ensure_future(self._hurry.wait())
        try:
            async with asyncio.timeout(GOODBYE):
                while not played.done() and not hurry.done():
                    await asyncio.wait({played, hurry}, timeout=HUNG, return_when=asyncio.FIRST_COMPLETED)
                    if not played.done() and session.agent_state != "speaking":
                        break
        except TimeoutError:
            pass
        finally:
            hurry.cancel()
            if not played.done():
                played.cancel()
        if not played.done() or played.cancelled():
            if not hurry.done():
                log.warning("the goodbye did not come to its end", extra={"agent_state": session.agent_state})
            return False
        return played.exception() is None and not speech.interrupted

    # With the control plane away.

    async def _tell(self, state: str, ended: Ended) -> None:
        """Tell the state in the room, if nobody else can; the pages get the time to read the last one."""
        stage = self._stage
        if stage.desk.linked or not stage.room.isconnected():
            return
        stage.seq += 1
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        said = {
            "v": 1,
            "session": stage.session_id,
            "seq": stage.seq,
            "state": state,
            "since": now,
            "now": now,
            "until": None,
            "reason": ended.reason,
            "by": REASONS[ended.reason].by,
            "message": stage.policy.words(ended.reason),
            "detail": ended.detail,
            "provisional": True,
        }
        try:
            async with asyncio.timeout(CLOSE):
                await stage.room.local_participant.set_attributes({ATTRIBUTE: json.dumps(said)})
        except Exception:
            log.exception("the end could not be told in the room")
            return
        if state == "ended" and stage.people():
            await asyncio.sleep(stage.policy.linger)

    async def _leave_behind(self, ended: Ended) -> None:
        """Delete the room where no control plane ever will."""
        stage = self._stage
        if stage.desk.parent.url or ended.reason is Reason.TRANSFERRED or not stage.room.isconnected():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE):
                await self._leaving.delete_room()
