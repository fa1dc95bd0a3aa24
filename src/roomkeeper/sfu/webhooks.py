"""Telling the webhooks what happens in the rooms.

One queue for each receiver and room: what happens in a room arrives in order, and a receiver that hangs holds up
nobody but itself. A try that fails (no connection, no answer in time, 429, 5xx but 501) is repeated; any other answer
is final.

- By default a webhook is repeated for an hour, signed anew each time, and kept on disk if there is a folder for it: a
  restart of the receiver, or of this server, loses none. One success wakes all the other rooms of that receiver.
- Strict is the original: five tries within 15 s, from memory, at most 200 queued a room, none older than 30 s.

Source: livekit/protocol `webhook/resource_url_notifier.go`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp
from livekit.protocol import webhook

from roomkeeper.errors import IllegalCall
from roomkeeper.sfu.webhook_store import Delivery, WebhookStore
from roomkeeper.wire import webhooks as wire
from roomkeeper.wire.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

USER_AGENT: Final = "LiveKit"

STRICT_PAUSES: Final = (1.0, 2.0, 4.0, 8.0)
"""Seconds between the tries of the original."""

STRICT_AGE: Final = 30.0
"""Seconds after which the original does not begin to deliver any more."""

STRICT_DEPTH: Final = 200
"""Webhooks that the original queues, for one receiver and room."""

PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
LONG_PAUSE: Final = 30.0
MAX_AGE: Final = 3600.0
"""Seconds for which a webhook is repeated."""

MAX_QUEUED: Final = 20_000
MAX_QUEUED_BYTES: Final = 64 * 1024 * 1024
"""What is queued for one receiver, at most; beyond, new webhooks are dropped."""

CONCURRENCY: Final = 20
"""Tries at once at one receiver."""

TIMEOUT: Final = 10.0
"""Seconds that a receiver has to answer."""


_QUEUE_TASK: Final = "webhook-queue"


class Poster(Protocol):
    """Who posts."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Post and return the status of the answer.

        Raises:
            OSError: no connection.
            TimeoutError: no answer in time.
        """
        ...

    async def close(self) -> None:
        """Close what is open."""


@dataclass(eq=False, slots=True)
class _Receiver:
    """A URL, with one queue for each room."""

    url: str
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONCURRENCY))
    queues: dict[str, deque[Delivery]] = field(default_factory=dict)
    successes: int = 0
    succeeded: asyncio.Event = field(default_factory=asyncio.Event)
    queued: int = 0
    queued_bytes: int = 0
    dropped: int = 0
    """Since the last one that was queued."""


class Webhooks:
    """The webhooks of a room server; `open` before the first `notify`, `close` at the end."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        api_key: str,
        secret: str,
        data_dir: Path | None = None,
        strict: bool = False,
        poster: Poster | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Start with nothing queued.

        Args:
            urls: the receivers.
            api_key: the key that signs.
            secret: its secret.
            data_dir: where the undelivered are kept, unless strict; None keeps them in memory.
            strict: behave like the original.
            poster: who posts; by default aiohttp.
            clock: unix seconds.
            sleep: waits for so many seconds.
        """
        self._receivers = {url: _Receiver(url) for url in urls}
        self._api_key = api_key
        self._secret = secret
        self._store = WebhookStore(data_dir) if data_dir is not None and not strict and urls else None
        self._strict = strict
        self._poster = poster or AiohttpPoster()
        self._clock = clock
        self._sleep = sleep
        self._seq = 0
        self._opened = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.delivered = 0
        self.dropped = 0
        self.failed_tries = 0

    @property
    def queued(self) -> int:
        """How many are on their way, over all receivers."""
        return sum(receiver.queued for receiver in self._receivers.values())

    async def open(self) -> None:
        """Go on with what an earlier process left.

        Raises:
            ConfigError: the data folder cannot be used.
        """
        self._opened = True
        if self._store is None:
            return
        for delivery in await self._store.open():
            self._seq = delivery.seq
            receiver = self._receivers.get(delivery.url)
            if receiver is None:
                logger.warning("webhook of a former receiver dropped", extra={"event": delivery.name})
                self._store.forget(delivery.seq)
            else:
                self._enqueue(receiver, delivery)
        self._spawn(self._store.run())

    def notify(self, event: webhook.WebhookEvent) -> None:
        """Queue an event for every receiver; its id and time are set here. Never waits.

        Raises:
            IllegalCall: `open` was not called before; what is on disk goes first.
        """
        if not self._receivers:
            return
        if not self._opened:
            raise IllegalCall("Webhooks.notify came before Webhooks.open.")
        told = webhook.WebhookEvent()
        told.CopyFrom(event)
        told.id, told.created_at = new_id("EV_"), int(self._clock())
        body = wire.encode(told)
        for receiver in self._receivers.values():
            if self._full(receiver, told.room.name, len(body)):
                self.dropped += 1
                receiver.dropped += 1
                logger.warning("webhook dropped, the queue is full", extra={"event": told.event})
                continue
            own_body = body
            if receiver.dropped:
                told.num_dropped, receiver.dropped = receiver.dropped, 0
                own_body = wire.encode(told)
                told.ClearField("num_dropped")
            self._seq += 1
            delivery = Delivery(self._seq, receiver.url, told.room.name, told.event, self._clock(), own_body)
            if self._store is not None:
                self._store.keep(delivery)
            self._enqueue(receiver, delivery)

    async def close(self, *, grace: float = 1.0) -> None:
        """Give what is on its way so many seconds, then stop; what is on disk waits for the next process."""
        delivering = [task for task in self._tasks if task.get_name() == _QUEUE_TASK]
        if delivering:
            await asyncio.wait(delivering, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.queued and self._store is None:
            logger.warning("webhooks lost", extra={"count": self.queued})
        await self._poster.close()
        if self._store is not None:
            await self._store.close()

    # --- queues -------------------------------------------------------------------------------------------------

    def _full(self, receiver: _Receiver, room: str, size: int) -> bool:
        if self._strict:
            return len(receiver.queues.get(room, ())) >= STRICT_DEPTH
        return receiver.queued >= MAX_QUEUED or receiver.queued_bytes + size > MAX_QUEUED_BYTES

    def _enqueue(self, receiver: _Receiver, delivery: Delivery) -> None:
        receiver.queued += 1
        receiver.queued_bytes += len(delivery.body)
        queue = receiver.queues.get(delivery.room)
        if queue is not None:
            queue.append(delivery)
            return
        receiver.queues[delivery.room] = queue = deque([delivery])
        self._spawn(self._deliver(receiver, delivery.room, queue), name=_QUEUE_TASK)

    async def _deliver(self, receiver: _Receiver, room: str, queue: deque[Delivery]) -> None:
        while queue:
            delivery = queue[0]
            delivered = await self._repeat(receiver, delivery)
            queue.popleft()
            receiver.queued -= 1
            receiver.queued_bytes -= len(delivery.body)
            if delivered:
                self.delivered += 1
            else:
                self.dropped += 1
            if self._store is not None:
                self._store.forget(delivery.seq)
        del receiver.queues[room]

    # --- tries --------------------------------------------------------------------------------------------------

    async def _repeat(self, receiver: _Receiver, delivery: Delivery) -> bool:
        """Try until it is delivered (True), refused for good, or too old."""
        if self._strict and self._clock() - delivery.queued_at > STRICT_AGE:
            logger.warning("webhook dropped, too old", extra={"event": delivery.name})
            return False
        for pause in self._pauses():
            status = await self._try(receiver, delivery)
            if status is not None and not _worth_repeating(status):
                if status < HTTPStatus.BAD_REQUEST:
                    receiver.successes += 1
                    receiver.succeeded.set()
                    return True
                logger.warning("webhook refused", extra={"event": delivery.name, "status": status})
                return False
            self.failed_tries += 1
            if pause is None or (not self._strict and self._clock() + pause - delivery.queued_at > MAX_AGE):
                break
            await self._wait(receiver, pause)
        logger.error("webhook given up", extra={"event": delivery.name, "room": delivery.room})
        return False

    def _pauses(self) -> Iterator[float | None]:
        """Yield the seconds to wait after each failed try; None after the last."""
        return chain(STRICT_PAUSES, (None,)) if self._strict else chain(PAUSES, repeat(LONG_PAUSE))

    async def _try(self, receiver: _Receiver, delivery: Delivery) -> int | None:
        """Post once; None if there was no answer."""
        async with receiver.slots:
            authorization = wire.sign(delivery.body, api_key=self._api_key, secret=self._secret, now=self._clock())
            headers = {"Authorization": authorization, "Content-Type": wire.CONTENT_TYPE, "User-Agent": USER_AGENT}
            try:
                return await self._poster.post(receiver.url, delivery.body, headers)
            except (OSError, TimeoutError) as problem:
                logger.info("webhook not delivered", extra={"event": delivery.name, "why": type(problem).__name__})
                return None

    async def _wait(self, receiver: _Receiver, pause: float) -> None:
        """Wait for the next try; a success of another room cuts it short."""
        if self._strict:
            await self._sleep(pause)
            return
        successes = receiver.successes
        # Not at once: if only this webhook is refused, every success of another would make it try again.
        await self._sleep(PAUSES[0])
        if receiver.successes != successes or pause <= PAUSES[0]:
            return
        receiver.succeeded.clear()
        waits = [asyncio.ensure_future(self._sleep(pause - PAUSES[0])), asyncio.create_task(receiver.succeeded.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _spawn(self, work: Coroutine[Any, Any, None], *, name: str = "webhooks") -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("webhooks failed", exc_info=error)


def _worth_repeating(status: int) -> bool:
    """Tell whether an answer means "not now"."""
    if status == HTTPStatus.NOT_IMPLEMENTED:
        return False
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR


class AiohttpPoster:
    """Posts by aiohttp; one connection pool for all, as the tries at each receiver are counted elsewhere."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """See `Poster`."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout,
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            async with self._session.post(url, data=body, headers=headers) as response:
                return response.status
        except aiohttp.ClientError as problem:
            raise ConnectionError(type(problem).__name__) from None

    async def close(self) -> None:
        """See `Poster`."""
        if self._session is not None:
            await self._session.close()
