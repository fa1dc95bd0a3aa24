"""What the small examples talk with: the ears and the voice of the interviewer, and a model that answers by rules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from livekit.agents import AgentServer, AgentSession, JobContext, NotGivenOr, inference, llm, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions

import roomkeeper
from examples.interviewer.interview import ESPEAK, FULL, RECOGNIZER, load, prewarm
from examples.interviewer.stt import MoonshineSTT
from examples.interviewer.tts import EspeakTTS

if TYPE_CHECKING:
    from collections.abc import Callable


def server() -> AgentServer:
    """A worker on this machine, kept by Roomkeeper."""
    return roomkeeper.wrap(
        AgentServer(
            setup_fnc=prewarm,
            load_fnc=load,
            load_threshold=FULL,
            num_idle_processes=1,
            initialize_process_timeout=60,
            host="127.0.0.1",
            port=0,
        )
    )


def session(ctx: JobContext, answer: Callable[[list[str]], str | llm.FunctionToolCall]) -> AgentSession[Any]:
    """A session that hears, speaks, and answers by a rule.

    Args:
        ctx: The job.
        answer: Takes everything that the user has said, and returns what to say or which tool to call.
    """
    return AgentSession(
        stt=MoonshineSTT(ctx.proc.userdata[RECOGNIZER]),
        llm=Rules(answer),
        tts=EspeakTTS(ctx.proc.userdata[ESPEAK]),
        vad=inference.VAD(),
        turn_handling={"turn_detection": inference.TurnDetector(version="v1-mini")},
        user_away_timeout=None,
    )


def call(tool: str) -> llm.FunctionToolCall:
    """A call of a tool that takes no arguments."""
    return llm.FunctionToolCall(name=tool, arguments="{}", call_id=utils.shortuuid("call_"))


class Rules(llm.LLM[str]):
    """A model that is a function.

    Args:
        answer: See `session`.
    """

    def __init__(self, answer: Callable[[list[str]], str | llm.FunctionToolCall]) -> None:
        super().__init__()
        self.answer = answer

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
        """Begin to answer."""
        return _Answer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options, rules=self)


class _Answer(llm.LLMStream):
    def __init__(self, *args: Any, rules: Rules, **kwargs: Any) -> None:  # noqa: ANN401 - as the class above has them
        super().__init__(*args, **kwargs)
        self._rules = rules

    async def _run(self) -> None:
        said = [item.text_content or "" for item in self._chat_ctx.messages() if item.role == "user"]
        answer = self._rules.answer(said)
        name = utils.shortuuid("rules_")
        if isinstance(answer, llm.FunctionToolCall):
            delta = llm.ChoiceDelta(role="assistant", tool_calls=[answer])
            self._event_ch.send_nowait(llm.ChatChunk(id=name, delta=delta))
            return
        for word in re.findall(r"\S+\s*", answer):
            delta = llm.ChoiceDelta(role="assistant", content=word)
            self._event_ch.send_nowait(llm.ChatChunk(id=name, delta=delta))
