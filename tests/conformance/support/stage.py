"""Scenarios that take their time: they run all at once, each in rooms of its own, and each is a test of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from livekit import api

from tests.conformance.support.clients import Joiner
from tests.conformance.support.server import Options, Server, ServerProcess
from tests.conformance.support.signal import Signal, signal_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tests.conformance.support.clients import SignalPath
    from tests.conformance.support.server import Kind

TOLERANCE = 1.0
"""Seconds: the original looks once a second."""


@dataclass
class Stage:
    """What a scenario has.

    Attributes:
        server: The server under test.
        room: Name of the scenario's own room.
        join: Lets SDK clients join that room.
        lkapi: The room API with every right.
        folder: For files of the scenario.
        reference: An executable of livekit-server to start instead of `roomkeeper sfu`.
        stack: Closes what was opened.
        heavy: Held while starting a process, so that the processes of many scenarios do not start at once.
        talking: Held while the sound of several people is to come back in time, so that a slow machine carries no more.
    """

    server: Server
    room: str
    join: Joiner
    lkapi: api.LiveKitAPI
    folder: Path
    reference: str | None
    stack: AsyncExitStack
    heavy: asyncio.Semaphore
    talking: asyncio.Semaphore
    _processes: list[ServerProcess] = field(default_factory=list)

    async def create(self, **fields: Any) -> float:  # noqa: ANN401 - fields of CreateRoomRequest
        """Create the room, and return when that was."""
        await self.lkapi.room.create_room(api.CreateRoomRequest(name=self.room, **fields))
        return time.monotonic()

    async def signal(self, identity: str, *, kind: Kind = "standard", **grants: Any) -> Signal:  # noqa: ANN401
        """Let a participant join who has signal only, and who leaves with `goodbye`."""
        token = self.server.token(identity, kind=kind, **{"room": self.room, **grants})
        signal = await self.stack.enter_async_context(signal_to(self.server, token))
        await signal.wait_for("join")
        return signal

    async def goodbye(self, signal: Signal) -> float:
        """Let such a participant leave on purpose, and return when that was."""
        await signal.send(leave={"reason": "CLIENT_INITIATED"})
        await signal.closed()
        return time.monotonic()

    async def is_live(self) -> bool:
        """Whether the room is there."""
        return bool((await self.lkapi.room.list_rooms(api.ListRoomsRequest(names=[self.room]))).rooms)

    async def closes(self, seconds: float, *, after: float) -> None:
        """Wait until the room is gone.

        Raises:
            AssertionError: It went too early or too late.
        """
        seen = time.monotonic()
        while await self.is_live():
            late = seen - after - seconds
            assert late <= TOLERANCE, f"the room is still there {late:.1f} s after its time"
            await asyncio.sleep(0.1)  # the room API has no event for it
            seen = time.monotonic()
        early = seconds - (time.monotonic() - after)
        assert early <= TOLERANCE, f"the room closed {early:.1f} s too early"

    async def start_server(self, options: Options) -> ServerProcess:
        """Start a server of the scenario's own."""
        process = ServerProcess(options, self.folder / f"server-{len(self._processes)}.log", self.reference)
        self._processes.append(process)
        self.stack.callback(process.kill)
        async with self.heavy:
            await asyncio.to_thread(process.start)
        return process

    def joiner(self, server: Server, path: SignalPath = "v0") -> Joiner:
        """Let SDK clients join another server: on v0 the scenario's room, on v1 one beside it."""
        joiner = Joiner(server, self.room if path == "v0" else f"{self.room}-{path}", path)
        self.stack.push_async_callback(joiner.aclose)
        return joiner


@asynccontextmanager
async def stage(
    server: Server, folder: Path, reference: str | None, heavy: asyncio.Semaphore, talking: asyncio.Semaphore
) -> AsyncIterator[Stage]:
    """Set a stage for one scenario."""
    room = f"room-{uuid4().hex[:12]}"
    async with AsyncExitStack() as stack, api.LiveKitAPI(server.http, server.key, server.secret) as lkapi:
        join = Joiner(server, room)
        stack.push_async_callback(join.aclose)
        yield Stage(server, room, join, lkapi, folder, reference, stack, heavy, talking)


def approximately(took: float, seconds: float, what: str) -> None:
    """Assert that something took as long as the original takes.

    Raises:
        AssertionError: It did not.
    """
    assert abs(took - seconds) <= TOLERANCE, f"{what} after {took:.1f} s, not {seconds}"


Scenario = Callable[[Stage], Awaitable[None]]


class Outcomes:
    """How the scenarios went."""

    def __init__(self, outcomes: dict[Scenario, BaseException | None]) -> None:
        self._outcomes = outcomes

    def of(self, scenario: Scenario) -> None:
        """Raise what went wrong in a scenario, if anything did."""
        if error := self._outcomes[scenario]:
            raise error


async def play(
    scenarios: Sequence[Scenario], server: Server, folders: Callable[[], Path], reference: str | None
) -> Outcomes:
    """Run scenarios all at once, and return how they went."""
    heavy, talking = asyncio.Semaphore(1), asyncio.Semaphore(1)

    async def one(scenario: Scenario) -> BaseException | None:
        try:
            async with stage(server, folders(), reference, heavy, talking) as set_up:
                await scenario(set_up)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the scenario's own test raises it
            return error
        return None

    return Outcomes(dict(zip(scenarios, await asyncio.gather(*map(one, scenarios)), strict=True)))
