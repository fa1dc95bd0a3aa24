"""An agent without models: `python -m bench.lifecycle.worker start`; `KEPT=0` runs it on livekit-agents alone.

It greets, answers every question with the questions that it was asked so far, looks something up when asked to, talks
at length when asked to, and ends in each of the ways there are: `end tool`, `end shutdown`, …  What it says sounds: a
tone for as long as the words would take, whose last 0.3 s have another pitch. It tells when it hears something.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    APIError,
    JobContext,
    cli,
    function_tool,
    get_job_context,
    llm,
    room_io,
    stt,
    tts,
    utils,
)
from livekit.agents.beta.tools import EndCallTool
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr
from livekit.agents.voice.agent_session import SessionConnectOptions

import roomkeeper
from bench.lifecycle.user import HEARD, LAST, TAIL, VOICE

if TYPE_CHECKING:
    from livekit.agents.llm import ChatContext, Tool, ToolChoice

KEPT: Final = os.environ.get("KEPT", "1") == "1"
RATE: Final = 24_000
WORD: Final = 0.15
"""Seconds that a word takes."""
THINKS: Final = 0.5
"""Seconds until the language model begins to answer."""
LOOKS_UP: Final = 1.5
"""Seconds that the tool takes."""
GREETING: Final = "Welcome and thank you for coming here today"
ANSWER: Final = "I heard"
BACK: Final = "There you are again and we go on"
NEVER: Final = "This is never said"
GOODBYE: Final = "That was all and I wish you a very good day"
HANGS: Final = "This is what the voice hangs at"
SENTENCES: Final = 10
"""Of six words each, when asked to talk at length."""
LOUD: Final = 1000
"""Amplitude that an agent calls a sound."""


class Tone(tts.TTS[str]):
    """Says every text as a tone of its length."""

    def __init__(self) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1)

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Begin to speak."""
        return _ToneStream(tts=self, input_text=text, conn_options=conn_options)


