"""Listens to whoever speaks; one of two people may leave.

Run it with `python examples/two_people/agent.py start`; the README says what to try.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run by its path, also once more in each job's process

from livekit.agents import Agent, JobContext, cli

import roomkeeper
from examples import offline

server = offline.server()


class Moderator(Agent):
    """Says who was heard."""

    def __init__(self) -> None:
        super().__init__(instructions="Moderate.")

    async def on_enter(self) -> None:
        """Greet."""
        self.session.say("Hello to both of you. Speak in turn, and I will say whom I heard.")


@server.rtc_session(agent_name="two_people")
async def moderate(ctx: JobContext) -> None:
    """Listen to everybody in the room."""

    def answer(said: list[str]) -> str:
        heard = session.room_io.linked_participant
        return f"I heard {heard.identity}." if heard else "I heard somebody."

    session = offline.session(ctx, answer)
    await roomkeeper.start(session, agent=Moderator, room=ctx.room, listen_to="speaker")


if __name__ == "__main__":
    cli.run_app(server)
