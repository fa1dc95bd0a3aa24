"""An agent without models: `python -m bench.lifecycle.worker start`; `KEPT=0` runs it on livekit-agents alone.

It greets, answers every question with the questions that it was asked so far, looks something up when asked to, and
talks for a minute when asked to. What it says sounds: a tone for as long as the words would take.
"""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli, function_tool, llm, room_io, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr

import roomkeeper

if TYPE_CHECKING:
    from livekit.agents.llm import ChatContext, Tool, ToolChoice

KEPT: Final = os.environ.get("KEPT", "1") == "1"
RATE: Final = 24_000
WORD: Final = 0.25
"""Seconds that a word takes."""
THINKS: Final = 0.5
"""Seconds until the language model begins to answer."""
LOOKS_UP: Final = 1.5
"""Seconds that the tool takes."""
GREETING: Final = "Welcome and thank you for coming here today"


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
        output_emitter.initialize(
            request_id=utils.shortuuid("tone_"), sample_rate=RATE, num_channels=1, mime_type="audio/pcm"
        )
        at = np.arange(int(RATE * WORD * len(self._input_text.split()))) / RATE
        output_emitter.push((np.sin(2 * np.pi * 440 * at) * 9000).astype(np.int16).tobytes())
        output_emitter.flush()


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
        asked, looked_up = list[str](), False
        for item in self._chat_ctx.items:
            if item.type == "message" and item.role == "user":
                asked.append(item.text_content or "")
                looked_up = False
            elif item.type == "function_call_output":
                looked_up = True
        delta = llm.ChoiceDelta(role="assistant")
        if asked and "tool" in asked[-1] and not looked_up:
            call = llm.FunctionToolCall(name="look_up", arguments="{}", call_id=utils.shortuuid("call_"))
            delta.tool_calls = [call]
        elif asked and "long" in asked[-1]:
            delta.content = " ".join("This is one of many sentences." for _ in range(40))
        else:
            delta.content = f"I heard {' and '.join(asked) or 'nothing'} so far and that is all of it."
        for part in re.findall(r"\S+\s*", delta.content or "") or [None]:
            piece = llm.ChoiceDelta(role="assistant", content=part, tool_calls=delta.tool_calls)
            self._event_ch.send_nowait(llm.ChatChunk(id=utils.shortuuid("answer_"), delta=piece))


class Talker(Agent):
    """The agent."""

    def __init__(self) -> None:
        super().__init__(instructions="Talk.")

    @function_tool
    async def look_up(self) -> str:
        """Look something up."""
        await asyncio.sleep(LOOKS_UP)
        return "found"


server = AgentServer(
    load_fnc=lambda: 0.0,
    num_idle_processes=int(os.environ.get("IDLE", "1")),
    initialize_process_timeout=60,
    host="127.0.0.1",
    port=0,
)
if KEPT:
    roomkeeper.wrap(server)


@server.rtc_session(agent_name="talker")
async def talk(ctx: JobContext) -> None:
    """Greet, and answer until the room is gone."""
    session: AgentSession[None] = AgentSession(
        llm=Model(), tts=Tone(), vad=None, turn_handling={"turn_detection": "manual"}, user_away_timeout=None
    )
    await ctx.connect()
    await ctx.room.local_participant.set_attributes({"pid": str(os.getpid()), "worker": os.environ.get("WORKER", "")})
    if KEPT:
        kept = await roomkeeper.start(session, agent=Talker, room=ctx.room, record=False)
        new = not kept.resumed
    else:
        options = room_io.RoomOptions(close_on_disconnect=False)
        await session.start(Talker(), room=ctx.room, room_options=options, record=False)
        new = True
    if new:
        await session.say(GREETING)


if __name__ == "__main__":
    cli.run_app(server)
