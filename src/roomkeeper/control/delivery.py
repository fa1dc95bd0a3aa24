"""Reports and events on their way to the application's backend: Standard Webhooks, at least once, for three days.

The body and the `webhook-id` of a delivery are made once and are the same on every try, so that a receiver can tell a
repetition. Time and signature are made anew. After 72 hours a delivery is parked: kept, shown, sent again by command.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import logging
import random
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import aiohttp
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from standardwebhooks.webhooks import Webhook

from roomkeeper.control.crew import Crew
from roomkeeper.control.metrics import Metrics
from roomkeeper.control.receivers import SESSION_ENDED, Receiver
from roomkeeper.control.report import build
from roomkeeper.control.store.tables import deliveries
from roomkeeper.control.summaries import summary
from roomkeeper.control.unpurged import insert_unpurged
from roomkeeper.lifecycle.state import stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.state import Session

logger = logging.getLogger(__name__)

PATIENCE = 72 * 3_600_000
"""Milliseconds from the first try until a delivery is parked."""
FIRST_PAUSE, LONGEST_PAUSE = 1_000, 3_600_000
"""Milliseconds between tries: doubled each time, up to the longest."""
LEASE = 3_000
"""Milliseconds a try is held unless renewed: what a replica that is killed was sending waits no longer."""
TIMEOUT = 15.0
"""Seconds a receiver has to answer."""
PARK_EVERY = 3_600.0
"""Seconds between two looks for deliveries to receivers that are not configured any more."""
NOBODY = "no such receiver is configured"
SUCCESS = range(200, 300)
AT_ONCE = 16
"""Tries under way at the same time, for each receiver."""


class Poster(Protocol):
    """Who posts."""

    async def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Return the status of the answer.

        Raises:
            OSError: There was none.
        """


@dataclass(frozen=True, slots=True)
class Letter:
    """A delivery that is due."""

    id: str
    body: str
    tries: int
    created_at: int
    claim: str


class Deliveries:
    """Builds reports and brings them to every receiver.

    Args:
        store: The sessions, and the clock.
        engine: The store's.
        receivers: Where reports go.
        post: Who posts.
        chance: A number in [0, 1), for the jitter.
        metrics: Count tries.
    """

    def __init__(
        self,
        store: Store,
        engine: AsyncEngine,
        receivers: Sequence[Receiver],
        post: Poster,
        chance: Callable[[], float] = random.random,
        metrics: Metrics | None = None,
    ) -> None:
        self._store = store
        self._engine = engine
        self._receivers = tuple(receivers)
        metrics = metrics or Metrics()
        self._routes = {receiver.id: _Route(store, engine, receiver, post, chance, metrics) for receiver in receivers}
        # A crew for each: a receiver that does not answer holds up no other.
        self._crews = [Crew(route, route.bring, AT_ONCE) for route in self._routes.values()]

    async def report(self, session: Session, revision: int) -> None:
        """Put a revision of the report on its way to every receiver; doing so twice is doing it once."""
        if any(receiver.wants(SESSION_ENDED) for receiver in self._receivers):
            journal = await self._store.journal(session.id)
            if journal:  # else it was purged meanwhile
                await self._send(session, SESSION_ENDED, str(revision), build(journal, revision))

    async def emit(self, session: Session, topic: str, data: Mapping[str, object]) -> None:
        """Put an event on its way to those who subscribed to it; doing so twice is doing it once.

        Args:
            session: As it is now.
            topic: The event's type. The end itself is told by the report, and by that alone.
            data: What it says; never the same twice in a session for the same topic.
        """
        if topic != SESSION_ENDED:
            said = json.dumps([topic, data], sort_keys=True).encode(errors="surrogatepass")
            told = {"session": summary(session), **data}
            await self._send(session, topic, hashlib.blake2s(said, digest_size=12).hexdigest(), told)

    async def _send(self, session: Session, topic: str, what: str, data: Mapping[str, object]) -> None:
        wanting = [receiver for receiver in self._receivers if receiver.wants(topic)]
        if not wanting:
            return
        now = await self._store.now()
        body = json.dumps({"type": topic, "timestamp": stamp(now), "data": data}, separators=(",", ":"))
        rows: list[dict[str, object]] = [
            {
                "id": f"msg_{session.id}_{what}_{receiver.id}",
                "session": session.id,
                "receiver": receiver.id,
                "type": topic,
                "body": body,
                "created_at": now,
                "due_at": now,
                "claimed_until": 0,
                "tries": 0,
            }
            for receiver in wanting
        ]
        async with self._engine.begin() as connection:
            for row in rows:
                await connection.execute(insert_unpurged(deliveries, row, session.id, postgres=self._store.postgres))
        self._wake()

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as group:
            for crew in self._crews:
                group.create_task(crew.run())
            group.create_task(self._keep_parking())

    async def _keep_parking(self) -> None:
        while True:
            try:
                await self.park_unaddressed()
            except (SQLAlchemyError, OSError):
                logger.exception("deliveries to nobody could not be parked")
            await asyncio.sleep(PARK_EVERY)

    async def park_unaddressed(self) -> int:
        """Park what has waited for three days for a receiver that is not configured any more; returns how many.

        Not earlier: another replica may know the receiver already, or still.
        """
        now, columns = await self._store.now(), deliveries.c
        waiting = sa.and_(columns.delivered_at.is_(None), columns.parked_at.is_(None))
        nobody = sa.and_(columns.receiver.not_in(self._routes), columns.created_at <= now - PATIENCE)
        park = sa.update(deliveries).where(waiting, nobody).values(parked_at=now, error=NOBODY)
        async with self._engine.begin() as connection:
            count = int((await connection.execute(park)).rowcount)
        if count:
            logger.error("deliveries parked, their receiver is not configured", extra={"deliveries": count})
        return count

    async def deliver_due(self) -> int:
        """Try what is due; returns how many were tried."""
        return sum(await asyncio.gather(*(crew.once() for crew in self._crews)))

    def _wake(self) -> None:
        for crew in self._crews:
            crew.wake()

    async def redeliver(self, session: str) -> int:
        """Send everything of a session again, parked or delivered; the report also to receivers that never had it.

        Returns:
            How many deliveries are on their way.
        """
        now = await self._store.now()
        found = await self._store.get(session)
        if found.report:
            await self.report(found, found.report)
        again = (
            sa.update(deliveries)
            .where(deliveries.c.session == session, deliveries.c.receiver.in_(self._routes))
            .values(due_at=now, created_at=now, tries=0, delivered_at=None, parked_at=None, claim=None, claimed_until=0)
        )
        async with self._engine.begin() as connection:
            count = int((await connection.execute(again)).rowcount)
        self._wake()
        return count


