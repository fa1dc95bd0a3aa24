"""Every worker's link: letting workers in, reaching their jobs, and noticing who fell silent.

A job can be told something only by the replica that holds its worker's connection. Any replica may carry out what a
session asks for; it leaves a letter for the one that holds the link, which PostgreSQL wakes. A job whose link is down
is told nothing: what it has to know then, it is told when it attaches again.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from prometheus_client import Gauge
from sqlalchemy.exc import SQLAlchemyError
from starlette.websockets import WebSocketDisconnect

from roomkeeper.control.admin import needed_claims
from roomkeeper.control.link import answers
from roomkeeper.control.link.desk import Desk, Office
from roomkeeper.control.link.finding import Finding
from roomkeeper.control.link.socket import (
    INTERNAL_ERROR,
    NORMAL,
    POLICY_VIOLATION,
    Misuse,
    Socket,
)
from roomkeeper.control.problems import Problem, problem_response
from roomkeeper.control.store.store import NoSuchSession
from roomkeeper.lifecycle.events import LeaseExpired, LinkLost
from roomkeeper.lifecycle.state import Standing
from roomkeeper.wire.link import VERSION, Hello, Welcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client import CollectorRegistry
    from starlette.requests import HTTPConnection
    from starlette.websockets import WebSocket

    from roomkeeper.control.adoption import Adoption
    from roomkeeper.control.link.answers import Word
    from roomkeeper.control.room_api import RoomApi
    from roomkeeper.control.store.links import Lapsed, LinkStore
    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.state import Session

logger = logging.getLogger(__name__)

MAX_LINKS: Final = 1_000
"""Workers linked to one replica."""
HELLO_WITHIN: Final = 10.0
"""Seconds."""
WATCH_EVERY: Final = 0.5
"""Seconds between two looks for leases at the longest; several times within the lease of a replica."""


class Links:
    """The agent link of one replica; the `Agents` of the carrier.

    Args:
        links: Leases and jobs.
        store: The sessions.
        rooms: The LiveKit server.
        adoption: Says which rooms are ours.
        keys: Secret by API key.
    """

    def __init__(
        self, links: LinkStore, store: Store, rooms: RoomApi, adoption: Adoption, keys: Mapping[str, str]
    ) -> None:
        self._office = Office(store, links, Finding(store, links, rooms, adoption))
        self._keys = keys
        self._open = 0
        self._workers: dict[str, Desk] = {}
        self._mail = asyncio.Event()
        self._stopping = False

    def woken(self, wake: Callable[[], None]) -> None:
        """Call this whenever there is something to carry out."""
        self._office.wake = wake

    @property
    def workers(self) -> int:
        """How many workers are linked to this replica."""
        return len(self._workers)

    @property
    def jobs(self) -> int:
        """How many of their jobs are attached."""
        return len(self._office.desks)

    # -- workers ------------------------------------------------------------------------------------------------------

    async def endpoint(self, websocket: WebSocket) -> None:
        """Take a worker's connection, until it ends."""
        try:
            self._let_in(websocket)
        except Problem as problem:
            answer = problem_response(problem.status_code, problem.detail, problem.headers)
            with suppress(RuntimeError):  # a server that cannot answer a handshake closes it with 403
                await websocket.send_denial_response(answer)
            return
        await websocket.accept()
        self._open += 1
        socket = Socket(websocket)
        try:
            code, why = await self._serve(socket)
            await socket.close(code, why)
        finally:
            socket.abort()
            self._open -= 1

    def _let_in(self, websocket: WebSocket) -> None:
        check_worker(websocket, self._keys)
        if self._open >= MAX_LINKS:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"This replica has {MAX_LINKS} links already.")

    async def _serve(self, socket: Socket) -> tuple[int, str]:
        """Serve a connection; returns how to close it. Whatever fails ends this connection and no other."""
        desk: Desk | None = None
        try:
            desk = await self._greet(socket)
            await desk.serve()
        except WebSocketDisconnect:
            return NORMAL, ""
        except Misuse as misuse:
            logger.warning("worker refused", extra={"worker": desk.worker if desk else "", "why": misuse.detail})
            return POLICY_VIOLATION, misuse.detail
        except Exception:
            logger.exception("worker connection failed")
            return INTERNAL_ERROR, "The control plane failed; try again."
        finally:
            if desk is not None:
                await self._leave(desk)
        return NORMAL, ""

    async def _greet(self, socket: Socket) -> Desk:
        hello = await socket.read(within=HELLO_WITHIN)
        if not isinstance(hello, Hello):
            raise Misuse("`hello` comes first.")
        if hello.v != VERSION:
            raise Misuse(f"This control plane speaks version {VERSION} of the agent link.")
        if not hello.worker:
            raise Misuse("`hello.worker` is empty.")
        desk = Desk(hello, socket, self._office)
        await self._office.links.greet(desk.worker, desk.connection)
        before = self._workers.get(desk.worker)
        if before is not None:
            before.dismiss()
        self._workers[desk.worker] = desk
        socket.send(Welcome(v=VERSION))
        logger.info("worker linked", extra={"worker": desk.worker, "agent": hello.agent_name})
        return desk

    async def _leave(self, desk: Desk) -> None:
        if self._workers.get(desk.worker) is desk:
            del self._workers[desk.worker]
        if self._stopping:
            return  # the replica that takes over tells it
        try:
            await desk.leave()
        except Exception:
            logger.exception("links could not be noted as lost")  # their leases tell
        logger.info("worker unlinked", extra={"worker": desk.worker})

    # -- jobs ---------------------------------------------------------------------------------------------------------

    async def tell(self, session: Session, action: Word) -> None:
        """Tell a job what its session asks for, wherever its link is."""
        job, frame = answers.about(session, action), answers.now_for(session, action)
        if job is None or frame is None:
            return
        desk, office = self._office.desks.get(job), self._office
        if desk is not None:
            desk.tell(job, frame)
        elif office.store.postgres:
            replica = await office.links.replica_of(job)
            if replica not in {None, office.links.replica}:
                await office.links.post(str(replica), session.id, action)

    # -- loops --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch leases and read letters until cancelled; then let other replicas take over at once."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch())
                if self._office.store.postgres:
                    group.create_task(self._read_mail())
                    group.create_task(self._office.links.listen(self._mail.set))
        finally:
            self._stopping = True
            with suppress(SQLAlchemyError):
                await self._office.links.resign()

    async def _watch(self) -> None:
        while True:
            pause = WATCH_EVERY
            try:
                pause = await self.watch()
            except Exception:  # one round's fault must not end all leases
                logger.exception("leases could not be read")
            await asyncio.sleep(pause)

    async def watch(self) -> float:
        """Make one round: take over from dead replicas, and end leases that ran out.

        Returns:
            Seconds until the next round: a lease that nobody renews is seen as it runs out.
        """
        found = await self._office.links.watch()
        for worker in found.orphans:
            logger.info("worker taken over", extra={"worker": worker})
        if found.orphans:
            for job, session in (await self._office.links.jobs_of(found.orphans)).items():
                if job not in self._office.desks:
                    with suppress(NoSuchSession):
                        await self._office.store.tell(session, LinkLost(at=0, job=job))
        for each in found.lapsed:
            with suppress(NoSuchSession):
                await self._expire(each)
        return WATCH_EVERY if found.next_in is None else min(WATCH_EVERY, (found.next_in + 1) / 1000)

    async def _expire(self, lapsed: Lapsed) -> None:
        """End a lease, once, whichever replicas saw it run out."""
        session = await self._office.store.get(lapsed.session)
        epoch = session.epoch_of(lapsed.job)
        if epoch is not None and epoch.open and epoch.standing not in {Standing.OVER, Standing.FENCED}:
            source = f"lease {lapsed.job} {lapsed.attached_at}"
            await self._office.store.tell(session.id, LeaseExpired(at=0, job=lapsed.job), source=source)
            self._office.wake()
            logger.warning("lease expired", extra={"session": session.id, "job": lapsed.job})
        await self._office.links.unwatch(lapsed)

    async def _read_mail(self) -> None:
        while True:
            self._mail.clear()
            try:
                await self.read_mail()
            except Exception:  # likewise
                logger.exception("letters could not be read")
            with suppress(TimeoutError):
                # Not `wait_for`: before Python 3.12 it loses a cancellation that comes with the event.
                async with asyncio.timeout(WATCH_EVERY):
                    await self._mail.wait()

    async def read_mail(self) -> None:
        """Tell jobs what other replicas left for them."""
        for letter in await self._office.links.collect():
            with suppress(NoSuchSession):
                session = await self._office.store.get(letter.session)
                job, frame = answers.about(session, letter.action), answers.now_for(session, letter.action)
                desk = self._office.desks.get(job or "")
                if desk is not None and frame is not None:
                    desk.tell(str(job), frame)


def measure(links: Links, registry: CollectorRegistry) -> None:
    """Show how many workers and jobs this replica serves."""
    workers = Gauge("roomkeeper_links", "Workers linked to this replica.", registry=registry)
    workers.set_function(lambda: links.workers)
    jobs = Gauge("roomkeeper_linked_jobs", "Jobs of these workers that are attached.", registry=registry)
    jobs.set_function(lambda: links.jobs)


def check_worker(request: HTTPConnection, keys: Mapping[str, str]) -> None:
    """Let nobody pass but a worker: a LiveKit API token with the `agent` grant that joins no room.

    Args:
        request: With `Authorization: Bearer …`.
        keys: Secret by API key.

    Raises:
        Problem: 401 no token or none of ours, 403 a token for something else.
    """
    video = needed_claims(request, keys).video
    if not video.agent or video.room_join or video.room:
        raise Problem(HTTPStatus.FORBIDDEN, "A worker's token has the `agent` grant, and joins no room.")
