"""What is to be done: rows that are claimed, carried out and settled, by any number of replicas.

1. A claim is a lease with a name, short and renewed. Whoever dies holding one loses it when it runs out; somebody else
   goes on.
2. Settling names the claim and what was asked: a row that was asked for anew meanwhile stays, and is carried out again,
   by one at a time. So the last state is always written last, and nothing that came in between is lost.
3. What fails is repeated with backoff and jitter, then parked: kept, shown, and repeated by command. An alarm is never
   parked: it only tells the session that its time has come.
"""

from __future__ import annotations

import json
import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from roomkeeper.control.store.engine import single
from roomkeeper.control.store.tables import outbox
from roomkeeper.errors import IllegalCall
from roomkeeper.lifecycle.actions import SetTimer
from roomkeeper.lifecycle.codec import load_action

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.store.ledger import Claimed
    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.actions import Action

logger = logging.getLogger(__name__)

LEASE = 3_000
"""Milliseconds a claim holds unless renewed: what a replica that is killed was doing waits no longer."""
FIRST_PAUSE, LONGEST_PAUSE = 500, 60_000
"""Milliseconds between tries: doubled each time, up to the longest."""
PARK_AFTER = 12
"""Tries; with the pauses above about seven minutes. Reports have their own, longer patience (`reports`)."""


@dataclass(frozen=True, slots=True)
class Task:
    """A claimed row.

    Attributes:
        claim: Names this claim; settling needs it.
        asked: How often it was asked for; settling names it too.
        tries: How often it was tried before.
    """

    id: int
    session: str
    action: Action
    claim: str
    asked: int
    tries: int
    due_at: int

    @property
    def is_alarm(self) -> bool:
        """Whether this is a timer that is due."""
        return isinstance(self.action, SetTimer)


class Outbox:
    """Hands out what is due.

    Args:
        store: Gives the clock that rows are due by.
        engine: The store's.
        replica: Names this process among the others.
        chance: A number in [0, 1), for the jitter.
    """

    def __init__(
        self, store: Store, engine: AsyncEngine, *, replica: str, chance: Callable[[], float] = random.random
    ) -> None:
        self._store = store
        self._engine = single(engine)
        self._replica = replica
        self._chance = chance
        self._claims = 0

    async def claim(self, most: int = 32) -> list[Task]:
        """Claim what is due, the longest due first; rows that others hold are passed over."""
        self._claims += 1
        rows = await self._store.claim(f"{self._replica}:{self._claims}", most, LEASE)
        return [task for row in rows if (task := _task(row)) is not None]

    async def renew(self, tasks: Collection[Task]) -> None:
        """Hold what is still being carried out for another lease."""
        now = await self._store.now()
        mine = sa.tuple_(outbox.c.id, outbox.c.claim).in_([(task.id, task.claim) for task in tasks])
        async with self._engine.begin() as connection:
            await connection.execute(sa.update(outbox).where(mine).values(claimed_until=now + LEASE))

    async def next_due(self) -> int | None:
        """Return when something will be due next that nobody holds, in milliseconds; None if nothing waits."""
        due = await self._store.due()
        return None if due is None else due[0]

    async def due_in(self) -> float | None:
        """Return in how many seconds that will be."""
        due = await self._store.due()
        return None if due is None else (due[0] - due[1]) / 1000

    async def settle(self, task: Task) -> bool:
        """Forget a row that was carried out.

        Returns:
            False if the claim was lost, or the same was asked for again: then it will be carried out once more.
        """
        return await self._store.settle(task.id, task.claim, task.asked)

    async def failed(self, task: Task, error: str) -> bool:
        """Put a row back for later, or park it after too many tries; one that was asked for again begins anew.

        Args:
            task: What failed.
            error: Why, for people; holds no secret.

        Returns:
            True if it is parked now.
        """
        now = await self._store.now()
        tries = task.tries + 1
        parked = tries >= PARK_AFTER and not task.is_alarm
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(task.tries, PARK_AFTER))
        later = now + int(pause * (0.5 + self._chance() / 2))
        mine = sa.and_(outbox.c.id == task.id, outbox.c.claim == task.claim)
        free = {"claim": None, "claimed_until": 0, "error": error[:2000].replace("\x00", "")}
        again = {**free, "tries": tries, "due_at": later, "parked_at": now if parked else None}
        async with self._engine.begin() as connection:
            put = await connection.execute(sa.update(outbox).where(mine, outbox.c.asked == task.asked).values(again))
            if not put.rowcount:
                await connection.execute(sa.update(outbox).where(mine).values(free))
            return bool(put.rowcount) and parked

    async def unpark(self, session: str) -> int:
        """Try again what was parked; returns how many rows."""
        now = await self._store.now()
        again = (
            sa.update(outbox)
            .where(outbox.c.session == session, outbox.c.parked_at.is_not(None))
            .values(parked_at=None, tries=0, due_at=now)
        )
        async with self._engine.begin() as connection:
            return int((await connection.execute(again)).rowcount)


def _task(row: Claimed) -> Task | None:
    """Read a claimed row; None for one that a newer replica asked for, which is left to it."""
    try:
        action = load_action(json.loads(row.body))
    except (IllegalCall, ValueError, TypeError, KeyError):
        logger.exception("deed cannot be read", extra={"session": row.session, "row": row.id})
        return None
    return Task(row.id, row.session, action, row.claim, row.asked, row.tries, row.due_at)
