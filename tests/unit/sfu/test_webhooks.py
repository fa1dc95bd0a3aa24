"""Webhooks on their way: in order, repeated, kept on disk, and nobody held up by somebody else."""

from __future__ import annotations

import asyncio
import heapq
import signal
import sqlite3
import sys
import textwrap
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from livekit import api
from livekit.protocol import models, webhook
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from roomkeeper.errors import ConfigError, IllegalCall
from roomkeeper.sfu import webhooks
from roomkeeper.sfu.webhook_store import FILE_NAME
from roomkeeper.sfu.webhooks import AiohttpPoster, Webhooks
from roomkeeper.wire import webhooks as wire
from tests.unit.sfu.serving import KEYS, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from starlette.requests import Request

URL = "http://receiver/hook"


def event(room: str, name: str = "room_started") -> webhook.WebhookEvent:
    return webhook.WebhookEvent(event=name, room=models.Room(name=room))


@dataclass
class Receiver:
    """A real receiver that verifies like the SDK does; `answer` decides its status."""

    got: asyncio.Queue[webhook.WebhookEvent] = field(default_factory=asyncio.Queue)
    tries: list[str] = field(default_factory=list)
    answer: Callable[[webhook.WebhookEvent], Awaitable[int]] | None = None
    requests: list[Request] = field(default_factory=list)

    async def hook(self, request: Request) -> Response:
        body = (await request.body()).decode()
        receiver = api.WebhookReceiver(api.TokenVerifier("other", KEYS["other"]))
        told = receiver.receive(body, request.headers["authorization"])
        self.requests.append(request)
        self.tries.append(told.event)
        status = 200 if self.answer is None else await self.answer(told)
        if status == 200:
            self.got.put_nowait(told)
        return Response(status_code=status)

    @asynccontextmanager
    async def listening(self, url: str | None = None) -> AsyncIterator[str]:
        """Listen, on the port of an earlier URL if there is one."""
        port = 0 if url is None else urlsplit(url).port or 0
        async with serving(Starlette(routes=[Route("/hook", self.hook, methods=["POST"])]), port) as address:
            yield f"http://{address}/hook"


@asynccontextmanager
async def webhooks_to(
    *urls: str,
    data_dir: Path | None = None,
    strict: bool = False,
    timeout: float = 5.0,  # noqa: ASYNC109
    pace: float = 0.001,
) -> AsyncIterator[Webhooks]:
    """Open webhooks whose pauses are shortened to `pace` of what they are."""
    hooks = Webhooks(
        urls,
        api_key="other",
        secret=KEYS["other"],
        data_dir=data_dir,
        strict=strict,
        poster=AiohttpPoster(timeout),
        sleep=lambda seconds: asyncio.sleep(seconds * pace),
    )
    await hooks.open()
    try:
        yield hooks
    finally:
        await hooks.close(grace=0.0)


# --- on real connections ---------------------------------------------------------------------------------------


async def test_an_event_arrives_signed_like_the_original() -> None:
    receiver = Receiver()
    async with receiver.listening() as url, webhooks_to(url) as hooks:
        sent = event("r")
        hooks.notify(sent)
        told = await receiver.got.get()
    assert (told.event, told.room.name) == ("room_started", "r")
    assert told.id.startswith("EV_")
    assert told.created_at > 1_700_000_000
    assert not sent.id  # the caller's event is left alone
    headers = receiver.requests[0].headers
    assert headers["content-type"] == "application/webhook+json"
    assert headers["user-agent"] == "LiveKit"
    assert not headers["authorization"].startswith("Bearer")


async def test_events_of_a_room_arrive_in_order_though_some_must_be_repeated() -> None:
    failures = Counter({"3": 2, "7": 1})

    async def answer(told: webhook.WebhookEvent) -> int:
        failures[told.event] -= 1
        return 503 if failures[told.event] >= 0 else 200

    receiver = Receiver(answer=answer)
    async with receiver.listening() as url, webhooks_to(url) as hooks:
        for number in range(10):
            hooks.notify(event("r", str(number)))
        assert [(await receiver.got.get()).event for _ in range(10)] == [str(number) for number in range(10)]
    assert receiver.tries == ["0", "1", "2", "3", "3", "3", "4", "5", "6", "7", "7", "8", "9"]
    assert hooks.failed_tries == 3


async def test_a_repeated_event_keeps_its_id() -> None:
    ids: list[str] = []

    async def answer(told: webhook.WebhookEvent) -> int:
        ids.append(told.id)
        return 500 if len(ids) == 1 else 200

    receiver = Receiver(answer=answer)
    async with receiver.listening() as url, webhooks_to(url) as hooks:
        hooks.notify(event("r"))
        await receiver.got.get()
    assert ids[0] == ids[1]


