"""Check-ins with a user who is there and says nothing.

LiveKit's "away" is one event for each absence, and what the agent says does not start it anew. Here silence is counted:
after `away.after` seconds the agent asks, `away.checks` times, `away.every` seconds apart; then the session ends as
`user_away`. Time runs only while both sides listen, no tool runs, and nothing else keeps the agent silent. Any word of
the user, also typed, begins anew, and so does whoever comes back; what the agent says only stops the clock while it is
said.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit.agents import (
        AgentStateChangedEvent,
        ToolExecutionUpdatedEvent,
        UserInputTranscribedEvent,
        UserStateChangedEvent,
    )

    from roomkeeper.agent.stage import Stage

INSTRUCTIONS: Final = "The user has been silent for a while. Ask in one short sentence whether they are still there."
WORDS: Final = "Are you still there?"


class Away:
    """The check-ins of one session.

    Args:
        stage: The session.
        give_up: Called when every check-in went unanswered.
    """

    def __init__(self, stage: Stage, give_up: Callable[[], None]) -> None:
        self.checks = 0
        self._stage = stage
        self._give_up = give_up
        self._changed = asyncio.Event()

    def attach(self) -> None:
        """Begin to count."""
        session = self._stage.session
        session.on("user_state_changed", self._on_user_state)
        session.on("agent_state_changed", self._on_agent_state)
        session.on("user_input_transcribed", self._on_transcript)
        session.on("tool_execution_updated", self._on_tool)
        self._stage.spawn(self._run(), "check_in")

    def heard(self) -> None:
        """The user said or wrote something."""
        if self.checks:
            self.checks = 0
            self._stage.journal.write("back", {})
        self._changed.set()

    def poke(self) -> None:
        """Something changed: count anew, but remember the check-ins."""
        self._changed.set()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            policy = self._stage.policy
            if policy.away_after is None or not self._quiet():
                await self._changed.wait()
                continue
            try:
                async with asyncio.timeout(policy.away_every if self.checks else policy.away_after):
                    await self._changed.wait()
                continue
            except TimeoutError:
                pass
            if self.checks >= policy.away_checks:
                self._give_up()
                return
            self.checks += 1
            self._stage.journal.write("away", {"check": self.checks})
            self._stage.speak(policy.away_say or WORDS, instructions="" if policy.away_say else INSTRUCTIONS)
            # From the words on: they are heard as a change of the agent's state, also when there is only text.

    def _quiet(self) -> bool:
        """Whether it is the user's turn, and only the user's."""
        stage = self._stage
        return (
            not stage.silence
            and not stage.journal.tools
            and stage.session.agent_state == "listening"
            and stage.session.user_state != "speaking"
            and bool(stage.counting())
        )

    def _on_user_state(self, event: UserStateChangedEvent) -> None:
        if event.new_state == "speaking":
            self.heard()
        elif event.old_state == "speaking":  # LiveKit's own "away" is no news
            self.poke()

    def _on_agent_state(self, _: AgentStateChangedEvent) -> None:
        self.poke()

    def _on_transcript(self, event: UserInputTranscribedEvent) -> None:
        if event.transcript:
            self.heard()

    def _on_tool(self, _: ToolExecutionUpdatedEvent) -> None:
        self.poke()
