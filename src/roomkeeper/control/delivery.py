"""Reports on their way to the application's backend: Standard Webhooks, at least once, for three days.

The body and the `webhook-id` of a delivery are made once and are the same on every try, so that a receiver can tell a
repetition. Time and signature are made anew. After 72 hours a delivery is parked: kept, shown, sent again by command.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import aiohttp
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from roomkeeper.control.report import build
from roomkeeper.control.store.tables import deliveries
from roomkeeper.errors import ConfigError
from roomkeeper.lifecycle.state import stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.state import Session

logger = logging.getLogger(__name__)

SESSION_ENDED = "session.ended"
PATIENCE = 72 * 3_600_000
"""Milliseconds from the first try until a delivery is parked."""
FIRST_PAUSE, LONGEST_PAUSE = 1_000, 3_600_000
"""Milliseconds between tries: doubled each time, up to the longest."""
LEASE = 30_000
"""Milliseconds a try may take before another replica makes it."""
TIMEOUT = 15.0
"""Seconds a receiver has to answer."""
SUCCESS = range(200, 300)
NAP = 1.0
AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where reports go.

    Attributes:
        secret: `whsec_…`, base64; the receiver verifies with the same.

    Raises:
        ConfigError: The URL is none, or the secret is not in that form.
    """

    url: str
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError("A receiver's URL begins with http:// or https:// and names a host.")
        try:
            Webhook(self.secret)
        except (ValueError, EmptyWebhookSecretError):  # its own words could quote the secret
            raise ConfigError(f"The secret of {parts.hostname} must be `whsec_` and base64.") from None

    @property
    def id(self) -> str:
        """What tells receivers apart in the store; a changed secret is the same receiver."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]


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
    receiver: str
    body: str
    tries: int
    created_at: int


class Deliveries:
    """Builds reports and brings them to every receiver.

    Args:
        store: The sessions, and the clock.
        engine: The store's.
        receivers: Where reports go.
        post: Who posts.
        chance: A number in [0, 1), for the jitter.
    """

    def __init__(
        self,
        store: Store,
        engine: AsyncEngine,
        receivers: Sequence[Receiver],
        post: Poster,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._engine = engine
        self._receivers = {receiver.id: receiver for receiver in receivers}
        self._post = post
        self._chance = chance

    async def report(self, session: Session, revision: int) -> None:
        """Put a revision of the report on its way to every receiver; doing so twice is doing it once."""
        now = await self._store.now()
        report = build(await self._store.journal(session.id), revision)
        body = json.dumps({"type": SESSION_ENDED, "timestamp": stamp(now), "data": report}, separators=(",", ":"))
        insert = (postgresql if self._store.postgres else sqlite).insert(deliveries)
        rows = [
            {
                "id": f"msg_{session.id}_{revision}_{receiver}",
                "session": session.id,
                "receiver": receiver,
                "type": SESSION_ENDED,
                "body": body,
                "created_at": now,
                "due_at": now,
            }
            for receiver in self._receivers
        ]
        if rows:
            async with self._engine.begin() as connection:
                await connection.execute(insert.on_conflict_do_nothing(), rows)

    async def run(self) -> None:
        """Deliver until cancelled; a database that is away for a moment only costs that moment."""
        while True:
            try:
                tried = await self.deliver_due()
            except (sa.exc.SQLAlchemyError, OSError):
                logger.exception("deliveries could not be read")
                tried = 0
            if not tried:
                await asyncio.sleep(NAP)

    async def deliver_due(self) -> int:
        """Try everything that is due; returns how many were tried."""
        letters = await self._claim()
        await asyncio.gather(*map(self._try, letters))
        return len(letters)

    async def redeliver(self, session: str) -> int:
        """Send everything of a session again, parked or delivered; returns how many."""
        now = await self._store.now()
        again = (
            sa.update(deliveries)
            .where(deliveries.c.session == session)
            .values(due_at=now, created_at=now, tries=0, delivered_at=None, parked_at=None, claimed_until=0)
        )
        async with self._engine.begin() as connection:
            return int((await connection.execute(again)).rowcount)

    async def _claim(self) -> list[Letter]:
        now = await self._store.now()
        due = (
            sa.select(deliveries.c.id)
            .where(
                deliveries.c.due_at <= now,
                deliveries.c.claimed_until <= now,
                deliveries.c.delivered_at.is_(None),
                deliveries.c.parked_at.is_(None),
                deliveries.c.receiver.in_(list(self._receivers)),
            )
            .order_by(deliveries.c.due_at)
            .limit(AT_ONCE)
            .with_for_update(skip_locked=True)
        )
        columns = deliveries.c
        take = (
            sa.update(deliveries)
            .where(columns.id.in_(due))
            .values(claimed_until=now + LEASE)
            .returning(columns.id, columns.receiver, columns.body, columns.tries, columns.created_at)
        )
        async with self._engine.begin() as connection:
            return [Letter(*row) for row in (await connection.execute(take)).all()]

    async def _try(self, letter: Letter) -> None:
        receiver = self._receivers[letter.receiver]
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

    async def _note(self, letter: Letter, error: str) -> None:
        now = await self._store.now()
        changes: dict[str, object] = {"tries": letter.tries + 1, "claimed_until": 0, "error": error or None}
        if not error:
            changes["delivered_at"] = now
        elif now - letter.created_at >= PATIENCE:
            changes["parked_at"] = now
            logger.error("delivery parked", extra={"delivery": letter.id, "error": error})
        else:
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**letter.tries)
            changes["due_at"] = now + int(pause * (0.5 + self._chance() / 2))
            logger.warning("delivery failed", extra={"delivery": letter.id, "error": error})
        async with self._engine.begin() as connection:
            await connection.execute(sa.update(deliveries).where(deliveries.c.id == letter.id).values(changes))


async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Post over HTTP; redirects are not followed, since a signed body belongs to the configured receiver alone."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,
        http.post(url, data=body, headers=headers, allow_redirects=False) as answer,
    ):
        return answer.status
