"""Taking a session over from the agent before: its conversation, its userdata, and which agent was in charge."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeAlias

from livekit.agents import Agent

from roomkeeper.agent import fetch
from roomkeeper.agent.restore import Past, Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from roomkeeper.agent.journal import Codec
    from roomkeeper.agent.stage import Stage

    Factory: TypeAlias = Agent | Callable[[], Agent]

log = logging.getLogger("roomkeeper.agent")


class Takeover:
    """Reads what is there, and what is added while this agent waits for its turn.

    Args:
        stage: The session; its desk knows where the journal is.

    Attributes:
        past: As far as it was read.
        whole: False if the control plane did not give all of it in time.
    """

    def __init__(self, stage: Stage) -> None:
        self.past = Past()
        self.whole = False
        self._stage = stage
        self._reader = Reader()
        self._line = 0

    async def load(self, *, living: bool = False) -> None:
        """Read all lines that are new.

        Args:
            living: True if the agent before is still at it: what it has not finished is not closed for it.
        """
        stage = self._stage
        parent = stage.desk.parent
        async for page in fetch.pages(parent.url, parent.token, stage.session_id, self._line):
            self._reader.read(page["lines"])
            self.whole = page["next"] is None
            if page["lines"]:
                self._line = page["lines"][-1]["line"]
        past = self._reader.past()
        self.past = past.journaled if living else past

    async def seed(self, agent: Agent) -> None:
        """Put the conversation where a session and an agent that are not started expect it."""
        self._stage.session.history.merge(self.past.history)
        await self.tell(agent)

    def note(self) -> None:
        """Journal what no journal has yet, so that the report has it and a third agent does not make it again."""
        for item in self.past.made:
            self._stage.journal.write("item", {"item": item.model_dump(mode="json", exclude_none=True)})

    async def catch_up(self) -> None:
        """Take what the other agent said while this one waited."""
        await self.load()
        session = self._stage.session
        known = {item.id for item in session.history.items}
        if any(item.id not in known for item in self.past.items):
            with self._stage.journal.unheard():
                session.history.merge(self.past.history)
            await self.tell(session.current_agent)
        self.note()

    async def tell(self, agent: Agent) -> None:
        """Tell an agent the conversation so far."""
        # Calls of tools that only the session has, or another agent had, are part of the talk: they stay.
        conversation = agent.chat_ctx.copy().merge(self.past.conversation)
        await agent.update_chat_ctx(conversation, exclude_invalid_function_calls=False)


def choose(factories: Sequence[Factory], ids: Sequence[str]) -> Agent:
    """Return the agent that was in charge last, of those that can be made.

    Args:
        factories: Classes, functions or agents; the first one begins a session.
        ids: Of the agents that were in charge, the last one last.
    """
    made: dict[str, Agent] = {}
    for factory in factories:
        agent = factory if isinstance(factory, Agent) else factory()
        made.setdefault(agent.id, agent)
        if ids and agent.id == ids[-1]:
            return agent
        if not ids:
            return agent
    for each in reversed(ids):
        if each in made:
            log.warning("no factory makes the agent that was in charge; pass it in agents", extra={"agent": ids[-1]})
            return made[each]
    return next(iter(made.values()))


def load_userdata(codec: Codec | None, past: Past, current: Any) -> Any:  # noqa: ANN401 - the application's own
    """Return the userdata as the codec reads it; what there is now, if it cannot."""
    if codec is None or past.userdata is None:
        return current
    version, value = past.userdata
    try:
        return codec.load(version, value)
    except Exception:
        log.exception("the userdata cannot be read; correct its codec", extra={"version": version})
        return current
