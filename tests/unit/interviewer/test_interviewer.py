"""The agent in a session of livekit-agents, without sound: its script, its tool, its deafness to nods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession, ModelSettings, stt
from livekit.agents.language import LanguageCode

from examples.interviewer.interviewer import Interviewer
from examples.interviewer.script import ALL_ASKED, GREETING, QUESTIONS, STOPPED
from examples.interviewer.scripted_llm import ScriptedLLM
from examples.interviewer.state import completed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from livekit.agents.voice.run_result import RunResult

    from examples.interviewer.state import Ending

LONG = "I have worked as a carpenter in a small town near the sea."


def said(session: AgentSession[None]) -> list[str]:
    return [message.text_content or "" for message in session.history.messages() if message.role == "assistant"]


async def test_a_whole_interview_is_held_and_ended_by_the_tool_once() -> None:
    endings: list[Ending] = []
    async with AgentSession[None](llm=ScriptedLLM(), vad=None) as session:
        await session.start(Interviewer(endings.append))
        await session.generate_reply(instructions="Greet the candidate.")
        for _ in QUESTIONS:
            assert endings == []
            await session.run(user_input=LONG)
        lines = said(session)
    assert lines[0] == f"{GREETING} {QUESTIONS[0].text}"
    for question, line in zip(QUESTIONS, lines, strict=False):
        assert line.endswith(question.text)
    assert lines[-1].endswith(ALL_ASKED)
    assert len(lines) == len(QUESTIONS) + 1, "the tool's result is not answered"
    assert endings == [completed("all questions asked")]


async def test_a_candidate_who_wants_to_stop_is_let_go() -> None:
    endings: list[Ending] = []
    async with AgentSession[None](llm=ScriptedLLM(), vad=None) as session:
        await session.start(Interviewer(endings.append))
        await session.generate_reply(instructions="Greet the candidate.")
        result: RunResult[None] = await session.run(user_input="I want to stop now.")
        result.expect.contains_function_call(name="end_interview")
        assert said(session)[-1] == STOPPED
    assert endings == [completed("the candidate asked to stop")]


async def test_a_check_in_is_the_reply_to_silence() -> None:
    async with AgentSession[None](llm=ScriptedLLM(), vad=None) as session:
        await session.start(Interviewer(lambda _: None))
        await session.generate_reply(instructions="Greet the candidate.")
        await session.generate_reply(instructions="The candidate is silent.")
        assert "still there" in said(session)[-1]


async def silence() -> AsyncIterator[rtc.AudioFrame]:
    yield rtc.AudioFrame(bytes(960), 48_000, 1, 480)


@pytest.mark.parametrize("speaking", [True, False])
async def test_a_nod_while_the_interviewer_speaks_is_not_heard(
    monkeypatch: pytest.MonkeyPatch, *, speaking: bool
) -> None:
    async def recognised(*_: object) -> AsyncIterator[stt.SpeechEvent]:
        for text in ("Mhm.", "Stop, please.", ""):
            yield stt.SpeechEvent(
                stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[stt.SpeechData(LanguageCode("en"), text)]
            )

    monkeypatch.setattr(Agent.default, "stt_node", recognised)
    monkeypatch.setattr(Interviewer, "_is_speaking", speaking)
    events = Interviewer(lambda _: None).stt_node(silence(), ModelSettings())
    heard = [event.alternatives[0].text async for event in events]
    assert heard == (["Stop, please.", ""] if speaking else ["Mhm.", "Stop, please.", ""])
