"""Tells a story whose process you may kill.

Run it with `python examples/crash/agent.py start`; the README says what to try.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run by its path, also once more in each job's process

import os

from livekit.agents import Agent, JobContext, cli

import roomkeeper
from examples import offline

server = offline.server()
STORY = (
    "Once upon a time there was a keeper of rooms. Every night the keeper went from door to door. "
    "One night the light went out, and nobody knew why. But the keeper knew every door by heart, and went on."
)


class Teller(Agent):
    """Tells a story, from where it was broken off."""

    def __init__(self) -> None:
        super().__init__(instructions="Tell the story.")

    async def on_enter(self) -> None:
        """Begin; a resumed agent does not come by here."""
        self.session.say(f"My process is {os.getpid()}. Kill it while I speak. {STORY}")


@server.rtc_session(agent_name="crash")
async def tell(ctx: JobContext) -> None:
    """Tell a story to whoever is in the room."""
    session = offline.session(ctx, lambda said: f"You said: {said[-1]}. And before that: {said[:-1]}.")
    kept = await roomkeeper.start(session, agent=Teller, room=ctx.room)
    print(f"process {os.getpid()}, resumed: {kept.resumed}", flush=True)  # noqa: T201 - this is what to look at


if __name__ == "__main__":
    cli.run_app(server)
