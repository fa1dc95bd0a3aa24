"""The control plane put together: database, LiveKit server, agent link, carrier, reconciler, deliveries."""

from __future__ import annotations

import asyncio
import logging
import secrets
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from roomkeeper.control.adoption import Adopters, Adoption
from roomkeeper.control.carrier import Carrier
from roomkeeper.control.delivery import Deliveries, Receiver, post
from roomkeeper.control.dry_run import DryAgents, DryRooms, Rehearsal
from roomkeeper.control.exposition import EndMetrics, WebhookMetrics
from roomkeeper.control.hooks import Hooks
from roomkeeper.control.link.journal import Journal
from roomkeeper.control.link.links import Links, measure
from roomkeeper.control.listing import Listing
from roomkeeper.control.metrics import Metrics
from roomkeeper.control.reconciler import Reconciler
from roomkeeper.control.room_api import RoomApi
from roomkeeper.control.store.engine import open_engine, single
from roomkeeper.control.store.links import LinkStore
from roomkeeper.control.store.migrate import migrate
from roomkeeper.control.store.outbox import Outbox
from roomkeeper.control.store.store import Store
from roomkeeper.control.stream import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.lifecycle.actions import EmitEvent
    from roomkeeper.lifecycle.state import Session

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PlaneConfig:
    """What a control plane works on.

    Attributes:
        database: `sqlite:///…` or `postgresql://…`.
        livekit_url: The LiveKit server whose rooms are kept.
        adopters: Which rooms are ours, and by which policies.
        receivers: Where reports go.
        dry_run: Look and decide, and do nothing; the database is then one of its own, forgotten with the process.
    """

    database: str
    livekit_url: str
    api_key: str
    api_secret: str
    adopters: Adopters = field(default_factory=Adopters)
    receivers: tuple[Receiver, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """A control plane, put together."""

    config: PlaneConfig
    engine: AsyncEngine
    metrics: Metrics
    store: Store
    rooms: RoomApi
    hooks: Hooks
    carrier: Carrier
    reconciler: Reconciler
    deliveries: Deliveries
    outbox: Outbox
    listing: Listing
    stream: Stream
    links: Links
    journal: Journal
    rehearsal: Rehearsal | None


class _Audience:
    def __init__(self, deliveries: Deliveries, stream: Stream, ends: EndMetrics, rehearsal: Rehearsal | None) -> None:
        self._rehearsal = rehearsal
        self._deliveries = deliveries
        self._stream = stream
        self._ends = ends

    async def emit(self, session: Session, action: EmitEvent) -> None:
        logger.info("session", extra={"session": session.id, "room": session.room, "topic": action.topic})
        await self._stream.emit(session, action.topic, action.data)
        await self._deliveries.emit(session, action.topic, action.data)
        self._ends.emitted(session, action)

    async def report(self, session: Session, revision: int) -> None:
        if self._rehearsal is not None:
            self._rehearsal.would("send the report", session.room, f"{session.id}, revision {revision}")
        await self._deliveries.report(session, revision)


def assemble(config: PlaneConfig, engine: AsyncEngine) -> Plane:
    """Put a control plane together; nothing runs yet.

    Args:
        config: What it works on.
        engine: Its database, migrated.
    """
    metrics = Metrics()
    store = Store(engine)
    rehearsal = Rehearsal(lambda: time.time_ns() // 1_000_000) if config.dry_run else None
    server = (config.livekit_url, config.api_key, config.api_secret)
    rooms = RoomApi(*server) if rehearsal is None else DryRooms(*server, rehearsal)
    receivers = config.receivers if rehearsal is None else ()
    # Every block of the deliveries is one statement, and each of them may be done twice.
    deliveries = Deliveries(store, single(engine), receivers, post, metrics=metrics)
    replica, keys = secrets.token_hex(8), {config.api_key: config.api_secret}
    outbox = Outbox(store, engine, replica=replica)
    stream = Stream(store, engine)
    adoption = Adoption(store, rooms, config.adopters, config.api_secret)
    links = Links(LinkStore(engine, store, replica), store, rooms, adoption, keys)
    measure(links, metrics.registry)
    audience = _Audience(deliveries, stream, EndMetrics(metrics.registry), rehearsal)
    agents = links if rehearsal is None else DryAgents(rehearsal)
    carrier = Carrier(store, outbox, rooms, agents, audience, metrics)
    links.woken(carrier.wake)
    return Plane(
        config=config,
        engine=engine,
        metrics=metrics,
        store=store,
        rooms=rooms,
        hooks=Hooks(store, adoption, carrier, keys, WebhookMetrics(metrics.registry)),
        carrier=carrier,
        reconciler=Reconciler(store, adoption, rooms, carrier, metrics),
        deliveries=deliveries,
        outbox=outbox,
        listing=Listing(store, engine),
        stream=stream,
        links=links,
        journal=Journal(store, engine, keys),
        rehearsal=rehearsal,
    )


@asynccontextmanager
async def run_plane(config: PlaneConfig) -> AsyncIterator[Plane]:
    """Run a control plane for the length of a `with` block.

    Raises:
        ConfigError: The database cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="roomkeeper-") as scratch:
        own = f"sqlite:///{scratch}/dry-run.db"
        async with open_engine(own if config.dry_run else config.database) as engine, _running(config, engine) as plane:
            yield plane


@asynccontextmanager
async def _running(config: PlaneConfig, engine: AsyncEngine) -> AsyncIterator[Plane]:
    await migrate(engine)
    plane = assemble(config, engine)
    works = (plane.carrier, plane.reconciler, plane.deliveries, plane.stream, plane.links)
    loops = [asyncio.create_task(each.run()) for each in works]
    try:
        yield plane
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await plane.rooms.close()