async def test_a_receiver_that_hangs_holds_up_no_other_receiver_and_is_asked_again() -> None:
    first = True

    async def answer(told: webhook.WebhookEvent) -> int:
        nonlocal first
        if first:
            first = False
            await asyncio.sleep(0.5)
        return 200

    slow, fast = Receiver(answer=answer), Receiver()
    async with (
        slow.listening() as slow_url,
        fast.listening() as fast_url,
        webhooks_to(slow_url, fast_url, timeout=0.2) as hooks,
    ):
        hooks.notify(event("r", "1"))
        hooks.notify(event("r", "2"))
        assert [(await fast.got.get()).event for _ in range(2)] == ["1", "2"]
        assert slow.got.empty()
        while slow.tries != ["1", "1", "2"]:
            await slow.got.get()


async def test_a_room_whose_event_is_refused_now_holds_up_no_other_room() -> None:
    async def answer(told: webhook.WebhookEvent) -> int:
        return 500 if told.room.name == "bad" else 200

    receiver = Receiver(answer=answer)
    async with receiver.listening() as url, webhooks_to(url, pace=1.0) as hooks:
        hooks.notify(event("bad"))
        hooks.notify(event("good"))
        assert (await receiver.got.get()).room.name == "good"
        await until(lambda: hooks.queued == 1)


@pytest.mark.parametrize(("status", "tries"), [(400, 1), (404, 1), (501, 1), (429, 2), (500, 2), (502, 2), (204, 1)])
async def test_which_answers_are_final(status: int, tries: int) -> None:
    answers = [status, 200]

    async def answer(told: webhook.WebhookEvent) -> int:
        return answers.pop(0) if told.event == "first" else 200

    receiver = Receiver(answer=answer)
    async with receiver.listening() as url, webhooks_to(url) as hooks:
        hooks.notify(event("r", "first"))
        hooks.notify(event("r", "last"))
        while (await receiver.got.get()).event != "last":
            pass
    assert receiver.tries == ["first"] * tries + ["last"]


async def test_nobody_to_tell_costs_nothing(tmp_path: Path) -> None:
    async with webhooks_to(data_dir=tmp_path) as hooks:
        hooks.notify(event("r"))
        assert hooks.queued == 0
    assert not list(tmp_path.iterdir())


# --- on disk ---------------------------------------------------------------------------------------------------


async def test_what_a_receiver_missed_is_told_by_the_next_process(tmp_path: Path) -> None:
    receiver = Receiver()
    async with receiver.listening() as url:
        pass  # it is gone again
    async with webhooks_to(url, data_dir=tmp_path) as hooks:
        for number in range(3):
            hooks.notify(event("r", str(number)))
    async with receiver.listening(url), webhooks_to(url, data_dir=tmp_path) as hooks:
        hooks.notify(event("r", "3"))
        assert [(await receiver.got.get()).event for _ in range(4)] == ["0", "1", "2", "3"]
        await until(lambda: hooks.delivered == 4)
    assert _rows(tmp_path) == []


CHILD = """
    import asyncio, pathlib, sys
    from livekit.protocol import models, webhook
    from roomkeeper.sfu.webhooks import AiohttpPoster, Webhooks

    async def main():
        url, folder, secret = sys.argv[1:]
        hooks = Webhooks([url], api_key="other", secret=secret, data_dir=pathlib.Path(folder))
        await hooks.open()
        for number in range(3):
            hooks.notify(webhook.WebhookEvent(event=str(number), room=models.Room(name="r")))
        while hooks.failed_tries == 0:
            await asyncio.sleep(0.01)
        print("tried", flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())
"""


async def test_a_killed_process_loses_none(tmp_path: Path) -> None:
    receiver = Receiver()
    async with receiver.listening() as url:
        pass
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(CHILD), url, str(tmp_path), KEYS["other"]),
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"tried\n"
    child.send_signal(signal.SIGKILL)
    assert await child.wait() == -signal.SIGKILL
    async with receiver.listening(url), webhooks_to(url, data_dir=tmp_path):
        assert [(await receiver.got.get()).event for _ in range(3)] == ["0", "1", "2"]


async def test_what_was_delivered_is_not_told_again(tmp_path: Path) -> None:
    receiver = Receiver()
    async with receiver.listening() as url:
        for number in range(2):
            async with webhooks_to(url, data_dir=tmp_path) as hooks:
                hooks.notify(event("r", str(number)))
                await receiver.got.get()
                await until(lambda hooks=hooks: hooks.delivered == 1)  # type: ignore[misc]
    assert receiver.tries == ["0", "1"]


