"""The script as a language model of livekit-agents."""

from __future__ import annotations

import json

from livekit.agents import llm

from examples.interviewer.script import ALL_ASKED, GREETING, QUESTIONS
from examples.interviewer.scripted_llm import END_TOOL, ScriptedLLM, conversation

LONG = "I have worked as a carpenter in a small town near the sea."


async def chunks(chat_ctx: llm.ChatContext) -> list[llm.ChatChunk]:
    async with ScriptedLLM().chat(chat_ctx=chat_ctx) as stream:
        return [chunk async for chunk in stream]


def context(*messages: tuple[llm.ChatRole, str]) -> llm.ChatContext:
    chat_ctx = llm.ChatContext.empty()
    for role, text in messages:
        chat_ctx.add_message(role=role, content=text)
    return chat_ctx


async def test_text_is_streamed_word_by_word() -> None:
    contents = [chunk.delta.content for chunk in await chunks(llm.ChatContext.empty()) if chunk.delta]
    assert contents[:2] == ["Hello, ", "and "]
    assert "".join(content or "" for content in contents) == f"{GREETING} {QUESTIONS[0].text}"


async def test_the_end_is_one_tool_call_after_the_last_words() -> None:
    asked = [("assistant", question.text) for question in QUESTIONS]
    messages: list[tuple[llm.ChatRole, str]] = []
    for _, text in asked:
        messages += [("assistant", text), ("user", LONG)]
    answer = await ScriptedLLM().chat(chat_ctx=context(*messages)).collect()
    assert answer.text.endswith(ALL_ASKED)
    (call,) = answer.tool_calls
    assert call.name == END_TOOL
    assert json.loads(call.arguments) == {"detail": "all questions asked"}


async def test_a_question_has_no_tool_call() -> None:
    answer = await ScriptedLLM().chat(chat_ctx=context(("assistant", QUESTIONS[0].text), ("user", LONG))).collect()
    assert answer.tool_calls == []


def test_only_what_was_said_aloud_is_the_conversation() -> None:
    chat_ctx = context(("system", "Be kind."), ("assistant", "Hello."), ("user", "Hi."), ("developer", "Ask."))
    chat_ctx.items.append(llm.FunctionCall(call_id="c", name=END_TOOL, arguments="{}"))
    chat_ctx.add_message(role="assistant", content="How", interrupted=True)
    said = [(line.speaker, line.text) for line in conversation(chat_ctx)]
    assert said == [("interviewer", "Hello."), ("candidate", "Hi."), ("interviewer", "How")]
