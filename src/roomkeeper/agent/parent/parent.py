"""The parent of a worker's jobs: everything in it that is Roomkeeper's.

1. Nothing here may harm the worker: what fails is logged, and tried again.
2. A job is said to live if it beat lately, whatever the worker thinks of it.
3. What is not shipped stays in its file. A worker that dies leaves it to the next one in the folder.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, assert_never

from roomkeeper.agent.parent.connection import Connection
from roomkeeper.agent.parent.desks import Desks
from roomkeeper.agent.parent.folder import Folder
from roomkeeper.agent.parent.shipper import Shipper
from roomkeeper.wire import link

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from roomkeeper.agent.local import Place

log = logging.getLogger("roomkeeper.agent")

ALIVE_WITHIN: Final = 1.5
"""Seconds after its last beat that a job is said to live; it beats twice a second."""
LISTEN: Final = 0.25
"""Seconds between two looks at who beat."""
LOOK: Final = 1.0
"""Seconds between two looks for spools of dead workers."""
POLL: Final = 1.0
"""Seconds until a spool is looked at although nobody rang."""
TOKEN_EVERY: Final = 3600.0
"""Seconds between two tokens for the journal."""
YIELD_EVERY: Final = 5.0
"""Seconds between two requests to take a session over."""
YIELDED_AT_ONCE: Final = max(2, os.cpu_count() or 1)
"""Sessions that change hands at the same time: more of them take the processor from each other, which is heard. One
that has not found a successor within `YIELD_EVERY` keeps nobody waiting."""
SHIPPED_AT_ONCE: Final = 16
"""Spools of dead jobs that are shipped at the same time, beside those of living ones."""


class Parent:
    """Keeps the sessions of one worker. An async context manager for as long as the worker runs.

    Attributes:
        place: What its jobs know.
    """

    def __init__(self, place: Place, *, url: str, hello: link.Hello, token: Callable[[], str]) -> None:
        """Prepare it.

        Args:
            place: Folder and socket.
            url: Of the control plane; empty if there is none.
            hello: How the worker introduces itself.
            token: Makes a LiveKit API token with the `agent` grant.
        """
        self.place = place
        self._url = url
        self._token = token
        self._folder = Folder(Path(place.folder), place.worker)
        self._desks = Desks(Path(place.socket), self)
        self._connection = Connection(url, token=token, hello=hello, owner=self) if url else None
        self._shippers: dict[str, Shipper] = {}
        self._work = asyncio.Event()
        self._shipped = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Begin.

        Raises:
            SpoolUnusable: The folder cannot be used.
            OSError: The socket cannot be made.
        """
        self._folder.open()
        try:
            await self._desks.open()
        except OSError:
            self._folder.close()
            raise
        self._tell_jobs()
        await self._tasks.__aenter__()
        loops: list[Callable[[], Awaitable[None]]] = []
        if self._connection is not None:
            loops = [self._connection.run, self._ship, self._heartbeat, self._adopt, self._renew_token]
        self._running = [self._tasks.create_task(_forever(each)) for each in loops]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        await self._tasks.__aexit__(None, None, None)
        await self._desks.close()
        self._folder.close()

    @property
    def live(self) -> list[Shipper]:
        """The jobs of this worker that are in a conversation."""
        return [shipper for shipper in self._shippers.values() if shipper.live]

    def process_closed(self, job: str, code: int | None) -> None:
        """The process of a job ended.

        Args:
            job: Its id.
            code: Its exit code, negative for a signal.
        """
        path = self.place.spool(job)
        if job not in self._shippers and not path.exists():
            return  # it never came to its desk: nothing of ours
        shipper = self._shipper(job)
        shipper.gone = True
        shipper.exit = code
        self._work.set()

    async def leave(self) -> None:
        """Ask for all live sessions to be taken over, a few at once, until cancelled or no job is left."""
        now = asyncio.get_running_loop().time
        first, last = dict[str, float](), dict[str, float]()
        while live := self.live:
            under_way = sum(now() - first.get(shipper.job, -YIELD_EVERY) < YIELD_EVERY for shipper in live)
            for shipper in live:
                job = shipper.job
                if not shipper.attached or shipper.muted or self._connection is None:
                    continue
                if job not in first and under_way < YIELDED_AT_ONCE:
                    first[job] = now()
                    under_way += 1
                elif job not in last or now() - last[job] < YIELD_EVERY:
                    continue
                last[job] = now()
                await self._connection.send(link.Yield(job=job))
            await asyncio.sleep(LISTEN)

    async def flush(self, within: float) -> None:
        """Wait until everything is shipped that the control plane wants.

        Args:
            within: Seconds at most; what is left then is for the next worker.
        """
        try:
            async with asyncio.timeout(within):
                while self._connection is not None and self._connection.up and self._is_wanted():
                    self._shipped.clear()
                    await self._shipped.wait()
        except TimeoutError:
            log.warning("spools are left for the next worker", extra={"jobs": sorted(self._shippers)})

    # What jobs say.

    def came(self, job: str) -> None:
        """A job connected; also one that was reloaded in development, whose spool looked like an orphan."""
        shipper = self._shipper(job)
        if shipper.adopted:
            shipper.gone = shipper.adopted = False

    def left(self, job: str) -> None:
        """A job's connection is gone; if its spool is too, that was all of it."""
        shipper = self._shippers.get(job)
        if shipper is not None and not shipper.path.exists():
            self._forget(shipper)

    def asks(self, attach: link.Attach, n: int) -> None:
        """A job asks to be in charge, for the n-th time."""
        shipper = self._shipper(attach.job)
        if not shipper.gone:
            shipper.asks(attach, n)
            self._work.set()

    def rang(self, job: str) -> None:
        """A job lives, and may have written."""
        self._work.set()

    # What the control plane says.

    def welcomed(self) -> None:
        """A connection is up: say again who is there, and ship on from what arrived."""
        for shipper in self._shippers.values():
            shipper.connected()
        self._tell_jobs()
        self._work.set()

    def parted(self) -> None:
        """The connection is down."""
        self._tell_jobs()

    def says(self, frame: link.FromControl) -> None:
        """Pass on what concerns a job, after looking at what concerns its spool."""
        if isinstance(frame, link.Welcome | link.Heartbeat):
            return
        if isinstance(frame, link.Refused):
            log.warning("the control plane refused something", extra={"job": frame.job, "why": frame.why})
        shipper = self._shippers.get(frame.job)
        if shipper is None:
            return
        n = 0
        match frame:
            case link.Ack():
                shipper.ack(frame, now=self._now())
            case link.Refused():
                n = shipper.refused(now=self._now())
                self._shipped.set()
            case link.Attached():
                n = shipper.answered(frame)
            case link.Fenced():
                n = shipper.answered(frame)
                self._fence(frame.job)
            case link.Mute() | link.Unmute():
                shipper.muted = isinstance(frame, link.Mute)
            case link.EndNow() | link.Warning():
                pass
            case _:
                assert_never(frame)
        if not isinstance(frame, link.Ack):
            self._desks.tell(frame.job, frame, n)
        if shipper.over:
            self._forget(shipper)
        self._work.set()

    # The loops.

    async def _heartbeat(self) -> None:
        """Say every second which jobs live, and at once when that changes."""
        assert self._connection is not None  # noqa: S101 - for the type checker: there is no heart without it
        n, due, named = 0, 0.0, frozenset[str]()
        while True:
            before = self._now()
            await asyncio.sleep(min(LISTEN, self._connection.heartbeat))
            now = self._now()
            if not self._connection.up:
                continue
            if now - before > self._connection.lease:
                # What was said to it meanwhile may no longer be so: the next connection says how things stand.
                log.warning("this process stood still for longer than a lease")
                self._connection.drop()
                continue
            alive = [job for job, at in self._desks.alive_at.items() if now - at <= ALIVE_WITHIN]
            if now >= due or named != frozenset(alive):
                n, due, named = n + 1, now + self._connection.heartbeat, frozenset(alive)
                await self._connection.send(link.Heartbeat(n=n, jobs=tuple(alive[: link.MAX_JOBS])))

    async def _ship(self) -> None:
        """Send what there is to send, whenever somebody rings."""
        assert self._connection is not None  # noqa: S101 - for the type checker: nothing is shipped without it
        while True:
            self._work.clear()
            if self._connection.up:
                for shipper in self._next_shippers():
                    await self._send_next(shipper)
            try:
                async with asyncio.timeout(POLL):
                    await self._work.wait()
            except TimeoutError:
                continue

    async def _send_next(self, shipper: Shipper) -> None:
        assert self._connection is not None  # noqa: S101 - for the type checker: the caller has looked
        try:
            frame = shipper.next(now=self._now())
        except OSError as error:
            log.warning("a spool cannot be read", extra={"path": str(shipper.path), "error": str(error)})
            shipper.refused(now=self._now())
            return
        if frame is not None:
            await self._connection.send(frame)
        elif shipper.over:
            self._forget(shipper)

    def _next_shippers(self) -> Iterator[Shipper]:
        """Yield the spools of all living jobs, and as many of dead ones as may be on their way at once."""
        shippers = list(self._shippers.values())
        on_their_way = sum(shipper.gone and shipper.waiting for shipper in shippers)
        for shipper in shippers:
            if not shipper.gone or shipper.waiting:
                yield shipper
            elif on_their_way < SHIPPED_AT_ONCE:
                yield shipper
                on_their_way += shipper.waiting

    async def _adopt(self) -> None:
        """Look for spools of dead workers."""
        while True:
            known = {shipper.path for shipper in self._shippers.values()}
            for path in self._folder.orphans(known):
                shipper = self._shipper(path.stem)
                shipper.gone = shipper.adopted = True
                self._work.set()
            await asyncio.sleep(LOOK)

    async def _renew_token(self) -> None:
        """Keep the jobs' token for the journal fresh."""
        while True:
            await asyncio.sleep(TOKEN_EVERY)
            self._tell_jobs()

    # Helpers.

    def _fence(self, job: str) -> None:
        """Kill a job that cannot hear that it was replaced: it would say a word, or half of one, as it wakes."""
        heard = self._desks.alive_at.get(job)
        if heard is not None and self._now() - heard > ALIVE_WITHIN:
            self._desks.kill(job)

    def _is_wanted(self) -> bool:
        return any(not shipper.is_refused for shipper in self._shippers.values())

    def _shipper(self, job: str) -> Shipper:
        if job not in self._shippers:
            self._shippers[job] = Shipper(job, self.place.spool(job))
        return self._shippers[job]

    def _forget(self, shipper: Shipper) -> None:
        """The control plane has it all: the spool may go."""
        try:
            shipper.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("a spool cannot be deleted", extra={"path": str(shipper.path), "error": str(error)})
        self._shippers.pop(shipper.job, None)
        self._shipped.set()

    def _tell_jobs(self) -> None:
        linked = self._connection is not None and self._connection.up
        self._desks.tell_parent(url=self._url, token=self._token() if self._url else "", linked=linked)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


async def _forever(loop: Callable[[], Awaitable[None]]) -> None:
    """Run a loop again when it fails: the worker goes on in any case."""
    while True:
        try:
            await loop()
        except Exception:
            log.exception("part of the session layer failed and is begun again")
        await asyncio.sleep(1)
