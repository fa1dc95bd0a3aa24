"""Reports on their way: through an hour's outage, past three days, by two replicas, on both databases."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from roomkeeper.control import delivery
from roomkeeper.control.delivery import LEASE, LONGEST_PAUSE, NOBODY, PATIENCE, Deliveries, Receiver, post
from roomkeeper.control.receivers import read_receivers
from roomkeeper.control.store.tables import deliveries
from roomkeeper.errors import ConfigError
from roomkeeper.lifecycle.events import EndAsked, SessionOpened
from roomkeeper.lifecycle.reasons import By, Reason
from tests.unit.control.conftest import START

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.state import Session
    from tests.unit.control.conftest import Clock

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RECEIVER = Receiver("http://127.0.0.1:1/reports", SECRET)
OTHER = Receiver("http://127.0.0.1:2/reports", "whsec_c2Vjb25kIHJlY2VpdmVy")
HOUR = 3600.0


@dataclass
class Backend:
    """A receiver that is up or down, and keeps what it got, down or not."""

    up: bool = True
    tries: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)

    async def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.tries.append((body, dict(headers)))
        self.urls.append(url)
        await asyncio.sleep(0)
        if not self.up:
            raise ConnectionRefusedError
        return 204

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for _, headers in self.tries]


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def outgoing(store: Store, engine: AsyncEngine, backend: Backend) -> Deliveries:
    return Deliveries(store, engine, [RECEIVER], backend, chance=lambda: 0.5)


async def ended(store: Store, number: int = 1) -> Session:
    session = await store.open(SessionOpened(at=0, session=f"S_{number}", room=f"room {number}"))
    asked = EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR, detail="Größe £")
    return (await store.tell(session.id, asked)).session


async def rows(engine: AsyncEngine) -> list[Any]:
    async with engine.connect() as connection:
        return list((await connection.execute(sa.select(deliveries).order_by(deliveries.c.id))).all())


async def try_for(outgoing: Deliveries, clock: Clock, seconds: float) -> None:
    """Let virtual time pass in steps of half a minute, trying whatever is due."""
    for _ in range(int(seconds / 30)):
        clock.pass_by(30)
        await outgoing.deliver_due()


async def test_a_receiver_that_was_down_for_an_hour_gets_the_report_once(
    store: Store, outgoing: Deliveries, backend: Backend, clock: Clock, engine: AsyncEngine
) -> None:
    session = await ended(store)
    await outgoing.report(session, 1)
    backend.up = False
    await outgoing.deliver_due()
    await try_for(outgoing, clock, HOUR)
    failed = len(backend.tries)
    assert failed > 5
    backend.up = True
    await try_for(outgoing, clock, 1.1 * HOUR)
    assert len(backend.tries) == failed + 1
    [row] = await rows(engine)
    assert (row.delivered_at is not None, row.parked_at, row.tries, row.error) == (True, None, failed + 1, None)
    [webhook_id] = set(backend.ids)
    [body] = {body for body, _ in backend.tries}
    assert webhook_id == row.id
    report = json.loads(body)
    assert (report["type"], report["data"]["session"], report["data"]["detail"]) == (
        "session.ended",
        session.id,
        "Größe £",
    )


async def test_every_try_is_signed_anew_with_the_time_of_the_try(
    store: Store, outgoing: Deliveries, backend: Backend, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await outgoing.report(await ended(store), 1)
    backend.up = False
    times = []
    for _ in range(4):
        times.append(clock.now // 1000)
        await outgoing.deliver_due()
        clock.pass_by(60)
    assert [int(headers["webhook-timestamp"]) for _, headers in backend.tries] == times
    for (body, headers), at in zip(backend.tries, times, strict=True):
        monkeypatch.setattr("standardwebhooks.webhooks.datetime", _stopped_at(at))
        Webhook(SECRET).verify(body, headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(OTHER.secret).verify(body, headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(body + b" ", headers)


def _stopped_at(at: int) -> type[datetime]:
    class Stopped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Stopped:  # noqa: ANN401
            return cls.fromtimestamp(at, tz or UTC)

    return Stopped


async def test_after_three_days_it_is_parked_and_a_command_sends_it_again(
    store: Store, outgoing: Deliveries, backend: Backend, clock: Clock, engine: AsyncEngine
) -> None:
    session = await ended(store)
    await outgoing.report(session, 1)
    backend.up = False
    while clock.now < START + PATIENCE - 1:
        await outgoing.deliver_due()
        clock.now = min(clock.now + LONGEST_PAUSE, START + PATIENCE - 1)
    [row] = await rows(engine)
    assert row.parked_at is None
    clock.pass_by(2 * HOUR)
    await outgoing.deliver_due()
    [row] = await rows(engine)
    assert (row.parked_at, row.error) == (clock.now, "ConnectionRefusedError")

    tries = len(backend.tries)
    backend.up = True
    await try_for(outgoing, clock, HOUR)
    assert len(backend.tries) == tries

    assert await outgoing.redeliver(session.id) == 1
    await outgoing.deliver_due()
    [row] = await rows(engine)
    assert (row.delivered_at, row.parked_at) == (clock.now, None)
    assert set(backend.ids) == {row.id}


async def test_what_is_for_a_receiver_that_is_no_longer_configured_is_parked_after_three_days(
    store: Store, engine: AsyncEngine, backend: Backend, clock: Clock
) -> None:
    session = await ended(store)
    backend.up = False
    before = Deliveries(store, engine, [RECEIVER, OTHER], backend, chance=lambda: 0.5)
    await before.report(session, 1)
    after = Deliveries(store, engine, [OTHER], backend, chance=lambda: 0.5)
    clock.now = START + PATIENCE - 1
    assert await after.park_unaddressed() == 0  # another replica may still bring it
    clock.pass_by(1)
    assert await after.park_unaddressed() == 1
    states = {row.receiver: (row.parked_at, row.error) for row in await rows(engine)}
    assert states == {RECEIVER.id: (clock.now, NOBODY), OTHER.id: (None, None)}


async def test_a_session_is_delivered_again_to_those_who_are_receivers_now(
    store: Store, engine: AsyncEngine, backend: Backend
) -> None:
    session = await ended(store)
    await Deliveries(store, engine, [RECEIVER], backend).report(session, 1)
    after = Deliveries(store, engine, [OTHER], backend)
    assert await after.redeliver(session.id) == 1
    while await after.deliver_due():
        pass
    assert backend.urls == [OTHER.url]
    assert {row.receiver: row.delivered_at is not None for row in await rows(engine)} == {
        RECEIVER.id: False,
        OTHER.id: True,
    }


async def test_looking_for_what_nobody_is_to_bring_goes_on_when_the_database_is_away(
    outgoing: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, again = 0, asyncio.Event()

    async def park() -> int:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise OSError
        again.set()
        return 0

    monkeypatch.setattr(outgoing, "park_unaddressed", park)
    monkeypatch.setattr(delivery, "PARK_EVERY", 0)
    task = asyncio.create_task(outgoing.run())
    async with asyncio.timeout(5):
        await again.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_delivered_report_can_be_sent_again_with_the_same_id(
    store: Store, outgoing: Deliveries, backend: Backend
) -> None:
    session = await ended(store)
    await outgoing.report(session, 1)
    await outgoing.deliver_due()
    assert await outgoing.deliver_due() == 0
    await outgoing.redeliver(session.id)
    assert await outgoing.deliver_due() == 1
    assert backend.tries[0][0] == backend.tries[1][0]
    assert len(set(backend.ids)) == 1


async def test_two_replicas_send_each_report_once(store: Store, engine: AsyncEngine, backend: Backend) -> None:
    one, two = (Deliveries(store, engine, [RECEIVER], backend) for _ in range(2))
    for number in range(20):
        await one.report(await ended(store, number), 1)
    while sum(await asyncio.gather(one.deliver_due(), two.deliver_due(), one.deliver_due())):
        pass
    assert len(backend.tries) == 20
    assert set(Counter(backend.ids).values()) == {1}


async def test_who_dies_while_sending_is_followed_by_another(
    store: Store, engine: AsyncEngine, backend: Backend, clock: Clock
) -> None:
    started = asyncio.Event()

    async def never(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    dying = Deliveries(store, engine, [RECEIVER], never)
    await dying.report(await ended(store), 1)
    task = asyncio.create_task(dying.deliver_due())
    await started.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    heir = Deliveries(store, engine, [RECEIVER], backend)
    assert await heir.deliver_due() == 0
    clock.pass_by(LEASE / 1000)
    assert await heir.deliver_due() == 1
    assert len(backend.tries) == 1


async def test_a_revision_asked_for_twice_is_sent_once_and_the_next_one_has_an_id_of_its_own(
    store: Store, outgoing: Deliveries, backend: Backend, clock: Clock, engine: AsyncEngine
) -> None:
    session = await ended(store)
    await asyncio.gather(outgoing.report(session, 1), outgoing.report(session, 1))
    clock.pass_by(5)
    await outgoing.report(session, 1)
    assert len(await rows(engine)) == 1
    await outgoing.report(session, 2)
    while await outgoing.deliver_due():
        pass
    assert sorted(json.loads(body)["data"]["revision"] for body, _ in backend.tries) == [1, 2]
    assert len(set(backend.ids)) == 2


async def test_every_receiver_gets_it_and_one_that_is_down_delays_nobody(
    store: Store, engine: AsyncEngine, clock: Clock
) -> None:
    got: list[str] = []

    async def half(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        if url == OTHER.url:
            return 503
        got.append(headers["webhook-id"])
        return 200

    outgoing = Deliveries(store, engine, [RECEIVER, OTHER], half)
    await outgoing.report(await ended(store), 1)
    await try_for(outgoing, clock, 60)
    states = {row.receiver: (row.delivered_at is not None, row.error) for row in await rows(engine)}
    assert states == {RECEIVER.id: (True, None), OTHER.id: (False, "HTTP 503")}
    assert len(got) == 1


@pytest.mark.parametrize("status", [301, 302, 400, 404, 500])
async def test_any_answer_but_2xx_is_tried_again(store: Store, engine: AsyncEngine, clock: Clock, status: int) -> None:
    answers = [status, 200]

    async def answering(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        return answers.pop(0)

    outgoing = Deliveries(store, engine, [RECEIVER], answering)
    await outgoing.report(await ended(store), 1)
    await try_for(outgoing, clock, 60)
    [row] = await rows(engine)
    assert (row.tries, row.delivered_at is not None, answers) == (2, True, [])


async def test_over_real_http_a_redirect_is_no_success_and_gets_no_body() -> None:
    requests: list[bytes] = []

    async def redirecting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        requests.append(head.splitlines()[0] + b" " + await reader.readexactly(4))
        writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(redirecting, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await post(f"http://127.0.0.1:{port}/reports", b"body", {"webhook-id": "x"}) == 307
    assert requests == [b"POST /reports HTTP/1.1 body"]


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("ftp://host/x", SECRET),
        ("/reports", SECRET),
        ("http://host/x", "whsec_"),
        ("http://host/x", "whsec_not*base64"),
    ],
)
def test_a_receiver_that_cannot_work_is_refused_without_quoting_its_secret(url: str, secret: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Receiver(url, secret)
    assert "not*base64" not in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_receiver_does_not_show_its_secret() -> None:
    assert SECRET not in repr(RECEIVER)


async def test_each_receiver_gets_the_types_it_subscribed_to_and_the_end_as_the_report_alone(
    store: Store, engine: AsyncEngine, backend: Backend
) -> None:
    secret = RECEIVER.secret
    receivers = [
        Receiver("http://a/", secret),
        Receiver("http://b/", secret, ("session.*",)),
        Receiver("http://c/", secret, ("item.added", "session.live")),
    ]
    outgoing = Deliveries(store, engine, receivers, backend)
    session = await ended(store)
    await outgoing.report(session, 1)
    for topic, data in (("session.live", {"seq": 2}), ("item.added", {"seq": 1, "item": {"text": "hi"}})):
        await outgoing.emit(session, topic, data)
        await outgoing.emit(session, topic, data)
    await outgoing.emit(session, "session.live", {"seq": 9})
    await outgoing.emit(session, "session.changed", {"attendance": 3})
    await outgoing.emit(session, "session.ended", {"seq": 10})
    while await outgoing.deliver_due():
        pass
    told = [(url, json.loads(body)) for url, (body, _) in zip(backend.urls, backend.tries, strict=True)]
    assert Counter((url, body["type"]) for url, body in told) == {
        ("http://a/", "session.ended"): 1,
        ("http://b/", "session.ended"): 1,
        ("http://b/", "session.live"): 2,
        ("http://b/", "session.changed"): 1,
        ("http://c/", "session.live"): 2,
        ("http://c/", "item.added"): 1,
    }
    assert len(set(backend.ids)) == len(backend.ids)
    [item] = [body["data"] for _, body in told if body["type"] == "item.added"]
    assert (item["item"], item["session"]["id"]) == ({"text": "hi"}, session.id)
    [changed] = [body["data"] for _, body in told if body["type"] == "session.changed"]
    assert (changed["attendance"], changed["session"]["id"]) == (3, session.id)
    assert all("revision" in body["data"] for _, body in told if body["type"] == "session.ended")


@pytest.mark.parametrize("events", [("session.finished",), ("ended",), ("item.*", "")])
def test_a_subscription_to_nothing_is_refused(events: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"matches none of session\.opened"):
        Receiver(RECEIVER.url, SECRET, events)


def test_receivers_are_read_with_their_own_types_or_the_common_ones() -> None:
    secrets = {"http://a/": SECRET, "http://b/": SECRET}
    one, two = read_receivers(secrets, {"http://b/": "session.*, item.added"}, ["session.ended"])
    assert (one.events, two.events) == (("session.ended",), ("session.*", "item.added"))
    with pytest.raises(ConfigError, match="no receiver"):
        read_receivers(secrets, {"http://elsewhere/": "session.*"}, ["session.ended"])
