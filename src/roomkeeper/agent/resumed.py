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
        unanswered: True if it is the agent's turn.
        unsaid: Of a sentence that was cut off while it was spoken, the words from its beginning on; else empty.
        handed_over: True if the agent before went in order: nobody noticed anything.
    """

    epoch: int = 1
    history: ChatContext = field(default_factory=ChatContext.empty)
    unanswered: bool = False
    unsaid: str = ""
    handed_over: bool = False


def go_on(stage: Stage, agent: Agent, ready: Callable[[], Awaitable[Resumed | None]]) -> None:
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
        resumed = await ready()
        if resumed is None:
            return  # whoever returns is told where the talk stood
        if resumed.unanswered:
            stage.reply()
        elif resumed.handed_over:
            return  # the talk went on without a break
        elif hook is not None:
            answer = hook(resumed)
            if inspect.isawaitable(answer):
                await answer
        elif resumed.unsaid:
            stage.speak(f"{SORRY} {resumed.unsaid}")
        else:
            stage.speak(WORDS)

    agent.on_enter = on_enter  # type: ignore[method-assign]


def resumed_of(past: Past, *, epoch: int, handed_over: bool) -> Resumed:
    """Tell an application what it needs of the past."""
    return Resumed(
        epoch=epoch,
        history=past.history,
        unanswered=past.unanswered,
        unsaid=past.unsaid,
        handed_over=handed_over,
    )
