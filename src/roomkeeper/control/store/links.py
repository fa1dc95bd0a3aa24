"""Who holds which worker's link, whose leases run out, and what replicas leave for each other.

1. A lease is the worker's: a heartbeat is one row, however many jobs it names. A job that its worker stops naming has a
   lease of its own from then on.
2. A lease runs out only while somebody could have heard the heartbeat. A replica that was away itself (killed, paused,
   cut off from the database) gives its workers new leases; those of a replica that is dead are taken over likewise.
3. The latest connection of a worker is the one that counts, on whichever replica it is. A replica that was taken for
   dead ends its connections: what was meant for their jobs meanwhile, these are told when they attach again.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import asyncpg  # type: ignore[import-untyped]
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from roomkeeper.control.store.rows import action_of
from roomkeeper.control.store.tables import jobs, links, mail, replicas
from roomkeeper.lifecycle.actions import AcceptJob, EndAgent, FenceJob, MuteAgent, Warn
from roomkeeper.lifecycle.codec import load_action
from roomkeeper.wire import link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from roomkeeper.control.store.store import Store

LEASE: Final = int(link.LEASE * 1000)
SILENCE: Final = int(link.SILENCE * 1000)
GRACE: Final = 2 * LEASE
"""Milliseconds of a lease that begins while the worker may be looking for a replica."""
REPLICA_LEASE: Final = 3_000
"""Milliseconds after which a replica that does not say that it lives is dead; shorter than a worker's lease, so that
no lease runs out before it is known that nobody was there to renew it."""
FORGOTTEN: Final = 24 * 3_600_000
"""Milliseconds after which the row of a replica or a worker that is gone is dropped; its jobs lost their lease long
before."""
MAIL_KEPT: Final = 60_000
"""Milliseconds after which what a dead replica did not read is dropped: its workers were told when they came back."""
AT_ONCE: Final = 500
LISTEN_AGAIN: Final = 1.0
"""Seconds until PostgreSQL is listened to again after that failed."""
CHANNEL: Final = "roomkeeper_mail"
"""Of PostgreSQL's NOTIFY; the payload is the replica that has mail."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """A job that has attached before.

    Attributes:
        session: `S_…`.
        over: Its worker said `done` or `lost`.
    """

    session: str
    over: bool


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A job whose lease ran out.

    Attributes:
        attached_at: Tells this lease from the job's next.
    """

    job: str
    session: str
    attached_at: int


@dataclass(frozen=True, slots=True)
class Round:
    """What a look at all leases found.

    Attributes:
        orphans: Workers that were taken over from dead replicas.
        lapsed: Jobs whose lease ran out.
        next_in: Milliseconds until another one may run out; None if no worker has a lease.
    """

    orphans: tuple[str, ...]
    lapsed: tuple[Lapsed, ...]
    next_in: int | None


@dataclass(frozen=True, slots=True)
class Letter:
    """What another replica wants a job to be told."""

    session: str
    action: AcceptJob | FenceJob | MuteAgent | EndAgent | Warn


