"""How a resumed agent goes on: where the talk stood, without a second greeting."""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from livekit.agents.llm import ChatContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from livekit.agents import Agent

    from roomkeeper.agent.restore import Past
    from roomkeeper.agent.stage import Stage

log = logging.getLogger("roomkeeper.agent")

SORRY: Final = "Sorry, I was gone for a moment."
WORDS: Final = "Sorry, I was gone for a moment. Please go on."


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """What `on_resume` is given.

    Attributes:
        epoch: Of this agent; the first one of a session is 1.
        history: The conversation so far; `session.history` holds the same.
        unsaid: Of a sentence that was cut off while it was spoken, the words from its beginning on; else empty.
    """

    epoch: int = 1
    history: ChatContext = field(default_factory=ChatContext.empty)
    unsaid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """Where the talk stands when an agent takes it over.

    Attributes:
        past: What the agents before left.
        epoch: Of this agent.
        handed_over: Whether the agent before went in order: nobody noticed anything.
    """

    past: Past
    epoch: int
    handed_over: bool

    @property
    def resumed(self) -> Resumed:
        """What an application is told of it."""
        return Resumed(epoch=self.epoch, history=self.past.history, unsaid=self.past.unsaid)


def go_on(stage: Stage, agent: Agent, ready: Callable[[], Awaitable[Stand | None]]) -> None:
    """Have an agent go on when it enters, instead of greeting.

    Args:
        stage: The session.
        agent: The one in charge, not started.
        ready: Returns where the talk stands, when the agent may speak; None if there is nobody to speak to.
    """
    hook: Callable[[Resumed], Awaitable[Any] | None] | None = getattr(agent, "on_resume", None)

    enter = agent.on_enter  # for when the talk is handed back to this agent later

    async def on_enter() -> None:
        agent.on_enter = enter  # type: ignore[method-assign]
        stand = await ready()
        if stand is None:
            return  # whoever returns is told where the talk stood
        unsaid = stand.past.unsaid
        if stand.past.unanswered:
            stage.reply()
        elif stand.handed_over:
            if unsaid:  # there was no pause to hand over in
                stage.speak(unsaid)
        elif hook is not None:
            answer = hook(stand.resumed)
            if inspect.isawaitable(answer):
                await answer
        elif unsaid:
            stage.speak(f"{SORRY} {unsaid}")
        else:
            stage.speak(WORDS)

    agent.on_enter = on_enter  # type: ignore[method-assign]
