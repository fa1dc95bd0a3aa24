"""The script as a language model: livekit-agents asks it for the next turn as it would ask any other."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from livekit.agents import llm, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr

from .script import Line, reply

if TYPE_CHECKING:
    from livekit.agents.llm import ChatContext, Tool, ToolChoice

END_TOOL = "end_interview"


class ScriptedLLM(llm.LLM[str]):
    """A language model without a model: it says what the script says next, word by word."""

    @property
    def model(self) -> str:
        """The name that metrics and reports show."""
        return "scripted-interviewer"

    @property
    def provider(self) -> str:
        """The name that metrics and reports show."""
        return "roomkeeper-examples"

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
        """Begin the next turn of the interviewer."""
        return _ScriptedStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _ScriptedStream(llm.LLMStream):
    async def _run(self) -> None:
        turn = reply(conversation(self._chat_ctx))
        request_id = utils.shortuuid("scripted_")
        for token in re.findall(r"\S+\s*", turn.text):
            self._event_ch.send_nowait(
                llm.ChatChunk(id=request_id, delta=llm.ChoiceDelta(role="assistant", content=token))
            )
        if turn.end is not None:
            call = llm.FunctionToolCall(
                name=END_TOOL, arguments=json.dumps({"detail": turn.end}), call_id=utils.shortuuid("call_")
            )
            self._event_ch.send_nowait(
                llm.ChatChunk(id=request_id, delta=llm.ChoiceDelta(role="assistant", tool_calls=[call]))
            )


def conversation(chat_ctx: ChatContext) -> list[Line]:
    """What was said aloud, without instructions and tool calls."""
    return [
        Line("candidate" if message.role == "user" else "interviewer", text)
        for message in chat_ctx.messages()
        if message.role in {"user", "assistant"} and (text := message.text_content)
    ]
