"""Two agents in one talk: after a crash the second goes on, with its userdata.

Run it with `python examples/hand_over/agent.py start`; the README says what to try.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run by its path, also once more in each job's process

from dataclasses import asdict, dataclass
from typing import Any

from livekit.agents import Agent, JobContext, cli, function_tool, llm

import roomkeeper
from examples import offline

server = offline.server()


@dataclass
class Order:
    """What the first agent finds out and the second needs."""

    drink: str = ""


class OrderCodec:
    """Writes the order down and reads it."""

    version = 1

    def dump(self, userdata: Order) -> dict[str, Any]:
        """Return the order as JSON."""
        return asdict(userdata)

    def load(self, version: int, value: dict[str, Any]) -> Order:
        """Return the order of any version so far."""
        return Order(**value)


class Waiter(Agent):
    """Takes the order."""

    def __init__(self) -> None:
        super().__init__(instructions="Take the order.")

    async def on_enter(self) -> None:
        """Ask."""
        self.session.say("Hello. What would you like to drink?")

    @function_tool
    async def take_order(self) -> Agent:
        """Take the order and hand over to the cashier."""
        order: Order = self.session.userdata
        order.drink = next(item.text_content or "" for item in self.chat_ctx.messages() if item.role == "user")
        return Cashier()


class Cashier(Agent):
    """Takes the money."""

    def __init__(self) -> None:
        super().__init__(instructions="Take the money.")

    async def on_enter(self) -> None:
        """Take over; after a crash `on_resume` runs in its place."""
        self.session.say(f"I am the cashier. You ordered {self.session.userdata.drink}. How would you like to pay?")

    async def on_resume(self, resumed: roomkeeper.Resumed) -> None:
        """Go on, with the order still known."""
        self.session.say(f"Sorry for that. It was {self.session.userdata.drink}. How would you like to pay?")


def answer(said: list[str]) -> str | llm.FunctionToolCall:
    """Order first, pay then."""
    return offline.call("take_order") if len(said) == 1 else "Thank you."


@server.rtc_session(agent_name="hand_over")
async def serve(ctx: JobContext) -> None:
    """Serve whoever is in the room."""
    session = offline.session(ctx, answer)
    session.userdata = Order()
    await roomkeeper.start(session, agent=Waiter, agents=[Cashier], userdata=OrderCodec(), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
