"""A control plane without its loops: the driver says what it does next, faults say how far it comes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, cast

from roomkeeper.control import adoption, delivery, reconciler
from roomkeeper.control import carrier as carriers
from roomkeeper.control.adoption import Adopters, Adoption
from roomkeeper.control.carrier import Carrier
from roomkeeper.control.delivery import Deliveries, Receiver
from roomkeeper.control.hooks import Hooks
from roomkeeper.control.reconciler import Reconciler
from roomkeeper.control.store.outbox import Outbox
from roomkeeper.control.store.store import Store
from roomkeeper.lifecycle.events import ControlStarted
from tests.chaos.conversations import POLICY
from tests.chaos.world import AGENT

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    import pytest
    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.carrier import Agents
    from roomkeeper.control.store.outbox import Task
    from roomkeeper.control.store.store import Told
    from roomkeeper.lifecycle.actions import EmitEvent
    from roomkeeper.lifecycle.events import Event, SessionOpened
    from roomkeeper.lifecycle.state import Session
    from tests.chaos.faults import Faults
    from tests.chaos.world import FakeRoomApi

RECEIVER = Receiver("http://127.0.0.1:1/reports", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


class Backend:
    """The application's receiver of reports.

    Attributes:
        effects: The body by `webhook-id`: what was done, once for each.
        bodies: Every body that came under an id.
        up: Whether it answers.
    """

    def __init__(self) -> None:
        self.effects: dict[str, bytes] = {}
        self.bodies: dict[str, set[bytes]] = {}
        self.up = True

    def take(self, headers: Mapping[str, str], body: bytes) -> int:
        """Take a delivery, as the example receivers do."""
        if not self.up:
            raise ConnectionRefusedError
        name = headers["webhook-id"]
        self.effects.setdefault(name, body)
        self.bodies.setdefault(name, set()).add(body)
        return 204


class FaultyStore(Store):
    """The store, before and after whose transactions the process may die."""

    def __init__(self, engine: AsyncEngine, clock: Callable[[], int], faults: Faults) -> None:
        super().__init__(engine, clock=clock)
        self._faults = faults

    async def open(self, opened: SessionOpened, *events: Event) -> Session:
        await self._faults.point("open, before")
        session = await super().open(opened, *events)
        await self._faults.point("open, after")
        return session

    async def tell(self, session: str, *events: Event, source: str = "") -> Told:
        names = "+".join(type(event).__name__ for event in events)
        await self._faults.point(f"tell {names}, before")
        told = await super().tell(session, *events, source=source)
        await self._faults.point(f"tell {names}, after")
        return told


class FaultyOutbox(Outbox):
    """The outbox, likewise."""

    def __init__(
        self, store: Store, engine: AsyncEngine, *, replica: str, chance: random.Random, faults: Faults
    ) -> None:
        super().__init__(store, engine, replica=replica, chance=chance.random)
        self._faults = faults

    async def claim(self, most: int = 1) -> list[Task]:
        tasks = await super().claim(1)
        await self._faults.point(f"claimed {[type(task.action).__name__ for task in tasks]}")
        return tasks

    async def settle(self, task: Task) -> bool:
        await self._faults.point(f"{type(task.action).__name__} done, not settled")
        return await super().settle(task)


class _Audience:
    def __init__(self, deliveries: Deliveries, faults: Faults) -> None:
        self._deliveries = deliveries
        self._faults = faults

    async def emit(self, session: Session, action: EmitEvent) -> None:
        await self._faults.point(f"emit {action.topic}")

    async def report(self, session: Session, revision: int) -> None:
        await self._faults.point("report, before")
        await self._deliveries.report(session, revision)
        await self._faults.point("report, after")


class Replica:
    """One process of the control plane."""

    def __init__(
        self,
        name: str,
        engine: AsyncEngine,
        clock: Callable[[], int],
        rooms: FakeRoomApi,
        agents: Agents,
        backend: Backend,
        faults: Faults,
        chance: random.Random,
    ) -> None:
        self.faults = faults
        self.store = FaultyStore(engine, clock, faults)
        self.outbox = FaultyOutbox(self.store, engine, replica=name, chance=chance, faults=faults)

        async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
            await faults.point("post, before")
            status = backend.take(headers, body)
            await faults.point("post, after")
            return status

        self.deliveries = Deliveries(self.store, engine, [RECEIVER], post, chance.random)
        api = cast("Any", rooms)
        self.carrier = Carrier(self.store, self.outbox, api, agents, _Audience(self.deliveries, faults))
        self.adoption = Adoption(self.store, api, Adopters(agents={AGENT: POLICY}))
        self.hooks = Hooks(self.store, self.adoption, self.carrier, {})
        self.reconciler = Reconciler(self.store, self.adoption, api, self.carrier)

    async def start(self) -> None:
        """Tell every session that goes on that this process was away, as the reconciler does."""
        for session in await self.store.unsettled():
            await self.store.tell(session.id, ControlStarted(at=0))

    async def work(self, most: int) -> int:
        """Carry out what is due, one deed after the other; returns how many."""
        done = 0
        while done < most and await self.carrier.carry_out_due():
            done += 1
        return done


def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing happen at the same time and no id be random, so that a seed says what happens."""
    numbers = itertools.count(1)
    monkeypatch.setattr(adoption, "new_id", lambda prefix: f"{prefix}adopted{next(numbers)}")
    for module in (carriers, delivery, reconciler):
        monkeypatch.setattr(module, "AT_ONCE", 1)
