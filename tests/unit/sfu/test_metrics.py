"""Metrics: what Prometheus reads."""

from __future__ import annotations

import asyncio
import contextlib
import time

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Route

from roomkeeper.sfu.metrics import Metrics
from tests.unit.sfu.serving import serving


async def scrape(metrics: Metrics) -> dict[str, float]:
    """Read the metrics as Prometheus does; `name` or `name{label}`."""
    app = Starlette(routes=[Route("/metrics", metrics.endpoint)])
    async with serving(app) as address, aiohttp.request("GET", f"http://{address}/metrics") as response:
        assert response.headers["content-type"].startswith("text/plain; version=")
        families = text_string_to_metric_families(await response.text())
        return {
            sample.name + "".join(f"{{{value}}}" for value in sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }


async def test_what_was_counted_is_shown() -> None:
    metrics = Metrics()
    metrics.packet(100, 3, 0)
    metrics.packet(50, 0, 0)
    metrics.packet(0, 0, 4)
    metrics.joins += 2
    metrics.signal_received += 5
    metrics.signal_sent += 6
    rooms = ["a", "b"]
    metrics.gauge("rooms", "Live rooms", lambda: len(rooms))
    metrics.counter("webhooks_delivered", "Webhooks delivered", lambda: 9)
    rooms.append("c")
    shown = await scrape(metrics)
    expected = {
        "roomkeeper_sfu_packets_received_total": 2,
        "roomkeeper_sfu_bytes_received_total": 150,
        "roomkeeper_sfu_packets_sent_total": 3,
        "roomkeeper_sfu_bytes_sent_total": 300,
        "roomkeeper_sfu_packets_resent_total": 4,
        "roomkeeper_sfu_joins_total": 2,
        "roomkeeper_sfu_signal_messages_total{received}": 5,
        "roomkeeper_sfu_signal_messages_total{sent}": 6,
        "roomkeeper_sfu_rooms": 3,
        "roomkeeper_sfu_webhooks_delivered_total": 9,
    }
    assert {name: shown[name] for name in expected} == expected
    assert shown["roomkeeper_sfu_process_resident_memory_bytes"] > 10_000_000


async def test_a_loop_that_is_held_up_is_seen() -> None:
    metrics = Metrics()
    told: list[tuple[float, float]] = []
    watching = asyncio.create_task(metrics.watch_loop(lambda *seconds: told.append(seconds)))
    await asyncio.sleep(0)
    time.sleep(0.15)
    await asyncio.sleep(0.1)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    shown = await scrape(metrics)
    assert 0.09 < shown["roomkeeper_sfu_event_loop_longest_lag_seconds"] == metrics.longest_lag
    assert 0.09 < shown["roomkeeper_sfu_event_loop_longest_block_seconds"] <= metrics.longest_lag
    assert [blocked for blocked, _ in told] == [metrics.longest_block]
    assert told[0][1] < 0.09, "sleeping is no work"
    assert shown["roomkeeper_sfu_event_loop_lag_seconds_count"] >= 1
    assert shown["roomkeeper_sfu_event_loop_blocked_seconds_count"] >= 1


def test_two_servers_in_a_process_do_not_share_figures() -> None:
    first, second = Metrics(), Metrics()
    first.joins += 1
    assert (first.joins, second.joins) == (1, 0)
    assert first.registry is not second.registry