class _Route:
    """The deliveries to one receiver."""

    def __init__(
        self,
        store: Store,
        engine: AsyncEngine,
        receiver: Receiver,
        post: Poster,
        chance: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._engine = engine
        self._receiver = receiver
        self._post = post
        self._chance = chance
        self._metrics = metrics
        self._replica = secrets.token_hex(8)
        self._claims = itertools.count()
        columns = deliveries.c
        self._waiting = sa.and_(
            columns.receiver == receiver.id, columns.delivered_at.is_(None), columns.parked_at.is_(None)
        )

    async def claim(self, most: int) -> list[Letter]:
        """Claim what is due, the longest due first."""
        now = await self._store.now()
        claim = f"{self._replica}:{next(self._claims)}"
        columns = deliveries.c
        due = (
            sa.select(columns.id)
            .where(self._waiting, columns.due_at <= now, columns.claimed_until <= now)
            .order_by(columns.due_at)
            .limit(most)
            .with_for_update(skip_locked=True)
        )
        take = (
            sa.update(deliveries)
            .where(columns.id.in_(due))
            .values(claim=claim, claimed_until=now + LEASE)
            .returning(columns.id, columns.body, columns.tries, columns.created_at, columns.claim)
        )
        async with self._engine.begin() as connection:
            return [Letter(*row) for row in (await connection.execute(take)).all()]

    async def renew(self, letters: Collection[Letter]) -> None:
        """Hold what is on its way for another lease."""
        now = await self._store.now()
        mine = sa.tuple_(deliveries.c.id, deliveries.c.claim).in_([(letter.id, letter.claim) for letter in letters])
        async with self._engine.begin() as connection:
            await connection.execute(sa.update(deliveries).where(mine).values(claimed_until=now + LEASE))

    async def due_in(self) -> float | None:
        """Return in how many seconds something will be due that nobody holds; None if nothing waits."""
        now = await self._store.now()
        free = sa.and_(self._waiting, deliveries.c.claimed_until <= now)
        query = sa.select(sa.func.min(deliveries.c.due_at)).where(free)
        async with self._engine.connect() as connection:
            due: int | None = (await connection.execute(query)).scalar_one()
        return None if due is None else (due - now) / 1000

    async def bring(self, letter: Letter) -> bool:
        """Try once, and note what came of it."""
        receiver = self._receiver
        now = await self._store.now()
        moment = datetime.fromtimestamp(now / 1000, UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": letter.id,
            "webhook-timestamp": str(now // 1000),
            "webhook-signature": Webhook(receiver.secret).sign(letter.id, moment, letter.body),
        }
        try:
            status = await self._post(receiver.url, letter.body.encode(), headers)
            error = "" if status in SUCCESS else f"HTTP {status}"
        except (OSError, aiohttp.ClientError, TimeoutError) as failure:
            error = type(failure).__name__
        await self._note(letter, error)
        return False

    async def _note(self, letter: Letter, error: str) -> None:
        now = await self._store.now()
        self._metrics.deliveries.labels("failed" if error else "delivered").inc()
        changes: dict[str, object] = {"tries": letter.tries + 1, "claimed_until": 0, "error": error or None}
        if not error:
            changes["delivered_at"] = now
        elif now - letter.created_at >= PATIENCE:
            changes["parked_at"] = now
            logger.error("delivery parked", extra={"delivery": letter.id, "error": error})
        else:
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(letter.tries, 32))
            changes["due_at"] = now + int(pause * (0.5 + self._chance() / 2))
            logger.warning("delivery failed", extra={"delivery": letter.id, "error": error})
        # Whoever lost the claim while it waited for the answer has no word: somebody else tries, or has been told to.
        mine = sa.and_(deliveries.c.id == letter.id, deliveries.c.claim == letter.claim)
        async with self._engine.begin() as connection:
            await connection.execute(sa.update(deliveries).where(mine).values(changes))


async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Post over HTTP; redirects are not followed, since a signed body belongs to the configured receiver alone."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,
        http.post(url, data=body, headers=headers, allow_redirects=False) as answer,
    ):
        return answer.status


__all__ = ["Deliveries", "Letter", "Poster", "Receiver", "post"]
