"""A worker whose agent talks: `python -m tests.lifecycle.talker start`. It has models of its own, and needs no network.

It answers what is written in the chat: `story` with three sentences, `said` with everything that the user said,
`stop` by ending the conversation, `bye` by doing so in livekit-agents' own way, and anything else by its number. Its
voice is a tone. The attribute `pid` of the agent names its process.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
from typing import Any

import numpy as np
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, NotGivenOr, cli, function_tool, llm, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions
from livekit.agents.voice.room_io import RoomOptions

import roomkeeper

STORY = (
    "Once upon a time there was a very small room. "
    "In that room there lived a very old keeper who never slept. "
    "And the keeper kept the room for ever and ever."
)
GREETING = "Hello and welcome."
GOODBYE = "Goodbye for now."
PITCH = 440.0
RATE = 24_000
PACE = 0.05
"""Seconds of sound for each character."""

server = roomkeeper.wrap(
    AgentServer(load_fnc=lambda: 0.0, num_idle_processes=1, initialize_process_timeout=60, host="127.0.0.1", port=0)
)


class Model(llm.LLM[str]):
    """Answers by rules."""

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> llm.LLMStream:
        return _Answer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Answer(llm.LLMStream):
    async def _run(self) -> None:
        await asyncio.sleep(0.05)
        said = [message.text_content or "" for message in self._chat_ctx.messages() if message.role == "user"]
        ran = self._chat_ctx.items and self._chat_ctx.items[-1].type == "function_call_output"
        match said[-1] if said else "":
            case "stop" | "bye" if not ran:
                call = llm.FunctionToolCall(name=said[-1], arguments=json.dumps({}), call_id=utils.shortuuid("call_"))
                delta = llm.ChoiceDelta(role="assistant", tool_calls=[call])
            case "story":
                delta = llm.ChoiceDelta(role="assistant", content=STORY)
            case "said":
                delta = llm.ChoiceDelta(role="assistant", content="You said " + ", ".join(said[:-1]) + ".")
            case _:
                delta = llm.ChoiceDelta(role="assistant", content=f"Number {len(said)}.")
        self._event_ch.send_nowait(llm.ChatChunk(id=utils.shortuuid("model_"), delta=delta))


class Voice(tts.TTS[str]):
    """A tone, as long as the text."""

    def __init__(self) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1)

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _Tone(tts=self, input_text=text, conn_options=conn_options)


class _Tone(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=utils.shortuuid("tone_"), sample_rate=RATE, num_channels=1, mime_type="audio/pcm"
        )
        samples = np.arange(round(RATE * max(0.3, PACE * len(self._input_text))))
        sound = (8000 * np.sin(2 * math.pi * PITCH * samples / RATE)).astype(np.int16)
        output_emitter.push(sound.tobytes())
        output_emitter.flush()


class Talker(Agent):
    """Talks, and stops when asked to."""

    def __init__(self) -> None:
        super().__init__(instructions="Talk.")

    async def on_enter(self) -> None:
        self.session.say(GREETING)

    @function_tool
    async def stop(self) -> None:
        """Stop."""
        roomkeeper.end("completed", detail="asked to stop", goodbye=GOODBYE)

    @function_tool
    async def bye(self) -> None:
        """Stop as livekit-agents has it."""
        self.session.say(GOODBYE)
        self.session.shutdown()


@server.rtc_session(agent_name="talker")
async def talk(ctx: JobContext) -> None:
    """Talk with whoever is in the room; with nobody in a room that is named `absent…`."""
    if ctx.room.name.startswith("absent"):
        return
    session: AgentSession[None] = AgentSession(
        llm=Model(), tts=Voice(), vad=None, turn_handling={"turn_detection": "manual"}
    )
    await roomkeeper.start(
        session, agent=Talker, room=ctx.room, room_options=RoomOptions(), session_host=False, record=False
    )
    await ctx.room.local_participant.set_attributes({"pid": str(os.getpid())})


if __name__ == "__main__":
    cli.run_app(server)
