"""A worker with light agents, kept by Roomkeeper or stock: `CHAOS_AGENT=kept python -m tests.chaos.agents start`.

An agent has no ears and no voice: it holds a conversation with itself, in text, and goes on where the one before it was
lost. What it has said it notes in a file of its own (`CHAOS_NOTES`), after its journal has it; so whatever is in these
files must be in the report. What it says after its journal was closed, since another agent is in charge or the session
is over, is nobody's. The metadata of a job says how its agent ends, and after how many seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, NotGivenOr, cli, llm, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions
from livekit.agents.voice.room_io import RoomOptions

import roomkeeper
from roomkeeper.agent import spool
from tests.chaos.planes import KEPT, STOCK

PACE = 0.4
"""Seconds between two things that an agent says."""

is_kept = os.environ["CHAOS_AGENT"] == "kept"
notes = Path(os.environ["CHAOS_NOTES"])
server = AgentServer(
    load_fnc=lambda: 0.0, num_idle_processes=1, initialize_process_timeout=120, host="127.0.0.1", port=0
)
if is_kept:
    server = roomkeeper.wrap(server)


class Model(llm.LLM[str]):
    """Answers everything with the same word."""

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
        delta = llm.ChoiceDelta(role="assistant", content="Well.")
        self._event_ch.send_nowait(llm.ChatChunk(id=utils.shortuuid("model_"), delta=delta))


@server.rtc_session(agent_name=KEPT if is_kept else STOCK)
async def talk(ctx: JobContext) -> None:
    """Talk until it is time to end, or nobody is left to talk to."""
    plan = json.loads(ctx.job.metadata)
    (notes / f"{ctx.job.id}.pid").write_text(f"{os.getpid()}\n")
    session: AgentSession[None] = AgentSession(llm=Model(), vad=None, turn_handling={"turn_detection": "manual"})
    options = RoomOptions(audio_input=False, audio_output=False)
    if is_kept:
        await roomkeeper.start(
            session, agent=_agent, room=ctx.room, room_options=options, session_host=False, record=False
        )
    else:
        await session.start(_agent(), room=ctx.room, room_options=options, record=False)
    began, closed = time.monotonic(), asyncio.Event()
    session.on("close", lambda _: closed.set())
    with (notes / f"{ctx.room.name}.{ctx.job.id}.said").open("a", buffering=1) as said:
        for number in itertools.count(1):
            if closed.is_set():
                return
            words = f"{ctx.job.id} says {number}"
            try:
                await session.generate_reply(user_input=words)
            except RuntimeError:  # it has closed meanwhile
                return
            known = any(words in (message.text_content or "") for message in session.history.messages())
            spooled = _spooled(ctx.job.id)
            if known and (words in spooled or not _is_closed(spooled)):
                said.write(f"{words}\n")
            if time.monotonic() - began > plan["ends_after"]:
                break
            await asyncio.sleep(PACE)
    if plan["ends"] and is_kept:
        roomkeeper.end("completed", detail="all said")
    elif plan["ends"]:
        ctx.shutdown()


def _spooled(job: str) -> str:
    """What a job's journal has; empty if it was shipped, and is over."""
    with contextlib.suppress(FileNotFoundError):
        return Path(os.environ["ROOMKEEPER_SPOOL"], f"{job}{spool.SUFFIX}").read_text()
    return ""


def _is_closed(spooled: str) -> bool:
    lines = spooled.splitlines()
    return not lines or json.loads(lines[-1]).get("type") == spool.DONE


def _agent() -> Agent:
    return Agent(instructions="Talk.")


if __name__ == "__main__":
    cli.run_app(server)