async def test_a_receiver_that_is_no_longer_configured_is_forgotten(tmp_path: Path) -> None:
    receiver = Receiver()
    async with receiver.listening() as url:
        pass
    async with webhooks_to(url, data_dir=tmp_path) as hooks:
        hooks.notify(event("r"))
    assert len(_rows(tmp_path)) == 1
    async with webhooks_to(url + "/other", data_dir=tmp_path) as hooks:
        assert hooks.queued == 0
    assert _rows(tmp_path) == []


async def test_a_full_disk_costs_no_delivery(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver()
    async with receiver.listening() as url, webhooks_to(url, data_dir=tmp_path) as hooks:
        store = hooks._store
        assert store is not None
        store._thread.submit(
            lambda: store._connection and store._connection.execute("PRAGMA max_page_count = 3")
        ).result()
        hooks.notify(webhook.WebhookEvent(event="1", room=models.Room(name="r", metadata="x" * 100_000)))
        hooks.notify(event("r", "2"))
        await store.flush()
        assert [(await receiver.got.get()).event for _ in range(2)] == ["1", "2"]
    assert "webhooks could not be kept" in caplog.messages


async def test_two_processes_cannot_share_a_folder(tmp_path: Path) -> None:
    async with webhooks_to(URL, data_dir=tmp_path):
        with pytest.raises(ConfigError, match="locked"):
            async with webhooks_to(URL, data_dir=tmp_path):
                raise AssertionError


async def test_a_folder_that_cannot_be_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file"):
        async with webhooks_to(URL, data_dir=tmp_path / "file"):
            raise AssertionError


async def test_events_before_the_start_are_a_misuse() -> None:
    with pytest.raises(IllegalCall):
        Webhooks([URL], api_key="other", secret="s").notify(event("r"))


def _rows(folder: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(folder / FILE_NAME)
    try:
        return connection.execute("SELECT seq, name FROM delivery").fetchall()
    finally:
        connection.close()


async def test_the_loop_is_not_held_up_by_the_disk(tmp_path: Path) -> None:
    """1,000 events of 10 kB to a receiver that is down."""
    async with Receiver().listening() as url:
        pass
    longest = 0.0
    async with webhooks_to(url, data_dir=tmp_path, pace=1.0) as hooks:
        loop = asyncio.get_running_loop()
        for number in range(1000):
            hooks.notify(webhook.WebhookEvent(event=str(number), room=models.Room(name="r", metadata="x" * 10_000)))
            before = loop.time()
            await asyncio.sleep(0)
            longest = max(longest, loop.time() - before)
        await until(lambda: not hooks._store or not hooks._store._kept)
    assert len(_rows(tmp_path)) == 1000
    # Ten times what the design promises, as the machine of a test may be busy.
    assert longest < 0.2


# --- in virtual time -------------------------------------------------------------------------------------------


@dataclass
class VirtualTime:
    """A clock that jumps to whatever is slept for next."""

    now: float = 1_800_000_000.0
    sleepers: list[tuple[float, int, asyncio.Future[None]]] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self.sleepers, (self.now + seconds, id(waiter), waiter))
        await waiter

    async def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while True:
            for _ in range(20):
                await asyncio.sleep(0)  # whatever is ready happens first
            if not self.sleepers or self.sleepers[0][0] > end:
                self.now = end
                return
            self.now, _, waiter = heapq.heappop(self.sleepers)
            if not waiter.done():
                waiter.set_result(None)


@dataclass
class FakePoster:
    """A receiver in virtual time: down until `up_at`, or as `status` says."""

    time: VirtualTime
    up_at: float = 0.0
    status: int = 200
    posts: list[tuple[float, str, str]] = field(default_factory=list)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        told = wire.receive(body, headers["Authorization"], KEYS, now=self.time.now)
        self.posts.append((self.time.now, told.room.name, told.event))
        if self.time.now < self.up_at:
            raise ConnectionRefusedError
        return self.status

    async def close(self) -> None:
        pass


@asynccontextmanager
async def virtual(
    *, strict: bool = False, down_for: float = 0.0
) -> AsyncIterator[tuple[Webhooks, VirtualTime, FakePoster]]:
    time = VirtualTime()
    poster = FakePoster(time, up_at=time.now + down_for)
    hooks = Webhooks(
        [URL], api_key="other", secret=KEYS["other"], strict=strict, poster=poster, clock=time.clock, sleep=time.sleep
    )
    await hooks.open()
    try:
        yield hooks, time, poster
    finally:
        await hooks.close(grace=0.0)


async def test_a_receiver_that_is_down_for_59_minutes_misses_nothing() -> None:
    async with virtual(down_for=59 * 60) as (hooks, time, poster):
        for number in range(3):
            hooks.notify(event("r", str(number)))
        await time.run(3600)
        assert [name for _, _, name in poster.posts[-3:]] == ["0", "1", "2"]
        assert (hooks.delivered, hooks.dropped, hooks.queued) == (3, 0, 0)


async def test_after_an_hour_a_webhook_is_given_up_and_the_next_has_its_turn() -> None:
    async with virtual(down_for=7000) as (hooks, time, poster):
        hooks.notify(event("r", "old"))
        await time.run(3500)
        hooks.notify(event("r", "young"))
        await time.run(3600)
        assert (hooks.delivered, hooks.dropped) == (1, 1)
        assert poster.posts[-1][2] == "young"


async def test_the_pauses_grow_to_half_a_minute() -> None:
    async with virtual(down_for=200) as (hooks, time, poster):
        begin = time.now
        hooks.notify(event("r"))
        await time.run(300)
        assert [at - begin for at, _, _ in poster.posts] == [0, 1, 3, 7, 15, 30, 60, 90, 120, 150, 180, 210]


async def test_one_success_wakes_the_other_rooms() -> None:
    async with virtual(down_for=200) as (hooks, time, poster):
        begin = time.now
        hooks.notify(event("a"))
        await time.run(25)
        hooks.notify(event("b"))
        await time.run(190)
        assert hooks.delivered == 2
        last = {room: at - begin for at, room, _ in poster.posts}
        assert last["a"] == last["b"] <= 210


async def test_an_event_that_is_always_refused_does_not_follow_every_success() -> None:
    async with virtual() as (hooks, time, poster):
        poster.status = 500
        hooks.notify(event("bad"))
        await time.run(0)
        poster.posts.clear()
        for _ in range(100):
            poster.status = 200
            hooks.notify(event("good"))
            await time.run(0)
            poster.status = 500
            await time.run(0.1)
        posts = Counter(room for _, room, _ in poster.posts)
        assert posts["good"] == 100
        assert 9 <= posts["bad"] <= 11  # one a second


async def test_strict_tries_five_times_within_15_seconds() -> None:
    async with virtual(strict=True, down_for=1e9) as (hooks, time, poster):
        begin = time.now
        hooks.notify(event("r"))
        await time.run(3600)
        assert [at - begin for at, _, _ in poster.posts] == [0, 1, 3, 7, 15]
        assert (hooks.delivered, hooks.dropped) == (0, 1)


async def test_strict_drops_what_is_older_than_half_a_minute_and_what_exceeds_the_queue() -> None:
    async with virtual(strict=True, down_for=1e9) as (hooks, time, poster):
        for number in range(205):
            hooks.notify(event("r", str(number)))
        hooks.notify(event("other"))
        assert hooks.queued == 201
        await time.run(100)
        # Each takes 15 s: the third begins at 30 s, which is not yet too old.
        assert {name for _, room, name in poster.posts if room == "r"} == {"0", "1", "2"}
        assert hooks.queued == 0
        hooks.notify(event("r", "later"))
        await time.run(0)
        assert poster.posts[-1][2] == "later"


async def test_strict_keeps_nothing_on_disk(tmp_path: Path) -> None:
    async with webhooks_to(URL, data_dir=tmp_path, strict=True):
        assert not list(tmp_path.iterdir())


async def test_a_full_queue_drops_the_new_and_tells_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MAX_QUEUED", 2)
    told: list[webhook.WebhookEvent] = []

    async def answer(event: webhook.WebhookEvent) -> int:
        told.append(event)
        return 200

    receiver = Receiver(answer=answer)
    async with receiver.listening() as url, webhooks_to(url) as hooks:
        for number in range(5):
            hooks.notify(event("r", str(number)))
        await until(lambda: hooks.queued == 0)
        hooks.notify(event("r", "5"))
        hooks.notify(event("r", "6"))
        await until(lambda: len(told) == 4)
    assert [(each.event, each.num_dropped) for each in told] == [("0", 0), ("1", 0), ("5", 3), ("6", 0)]
    assert hooks.dropped == 3


async def test_a_stop_gives_what_is_on_its_way_a_moment() -> None:
    receiver = Receiver()
    async with receiver.listening() as url:
        hooks = Webhooks([url], api_key="other", secret=KEYS["other"])
        await hooks.open()
        hooks.notify(event("r", "room_finished"))
        await hooks.close(grace=5.0)
        assert hooks.delivered == 1
        assert receiver.got.qsize() == 1
