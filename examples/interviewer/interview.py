"""One interview from the job to its end, and the worker that takes such jobs.

With Roomkeeper that is three lines: `wrap`, `start`, `end`. `ROOMKEEPER_STOCK=1` runs the same interview on
livekit-agents alone: what an interview then has to do for itself is the class `Interview`, and it still loses the talk
with its process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING

import numpy as np
from livekit.agents import (
    AgentServer,
    AgentSession,
    CloseEvent,
    CloseReason,
    JobContext,
    JobProcess,
    TurnHandlingOptions,
    UserStateChangedEvent,
    inference,
    room_io,
    tokenize,
    utils,
)
from livekit.agents.types import TOPIC_CHAT

import roomkeeper

from .espeak import Espeak
from .interviewer import CHECK_IN, GREET, Interviewer
from .language_model import language_model, openai_plugin
from .script import GOODBYE
from .state import Ending, StateAttribute, away, failed
from .stt import MoonshineSTT, Recognizer
from .tts import EspeakTTS
from .utterance import SAMPLE_RATE

if TYPE_CHECKING:
    from livekit import rtc

logger = logging.getLogger("interviewer")

ENDPOINTING_LIMIT = 2.0
"""Seconds of silence that end a turn which did not sound ended; half of it ends the utterance."""
BARGE_IN = 0.7
"""Seconds of speech, its silent end included, that stop the interviewer: more than a nod in words has."""
FALSE_ALARM = 1.5
"""Seconds without words after which the interviewer goes on; beyond `ENDPOINTING_LIMIT / 2`, when words come late."""
AWAY_AFTER = 15.0
"""Seconds of silence on both sides until the first check-in."""
CHECK_INS = 3
CHECK_IN_EVERY = 10.0
"""Seconds from the end of one check-in to the next, and from the last to the end."""
GOODBYE_LIMIT = 20.0
"""Seconds until a goodbye that does not come to its end is given up: without a listener it never would."""
TAIL = 0.5
"""Seconds for the last words to travel; playout is told by the sender's own clock."""
LINGER = 3.0
"""Seconds that the ended room stays, so that a page which is just reconnecting still learns why."""
CLOSE_LIMIT = 5.0
"""Seconds for the session to close."""

MAX_JOBS = int(os.environ.get("INTERVIEWER_MAX_JOBS", "8"))
"""Interviews that a worker holds at once."""
FULL = 0.7
"""Load of a full worker; LiveKit servers, too, pass over those above it."""

STOCK = os.environ.get("ROOMKEEPER_STOCK", "0").lower() not in {"", "0", "false", "no"}
"""Whether the interview runs without Roomkeeper, to compare."""

RECOGNIZER, ESPEAK = "recognizer", "espeak"


class Interview:
    """The course of an interview without Roomkeeper: check-ins while the candidate is silent, and exactly one end.

    Args:
        ctx: The job.
        session: Its session, not started.
    """

    def __init__(self, ctx: JobContext, session: AgentSession[None]) -> None:
        self._ctx = ctx
        self._session = session
        self._state = StateAttribute(ctx.room)
        self._live: asyncio.Task[None] | None = None
        self._checking_in: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        session.on("user_state_changed", self._on_user_state_changed)
        session.on("close", self._on_close)
        ctx.add_participant_entrypoint(self._on_participant)
        ctx.add_shutdown_callback(self.aclose)

    def end(self, ending: Ending) -> None:
        """End the interview; a second end is ignored, the first one is on its way."""
        if self._ending is None:
            logger.info("ending the interview", extra={"reason": ending.reason, "detail": ending.detail})
            self._ending = asyncio.create_task(self._end(ending), name="end_interview")

    async def aclose(self) -> None:
        """Leave no task behind."""
        tasks = [task for task in (self._checking_in, self._ending) if task is not None]
        await utils.aio.cancel_and_wait(*tasks)

    @utils.log_exceptions(logger=logger)
    async def _end(self, ending: Ending) -> None:
        room = self._ctx.room
        try:
            self._session.input.set_audio_enabled(False)
            with contextlib.suppress(ValueError):  # no text either
                room.unregister_text_stream_handler(TOPIC_CHAT)
            await self._state.publish("ending", ending)
            await self._say_goodbye()
            await self._state.publish("ended", ending)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._session.aclose(), CLOSE_LIMIT)
            if room.remote_participants:
                await asyncio.sleep(LINGER)
            await self._ctx.delete_room()
        finally:
            self._ctx.shutdown(ending.reason)

    async def _say_goodbye(self) -> None:
        """Say goodbye after what is being said, to its end; not at all when the session has closed."""
        try:
            speech = self._session.say(GOODBYE, allow_interruptions=False)
        except RuntimeError:
            return
        try:
            await asyncio.wait_for(speech.wait_for_playout(), GOODBYE_LIMIT)
        except TimeoutError:
            speech.interrupt(force=True)
        await asyncio.sleep(TAIL)

    @utils.log_exceptions(logger=logger)
    async def _check_in(self) -> None:
        for _ in range(CHECK_INS):
            await self._session.generate_reply(instructions=CHECK_IN)
            await asyncio.sleep(CHECK_IN_EVERY)
        self.end(away())

    async def _on_participant(self, ctx: JobContext, participant: rtc.RemoteParticipant) -> None:
        if self._live is None:
            self._live = asyncio.create_task(self._state.publish("live"), name="publish_live")
            await self._live

    def _on_user_state_changed(self, event: UserStateChangedEvent) -> None:
        if self._checking_in is not None:
            self._checking_in.cancel()
            self._checking_in = None
        if event.new_state == "away" and self._ending is None:
            self._checking_in = asyncio.create_task(self._check_in(), name="check_in")

    def _on_close(self, event: CloseEvent) -> None:
        if self._checking_in is not None:
            self._checking_in.cancel()
        if event.reason == CloseReason.ERROR and event.error is not None:
            self.end(failed(event.error.type))  # everybody in the room reads it: the log has the rest


