"""`/metrics`: what was counted, and what the database holds at the moment it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from starlette.responses import Response
from starlette.routing import Route

from roomkeeper.control.metrics import PREFIX
from roomkeeper.control.store.tables import deliveries, outbox
from roomkeeper.lifecycle.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client import CollectorRegistry
    from sqlalchemy.ext.asyncio import AsyncEngine
    from starlette.requests import Request
    from starlette.routing import BaseRoute
    from starlette.types import Scope

    from roomkeeper.control.listing import Listing
    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.actions import EmitEvent
    from roomkeeper.lifecycle.state import Session

STREAM: Final = "/api/stream"


class EndMetrics:
    """Counts ends as they are told; each is told once, by whichever replica does it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ends = Counter(f"{PREFIX}ends", "Sessions that ended, by reason.", ("reason",), registry=registry)

    def emitted(self, session: Session, action: EmitEvent) -> None:
        """Look at an event on its way to the stream."""
        if action.topic == f"session.{State.ENDED}" and session.end is not None:
            self._ends.labels(str(session.end.reason)).inc()


class HttpMetrics:
    """Counts answers by method, route and status; streams are counted when they end, but not timed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        names = ("method", "route", "status")
        self._answers = Counter(f"{PREFIX}http_requests", "Requests answered.", names, registry=registry)
        self._seconds = Histogram(f"{PREFIX}http_request_seconds", "Time to answer.", ("route",), registry=registry)
        self._paths: dict[Callable[..., object], str] = {}

    def know(self, routes: Iterable[BaseRoute], prefix: str = "") -> None:
        """Learn the routes: a label must not hold what a caller made up."""
        for route in routes:
            if isinstance(route, Route):
                self._paths[route.endpoint] = prefix + route.path.replace(":path", "")
            else:
                self.know(getattr(route, "routes", None) or (), prefix + getattr(route, "path", ""))

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """Count an answer."""
        endpoint = scope.get("endpoint")
        path = self._paths.get(endpoint, "other") if callable(endpoint) else "other"
        method = scope["method"] if path != "other" else "any"
        self._answers.labels(method, path, str(status)).inc()
        if path != STREAM:
            self._seconds.labels(path).observe(seconds)


class WebhookMetrics:
    """Counts LiveKit's webhooks by what became of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        meaning = "Webhooks of LiveKit: taken, passed over (known already, or not ours), refused."
        self._webhooks = Counter(f"{PREFIX}webhooks", meaning, ("outcome",), registry=registry)

    def received(self, status: int, *, taken: bool) -> None:
        """Count one."""
        accepted = "taken" if taken else "passed_over"
        self._webhooks.labels(accepted if status < 300 else "refused").inc()  # noqa: PLR2004 - HTTP


class Exposition:
    """The endpoint.

    Args:
        registry: Everything that is counted.
        store: Gives the clock.
        engine: The store's.
        listing: Counts sessions.
        readers: How many read the stream.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        store: Store,
        engine: AsyncEngine,
        listing: Listing,
        readers: Callable[[], int],
    ) -> None:
        self._registry = registry
        self._store = store
        self._engine = engine
        self._listing = listing
        self._readers = readers
        self._sessions = self._gauge("sessions", "Sessions that have not ended, by state.", "state")
        self._depth = self._gauge("outbox_depth", "Actions to be carried out now, alarms included.")
        self._age = self._gauge("outbox_age_seconds", "How long the action that waits longest is overdue.")
        self._parked = self._gauge("outbox_parked", "Actions that were given up.")
        self._letters = self._gauge("deliveries_waiting", "Deliveries that are on their way.")
        self._oldest = self._gauge("deliveries_age_seconds", "How long the oldest of them is on its way.")
        self._given_up = self._gauge("deliveries_parked", "Deliveries that were given up.")
        self._streams = self._gauge("stream_readers", "Readers of the live stream of this process.")

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route("/metrics", self.endpoint, methods=["GET"])]

    async def endpoint(self, request: Request) -> Response:
        """Answer in Prometheus' text format; no names and no texts are in it."""
        await self._look()
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    async def _look(self) -> None:
        now = await self._store.now()
        for state, number in (await self._listing.counts()).items():
            if state != State.ENDED:
                self._sessions.labels(state).set(number)
        deeds, letters = outbox.c, deliveries.c
        due = sa.and_(deeds.due_at <= now, deeds.parked_at.is_(None))
        on_its_way = sa.and_(letters.delivered_at.is_(None), letters.parked_at.is_(None))
        count, none = sa.func.count(), sa.literal(None)
        queries = (
            (sa.select(count, sa.func.min(deeds.due_at)).where(due), self._depth, self._age),
            (sa.select(count, none).where(deeds.parked_at.is_not(None)), self._parked, None),
            (sa.select(count, sa.func.min(letters.created_at)).where(on_its_way), self._letters, self._oldest),
            (sa.select(count, none).where(letters.parked_at.is_not(None)), self._given_up, None),
        )
        async with self._engine.connect() as connection:
            for query, gauge, age in queries:
                counted, since = (await connection.execute(query)).one()
                gauge.set(counted)
                if age is not None:
                    age.set(max(0, now - since) / 1000 if since is not None else 0)
        self._streams.set(self._readers())

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}{name}", meaning, labels, registry=self._registry)
