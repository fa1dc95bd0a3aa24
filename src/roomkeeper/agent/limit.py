"""The time limit is near: the agent is told, so that it comes to an end by itself."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from roomkeeper.agent.stage import Stage

INSTRUCTIONS: Final = (
    "{seconds} seconds of this conversation remain; then it is ended. Bring it to a good end in time, "
    "and mention the remaining time when it fits."
)


async def warn(stage: Stage, remaining: float) -> None:
    """Tell the agent in charge: by its `on_time_warning(remaining)`, else as an instruction for its next words.

    Args:
        stage: The session.
        remaining: Seconds.
    """
    agent = stage.session.current_agent
    hook: Callable[[float], Awaitable[Any] | None] | None = getattr(agent, "on_time_warning", None)
    if hook is not None:
        answer = hook(remaining)
        if inspect.isawaitable(answer):
            await answer
        return
    conversation = agent.chat_ctx.copy()
    conversation.add_message(role="system", content=INSTRUCTIONS.format(seconds=round(remaining)))
    await agent.update_chat_ctx(conversation, exclude_invalid_function_calls=False)
