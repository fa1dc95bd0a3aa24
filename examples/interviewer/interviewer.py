"""The agent: what it is told, which tool it has, and what it does not let itself be interrupted by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit.agents import Agent, function_tool, stt

from .intent import is_backchannel
from .script import QUESTIONS, RESUMED, RETURNED, where
from .scripted_llm import conversation
from .state import completed

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable

    from livekit import rtc
    from livekit.agents import ModelSettings

    import roomkeeper

    from .state import Ending

# For a language model; the script needs no instructions.
INSTRUCTIONS = "\n".join(
    (
        "You are a friendly interviewer in a spoken conversation. Speak plainly, one or two short sentences at a time.",
        "Ask these questions one by one, each once, and react briefly to every answer:",
        *(f"{number}. {question.text}" for number, question in enumerate(QUESTIONS, 1)),
        "When an answer is very short, ask one follow-up question. Repeat a question when asked to; skip it when the",
        "candidate cannot or will not answer. When all questions are answered, or the candidate wants to stop, say so",
        "in a few words and call end_interview; it says goodbye, so you do not.",
    )
)
GREET = "Greet the candidate, say that you have four short questions, and ask the first one."
CHECK_IN = "The candidate has been silent for a while. Ask kindly whether they are still there."

_WORDS = {stt.SpeechEventType.INTERIM_TRANSCRIPT, stt.SpeechEventType.FINAL_TRANSCRIPT}


class Interviewer(Agent):
    """The interviewer.

    Args:
        end: Ends the interview, once; returns at once.
    """

    def __init__(self, end: Callable[[Ending], None]) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self._end = end

    @function_tool
    async def end_interview(self, detail: str) -> None:
        """Say goodbye and end the interview for good. Call it last, and say nothing after it.

        Args:
            detail: Why the interview ends, in a few words.
        """
        self._end(completed(detail))

    async def stt_node(
        self, audio: AsyncIterable[rtc.AudioFrame], model_settings: ModelSettings
    ) -> AsyncIterator[stt.SpeechEvent]:
        """Hear the candidate, but not a mere "mhm" while the interviewer speaks: it would end the sentence."""
        async for event in Agent.default.stt_node(self, audio, model_settings):
            if event.type in _WORDS and self._is_speaking and _is_backchannel(event):
                continue
            yield event

    async def on_resume(self, resumed: roomkeeper.Resumed) -> None:
        """Go on after another process took this interview over: from the sentence that was cut off, or the question."""
        self.session.say(f"{RESUMED} {resumed.unsaid or where(conversation(self.chat_ctx))}")

    async def on_return(self, returned: roomkeeper.Returned) -> None:
        """Go on with a candidate who reloaded the page or lost the network."""
        self.session.say(f"{RETURNED} {where(conversation(self.chat_ctx))}")

    @property
    def _is_speaking(self) -> bool:
        """Whether something is being said, or paused to find out whether the candidate means it."""
        speech = self.session.current_speech
        return speech is not None and not speech.done() and not speech.interrupted


def _is_backchannel(event: stt.SpeechEvent) -> bool:
    text = event.alternatives[0].text
    return bool(text) and is_backchannel(text)