class LinkStore:
    """The rows of links, leases and letters, as one replica works on them.

    Args:
        engine: The store's.
        store: Gives the clock.
        replica: Names this process among the others.
    """

    def __init__(self, engine: AsyncEngine, store: Store, replica: str) -> None:
        self._engine = engine
        self._store = store
        self._insert = (postgresql if store.postgres else sqlite).insert
        self.replica = replica

    # -- workers ------------------------------------------------------------------------------------------------------

    async def greet(self, worker: str, connection: str) -> None:
        """Note a worker's new connection; jobs that it does not attach again have a short lease from now on."""
        now = await self._store.now()
        row = {"connection": connection, "replica": self.replica, "alive_until": now + LEASE}
        insert = self._insert(links).values(worker=worker, **row)
        unheard = sa.update(jobs).where(
            jobs.c.worker == worker, jobs.c.watched.is_(True), jobs.c.silent_until.is_(None)
        )
        async with self._engine.begin() as transaction:
            await self._live(transaction, now)  # a replica that has just started would be taken for dead
            await transaction.execute(insert.on_conflict_do_update(index_elements=["worker"], set_=row))
            await transaction.execute(unheard.values(silent_until=now + GRACE))

    async def beat(self, worker: str, connection: str) -> bool:
        """Renew a worker's lease.

        Returns:
            False if this connection is no longer the one that counts: a later one of this worker has taken its place,
            or another replica took this one for dead, and what it had to tell the worker's jobs is lost.
        """
        now = await self._store.now()
        mine = (links.c.worker == worker, links.c.connection == connection, links.c.replica == self.replica)
        async with self._engine.begin() as transaction:
            renewed = await transaction.execute(sa.update(links).where(*mine).values(alive_until=now + LEASE))
        return bool(renewed.rowcount)

    async def silence(self, silent: Iterable[str], named: Iterable[str]) -> None:
        """Note which jobs a worker stopped naming, and which it names again."""
        now = await self._store.now()
        quiet = sa.update(jobs).where(jobs.c.job.in_(list(silent)), jobs.c.silent_until.is_(None))
        heard = sa.update(jobs).where(jobs.c.job.in_(list(named)))
        async with self._engine.begin() as transaction:
            await transaction.execute(quiet.values(silent_until=now + SILENCE))
            await transaction.execute(heard.values(silent_until=None))

    # -- jobs ---------------------------------------------------------------------------------------------------------

    async def known(self, job: str) -> Known | None:
        """Return what is known of a job; None if it never attached."""
        query = sa.select(jobs.c.session, jobs.c.over).where(jobs.c.job == job)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        return Known(*row) if row is not None else None

    async def take(self, job: str, *, session: str, worker: str, metadata: str) -> None:
        """Note that a worker answers for a job, and begin its lease."""
        now = await self._store.now()
        row = {"worker": worker, "attached_at": now, "silent_until": None}
        fresh = {"job": job, "session": session, "metadata": metadata, "over": False, **row}
        insert = self._insert(jobs).values(**fresh, watched=True)
        again = {**row, "watched": ~jobs.c.over}
        async with self._engine.begin() as transaction:
            await transaction.execute(insert.on_conflict_do_update(index_elements=["job"], set_=again))

    async def close(self, job: str) -> None:
        """Note that a job is over and all of its spool is here."""
        async with self._engine.begin() as transaction:
            await transaction.execute(sa.update(jobs).where(jobs.c.job == job).values(watched=False, over=True))

    async def unwatch(self, lapsed: Lapsed) -> None:
        """Note that a lease has run out; one that has begun anew meanwhile goes on."""
        same = sa.update(jobs).where(jobs.c.job == lapsed.job, jobs.c.attached_at == lapsed.attached_at)
        async with self._engine.begin() as transaction:
            await transaction.execute(same.values(watched=False))

    async def first_metadata(self, session: str) -> str | None:
        """Return what the application gave the first agent of a session; None if no agent ever said."""
        query = sa.select(jobs.c.metadata).where(jobs.c.session == session).order_by(jobs.c.attached_at).limit(1)
        async with self._engine.connect() as connection:
            return (await connection.execute(query)).scalar_one_or_none()

    # -- leases -------------------------------------------------------------------------------------------------------

    async def watch(self) -> Round:
        """Say that this replica lives, take over from dead ones, and look for leases that ran out."""
        now = await self._store.now()
        alive = links.c.alive_until >= now
        async with self._engine.begin() as transaction:
            await self._live(transaction, now)
            orphans = await self._take_over(transaction, now)
            lapsed = await self._lapsed(transaction, now)
            soonest = await transaction.scalar(sa.select(sa.func.min(links.c.alive_until)).where(alive))
            await transaction.execute(sa.delete(mail).where(mail.c.at < now - MAIL_KEPT))
            await transaction.execute(sa.delete(replicas).where(replicas.c.alive_until < now - FORGOTTEN))
            await transaction.execute(sa.delete(links).where(links.c.alive_until < now - FORGOTTEN))
        return Round(tuple(orphans), tuple(lapsed), None if soonest is None else soonest - now)

    async def resign(self) -> None:
        """Say that this replica is leaving, so that others need not wait to take over."""
        async with self._engine.begin() as transaction:
            await transaction.execute(sa.delete(replicas).where(replicas.c.id == self.replica))

    async def jobs_of(self, workers: Iterable[str]) -> Mapping[str, str]:
        """Return the watched jobs of some workers, and their sessions."""
        query = sa.select(jobs.c.job, jobs.c.session).where(jobs.c.watched.is_(True), jobs.c.worker.in_(list(workers)))
        async with self._engine.connect() as connection:
            return {row.job: row.session for row in (await connection.execute(query)).all()}

    async def _live(self, transaction: AsyncConnection, now: int) -> None:
        me = replicas.c.id == self.replica
        alive = sa.update(replicas).where(me, replicas.c.alive_until >= now).values(alive_until=now + REPLICA_LEASE)
        if (await transaction.execute(alive)).rowcount:
            return
        row = {"alive_until": now + REPLICA_LEASE}
        insert = self._insert(replicas).values(id=self.replica, **row)
        await transaction.execute(insert.on_conflict_do_update(index_elements=["id"], set_=row))
        # Nobody heard their heartbeats: they are not to blame.
        renewed = sa.update(links).where(links.c.replica == self.replica).values(alive_until=now + GRACE)
        await transaction.execute(renewed)

    async def _take_over(self, transaction: AsyncConnection, now: int) -> list[str]:
        living = sa.select(replicas.c.id).where(replicas.c.alive_until >= now)
        orphaned = sa.select(links.c.worker).where(links.c.replica.not_in(living)).with_for_update(skip_locked=True)
        take = (
            sa.update(links).where(links.c.worker.in_(orphaned)).values(replica=self.replica, alive_until=now + GRACE)
        )
        return list((await transaction.execute(take.returning(links.c.worker))).scalars())

    async def _lapsed(self, transaction: AsyncConnection, now: int) -> list[Lapsed]:
        watched = sa.select(jobs.c.job, jobs.c.session, jobs.c.attached_at).where(jobs.c.watched.is_(True))
        unheard = sa.select(links.c.worker).where(links.c.alive_until < now)
        # A branch for each index: nearly all workers are heard, and nearly all jobs are named.
        gone = sa.union(watched.where(jobs.c.worker.in_(unheard)), watched.where(jobs.c.silent_until < now))
        return [Lapsed(*row) for row in (await transaction.execute(gone.limit(AT_ONCE))).all()]

    # -- letters ------------------------------------------------------------------------------------------------------

    async def replica_of(self, job: str) -> str | None:
        """Return the replica that holds the link of a job's worker; None if no worker ever had it."""
        query = sa.select(links.c.replica).join_from(jobs, links, jobs.c.worker == links.c.worker)
        async with self._engine.connect() as connection:
            return (await connection.execute(query.where(jobs.c.job == job))).scalar_one_or_none()

    async def post(
        self, replica: str, session: str, action: AcceptJob | FenceJob | MuteAgent | EndAgent | Warn
    ) -> None:
        """Leave a letter for another replica."""
        now = await self._store.now()
        letter = sa.insert(mail).values(replica=replica, session=session, body=action_of(action), at=now)
        async with self._engine.begin() as transaction:
            await transaction.execute(letter)
            await transaction.execute(sa.select(sa.func.pg_notify(CHANNEL, replica)))

    async def collect(self) -> list[Letter]:
        """Take the letters for this replica."""
        take = sa.delete(mail).where(mail.c.replica == self.replica).returning(mail.c.id, mail.c.session, mail.c.body)
        async with self._engine.begin() as transaction:
            rows = (await transaction.execute(take)).all()
        written = [(row.session, load_action(json.loads(row.body))) for row in sorted(rows, key=lambda row: row.id)]
        kinds = AcceptJob | FenceJob | MuteAgent | EndAgent | Warn
        return [Letter(session, action) for session, action in written if isinstance(action, kinds)]

    async def listen(self, woken: Callable[[], object]) -> None:
        """Call `woken` whenever there may be a letter, until cancelled.

        A letter that arrives while the connection is made anew waits for the next look.
        """
        while True:
            try:
                async with self._engine.connect() as connection:
                    driver = (await connection.get_raw_connection()).driver_connection
                    await self._hear(driver, woken)
            except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                logger.exception("PostgreSQL cannot be listened to")
            await asyncio.sleep(LISTEN_AGAIN)

    async def _hear(self, driver: Any, woken: Callable[[], object]) -> None:  # noqa: ANN401 - asyncpg has no types
        gone = asyncio.Event()

        def heard(_connection: object, _pid: int, _channel: str, payload: str) -> None:
            if payload == self.replica:
                woken()

        driver.add_termination_listener(lambda _: gone.set())
        await driver.add_listener(CHANNEL, heard)
        try:
            woken()
            await gone.wait()
        finally:
            if not driver.is_closed():
                await driver.remove_listener(CHANNEL, heard)
