"""Counts what is said, and goes on after the page was reloaded.

Run it with `python examples/refresh/agent.py start`; the README says what to try.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run by its path, also once more in each job's process

from livekit.agents import Agent, JobContext, cli

import roomkeeper
from examples import offline

server = offline.server()


class Counter(Agent):
    """Counts what the user says."""

    def __init__(self) -> None:
        super().__init__(instructions="Count.")

    async def on_enter(self) -> None:
        """Greet."""
        self.session.say("Hello. Say something, and I will count it. Then reload the page.")

    async def on_return(self, returned: roomkeeper.Returned) -> None:
        """Say that nothing was lost."""
        said = sum(item.role == "user" for item in self.chat_ctx.messages())
        self.session.say(f"You were gone for {returned.after:.0f} seconds. We are at number {said}.")


@server.rtc_session(agent_name="refresh")
async def count(ctx: JobContext) -> None:
    """Count with whoever is in the room."""
    session = offline.session(ctx, lambda said: f"That was number {len(said)}.")
    await roomkeeper.start(session, agent=Counter, room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
