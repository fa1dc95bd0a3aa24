"""A control plane that does as the test says, and remembers what workers told it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from websockets.asyncio.server import Server, ServerConnection, serve

from roomkeeper.wire import link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from http import HTTPStatus

    from websockets.http11 import Request, Response


class Plane:
    """One control plane; `start` and `stop` may alternate, the port and what is stored stay.

    Attributes:
        said: Everything it was told but heartbeats, in order.
        alive: The jobs of the last heartbeat.
        lines: What is stored, by job.
        over: Jobs whose `lost` or `done` is stored.
        deaf: Types of frames that it leaves unanswered.
        refuses: Jobs that it does not keep.
        status: What it answers to a handshake instead, if not None.
        connections: How many were made.
        welcome: What it begins with.
        store_at_once: How many lines of a frame it stores.
    """

    def __init__(self) -> None:
        self.said: list[link.FromWorker] = []
        self.alive: tuple[str, ...] = ()
        self.lines: dict[str, list[link.Line]] = {}
        self.epochs: dict[str, int] = {}
        self.over: set[str] = set()
        self.attached: set[str] = set()
        self.deaf: set[type] = set()
        self.refuses: set[str] = set()
        self.status: HTTPStatus | None = None
        self.connections = 0
        self.headers: list[str] = []
        self.welcome = link.Welcome(v=link.VERSION)
        self.store_at_once = link.MAX_LINES
        self.port = 0
        self._server: Server | None = None
        self._changed = asyncio.Event()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Begin to listen, at the port it had."""
        self._server = await serve(
            self._serve, "127.0.0.1", self.port, process_request=self._request, close_timeout=0.1, ping_interval=None
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        """Die; what is stored stays."""
        assert self._server is not None
        self._server.close()
        for connection in list(self._server.connections):
            connection.transport.abort()
        await self._server.wait_closed()
        self._server = None

    def drop(self) -> None:
        """Lose all connections, without a word."""
        assert self._server is not None
        for connection in list(self._server.connections):
            connection.transport.abort()

    async def say(self, frame: link.FromControl) -> None:
        """Say something to all workers."""
        assert self._server is not None
        for connection in list(self._server.connections):
            await connection.send(link.write(frame))

    async def until(self, true: Callable[[], Any], within: float = 10.0) -> None:
        """Wait until something is true, which is looked at whenever a worker says something."""
        async with asyncio.timeout(within):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    def of(self, kind: type, job: str | None = None) -> list[Any]:
        """What it was told of one type, and of one job."""
        return [each for each in self.said if isinstance(each, kind) and job in {None, getattr(each, "job", None)}]

    def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        self.headers.append(request.headers["Authorization"])
        assert request.path == link.PATH
        return None if self.status is None else connection.respond(self.status, "no\n")

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections += 1
        self.attached.clear()
        async for text in connection:
            frame = link.read_from_worker(text)
            assert frame is not None
            if isinstance(frame, link.Heartbeat):
                self.alive = frame.jobs
            else:
                self.said.append(frame)
            if type(frame) not in self.deaf:
                for answer in self._answer(frame):
                    await connection.send(link.write(answer))
            self._changed.set()

    def _answer(self, frame: link.FromWorker) -> list[link.FromControl]:
        match frame:
            case link.Hello():
                return [self.welcome]
            case link.Heartbeat(n=n):
                return [link.Heartbeat(n=n)]
            case link.Attach(job=job) if job in self.refuses:
                return [link.Refused(why="it is not known here", job=job)]
            case link.Attach(job=job):
                epoch = self.epochs.setdefault(job, len(self.epochs) + 1)
                seq = len(self.lines.get(job, []))
                self.attached.add(job)
                attached = link.Attached(job=job, epoch=epoch, session="S_1", state={}, policy={}, seq=seq)
                return [attached, link.Ack(job=job, seq=seq)]
            case link.Events(job=job) | link.Lost(job=job) | link.Done(job=job) if job not in self.attached:
                return [link.Refused(why="say `attach` first", job=job)]
            case link.Events(job=job, events=events):
                stored = self.lines.setdefault(job, [])
                for line in events[: self.store_at_once]:
                    assert line.seq <= len(stored) + 1, "a line is missing"
                    if line.seq == len(stored) + 1:
                        stored.append(line)
                return [link.Ack(job=job, seq=len(stored))]
            case link.Lost(job=job) | link.Done(job=job):
                self.over.add(job)
                return [link.Ack(job=job, seq=len(self.lines.get(job, [])), over=True)]
            case _:
                return []


@asynccontextmanager
async def plane() -> AsyncIterator[Plane]:
    """Run a control plane."""
    running = Plane()
    await running.start()
    try:
        yield running
    finally:
        if running._server is not None:
            await running.stop()