def prewarm(process: JobProcess) -> None:
    """Load before there is a job what the first words would otherwise wait for."""
    recognizer = Recognizer()
    recognizer.transcribe(np.zeros(SAMPLE_RATE, np.int16))
    tokenize.basic.hyphenate_word("welcome")  # its patterns take 0.1 s to load; the transcript is paced by syllables
    process.userdata[RECOGNIZER] = recognizer
    process.userdata[ESPEAK] = Espeak()


def load(server: AgentServer) -> float:
    """How full the worker is: by its interviews, since a laptop busy with other things can well take one more."""
    return FULL * len(server.active_jobs) / MAX_JOBS


openai_plugin()  # takes seconds to load: known by now, it is loaded once, before the first job

server = AgentServer(
    setup_fnc=prewarm,
    load_fnc=load,
    load_threshold=FULL,
    num_idle_processes=1,
    initialize_process_timeout=60.0,
    host="127.0.0.1",
    port=int(os.environ.get("INTERVIEWER_HTTP_PORT", "0")),
)
if not STOCK:
    roomkeeper.wrap(server)


@server.rtc_session(agent_name="interviewer")
async def interview(ctx: JobContext) -> None:
    """Interview whoever is in the room."""
    session: AgentSession[None] = AgentSession(
        stt=MoonshineSTT(ctx.proc.userdata[RECOGNIZER]),
        llm=language_model(),
        tts=EspeakTTS(ctx.proc.userdata[ESPEAK]),
        vad=inference.VAD(),
        turn_handling=TurnHandlingOptions(
            # By name: in development mode the default ones are LiveKit's hosted models.
            turn_detection=inference.TurnDetector(version="v1-mini"),
            endpointing={"max_delay": ENDPOINTING_LIMIT},
            interruption={"mode": "vad", "min_duration": BARGE_IN, "false_interruption_timeout": FALSE_ALARM},
        ),
        user_away_timeout=AWAY_AFTER if STOCK else None,
        # Its silence would swallow the first words of a candidate who greets the interviewer at once.
        aec_warmup_duration=None,
    )
    if STOCK:
        await stock(ctx, session)
        return
    kept = await roomkeeper.start(
        session, agent=lambda: Interviewer(end), room=ctx.room, session_host=False, record=False
    )
    if not kept.resumed:
        session.generate_reply(instructions=GREET)


def end(ending: Ending) -> None:
    """End the interview politely, once."""
    roomkeeper.end(ending.reason, detail=ending.detail, goodbye=GOODBYE)


async def stock(ctx: JobContext, session: AgentSession[None]) -> None:
    """Interview without Roomkeeper."""
    course = Interview(ctx, session)
    await session.start(
        Interviewer(course.end),
        room=ctx.room,
        room_options=room_io.RoomOptions(),
        session_host=False,
        record=False,
    )
    session.generate_reply(instructions=GREET)
