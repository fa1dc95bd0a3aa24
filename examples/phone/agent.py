"""Serves phone and page: a hang-up ends the call, a reload does not.

Run it with `python examples/phone/agent.py start`; the README says what to try.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run by its path, also once more in each job's process

from livekit.agents import Agent, JobContext, cli, function_tool, llm

import roomkeeper
from examples import offline

server = offline.server()


class Desk(Agent):
    """Takes a message."""

    def __init__(self) -> None:
        super().__init__(instructions="Take a message.")

    async def on_enter(self) -> None:
        """Answer the phone."""
        self.session.say("Hello. Please leave your message, and say goodbye when you are done.")

    @function_tool
    async def hang_up(self) -> None:
        """Hang up politely."""
        said = [item.text_content for item in self.chat_ctx.messages() if item.role == "user"]
        roomkeeper.end("completed", data={"message": said}, goodbye="Thank you, goodbye!")


def answer(said: list[str]) -> str | llm.FunctionToolCall:
    """Listen until the caller says goodbye."""
    return offline.call("hang_up") if "bye" in said[-1].lower() else "I see. Go on."


@server.rtc_session(agent_name="phone")
async def take(ctx: JobContext) -> None:
    """Take a message from whoever calls."""
    kept = await roomkeeper.start(offline.session(ctx, answer), agent=Desk, room=ctx.room)
    ended = await kept.ended()
    print(f"ended as {ended.reason}", flush=True)  # noqa: T201 - caller_hung_up, user_left, completed …


if __name__ == "__main__":
    cli.run_app(server)