class _ToneStream(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        if self._input_text == HANGS:
            await asyncio.Event().wait()
        output_emitter.initialize(
            request_id=utils.shortuuid("tone_"), sample_rate=RATE, num_channels=1, mime_type="audio/pcm"
        )
        length = max(2 * TAIL, WORD * len(self._input_text.split()))
        at = np.arange(int(RATE * length)) / RATE
        pitch = np.where(at < length - TAIL, VOICE, LAST)
        output_emitter.push((np.sin(2 * np.pi * pitch * at) * 9000).astype(np.int16).tobytes())
        output_emitter.flush()


class Ears(stt.STT[str]):
    """Understands nothing, but tells that there is something to hear."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))

    async def _recognize_impl(
        self, buffer: utils.AudioBuffer, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions
    ) -> stt.SpeechEvent:
        return stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT)

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        """Begin to listen."""
        return _EarsStream(stt=self, conn_options=conn_options)


class _EarsStream(stt.RecognizeStream):
    async def _run(self) -> None:
        async for frame in self._input_ch:
            if isinstance(frame, self._FlushSentinel):
                continue
            if np.abs(np.frombuffer(frame.data, np.int16)).max(initial=0) > LOUD:
                heard = stt.SpeechData(language="en", text="a sound")  # type: ignore[arg-type]
                event = stt.SpeechEvent(type=stt.SpeechEventType.INTERIM_TRANSCRIPT, alternatives=[heard])
                self._event_ch.send_nowait(event)


class Model(llm.LLM[str]):
    """Answers with what it was asked."""

    def chat(
        self,
        *,
        chat_ctx: ChatContext,
        tools: list[Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> llm.LLMStream:
        """Begin to answer."""
        return _Answer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Answer(llm.LLMStream):
    async def _run(self) -> None:
        await asyncio.sleep(THINKS)
        asked, ran = list[str](), False
        for item in self._chat_ctx.items:
            if item.type == "message" and item.role == "user":
                asked.append(item.text_content or "")
                ran = False
            elif item.type == "function_call_output":
                ran = True
        last = asked[-1] if asked else ""
        delta = llm.ChoiceDelta(role="assistant")
        called = next((name for word, name in CALLED.items() if last.endswith(word)), "")
        if last == "end model":
            raise APIError("the model is broken", retryable=False)
        if called and not ran:
            delta.tool_calls = [llm.FunctionToolCall(name=called, arguments="{}", call_id=utils.shortuuid("call_"))]
        elif ran and last.startswith("end"):
            delta.content = GOODBYE if last == "end call" else ""
        elif last == "long":
            delta.content = " ".join("This is one of many sentences." for _ in range(SENTENCES))
        else:
            delta.content = f"{ANSWER} {' and '.join(asked) or 'nothing'} so far."
        for part in re.findall(r"\S+\s*", delta.content or "") or [None]:
            piece = llm.ChoiceDelta(role="assistant", content=part, tool_calls=delta.tool_calls)
            self._event_ch.send_nowait(llm.ChatChunk(id=utils.shortuuid("answer_"), delta=piece))


CALLED: Final = {"end call": "end_call", "end by tool": "finish", " tool": "look_up"}
"""Which tool is called for a question that ends so; the first that fits."""


class Talker(Agent):
    """The agent."""

    def __init__(self) -> None:
        super().__init__(instructions="Talk.", tools=[EndCallTool()])

    async def on_return(self, _: roomkeeper.Returned) -> None:
        """Say something else than the model, which would answer the last question twice."""
        self.session.say(BACK)

    @function_tool
    async def look_up(self) -> str:
        """Look something up."""
        await asyncio.sleep(LOOKS_UP)
        return "found"

    @function_tool
    async def finish(self) -> None:
        """End the conversation."""
        if KEPT:
            roomkeeper.end("completed", goodbye=GOODBYE)
        else:
            self.session.say(GOODBYE)
            self.session.shutdown()


server = AgentServer(
    load_fnc=lambda: 0.0,
    num_idle_processes=int(os.environ.get("IDLE", "1")),
    initialize_process_timeout=60,
    host="127.0.0.1",
    port=0,
)
if KEPT:
    roomkeeper.wrap(server)


def called(callback: str) -> None:
    """Write down that one of the application's callbacks ran."""
    room = get_job_context().room.name
    with Path(os.environ.get("CALLS", "."), f"{room}.calls").open("a") as calls:
        calls.write(f"{callback}\n")


async def session_ended(_: JobContext) -> None:
    """As an application delivers its report."""
    called("on_session_end")


async def shut_down(_: str) -> None:
    """Likewise."""
    called("shutdown_callback")


class _Raises(Exception):
    """What the entrypoint raises when asked to."""


@server.rtc_session(agent_name="talker", on_session_end=session_ended)
async def talk(ctx: JobContext) -> None:
    """Greet, and answer until the room is gone."""
    session: AgentSession[None] = AgentSession(
        llm=Model(),
        stt=Ears(),
        tts=Tone(),
        vad=None,
        turn_handling={"turn_detection": "manual"},
        user_away_timeout=None,
        conn_options=SessionConnectOptions(max_unrecoverable_errors=0),
    )
    raises = asyncio.Event()
    session.on("close", lambda _: called("close"))
    session.on("user_input_transcribed", lambda _: asyncio.ensure_future(tell(ctx)))
    ctx.add_shutdown_callback(shut_down)

    async def read(session: AgentSession[None], event: room_io.TextInputEvent) -> None:
        if event.text.startswith("end ") and event.text not in {*CALLED, "end model"}:
            await end(ctx, session, event.text.removeprefix("end "), raises)
        else:
            await session.interrupt()
            session.generate_reply(user_input=event.text)

    await ctx.connect()
    await ctx.room.local_participant.set_attributes({"pid": str(os.getpid()), "worker": os.environ.get("WORKER", "")})
    options = room_io.RoomOptions(text_input=room_io.TextInputOptions(text_input_cb=read))
    new = True
    if KEPT:
        kept = await roomkeeper.start(session, agent=Talker, room=ctx.room, room_options=options, record=False)
        new = not kept.resumed
    else:
        await session.start(Talker(), room=ctx.room, room_options=options, record=False)
    if new:
        await session.say(GREETING)
    if ctx.room.name.endswith("raise"):
        await raises.wait()
        raise _Raises


async def tell(ctx: JobContext) -> None:
    """Tell the user that something is heard."""
    if ctx.room.isconnected():
        await ctx.room.local_participant.publish_data("heard", topic=HEARD)


async def end(ctx: JobContext, session: AgentSession[None], way: str, raises: asyncio.Event) -> None:
    """End the conversation in one of the ways that applications have."""
    if way == "alone":
        while ctx.room.remote_participants:  # noqa: ASYNC110 - nobody tells when the last one has left
            await asyncio.sleep(0.05)
    if way in {"shutdown", "ctx", "delete"} or (not KEPT and way in {"twice", "transfer", "alone", "hung"}):
        session.say(HANGS if way == "hung" else GOODBYE)
    match way:
        case "twice" if KEPT:
            roomkeeper.end("completed", goodbye=GOODBYE)
            roomkeeper.end("user_ended", goodbye=NEVER)
        case "transfer" if KEPT:
            roomkeeper.end("transferred", goodbye=GOODBYE)
        case "alone" if KEPT:
            roomkeeper.end("completed", goodbye=GOODBYE)
        case "hung" if KEPT:
            roomkeeper.end("completed", goodbye=HANGS)
        case "twice" | "transfer" | "alone" | "hung" | "shutdown":
            session.shutdown()
        case "aclose":
            await session.aclose()
        case "ctx":
            ctx.shutdown("the talk is over")
        case "delete":
            await ctx.delete_room()
        case "disconnect":
            await ctx.room.disconnect()
        case "raise":
            raises.set()
        case _:
            raise ValueError(way)


def main() -> None:
    """Run the worker."""
    cli.run_app(server)


if __name__ == "__main__":
    main()
