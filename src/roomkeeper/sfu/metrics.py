"""`/metrics`: the room server in Prometheus' text format.

What happens for every packet is counted in plain numbers and only turned into metrics when somebody asks.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.metrics_core import Metric
    from starlette.requests import Request

PREFIX: Final = "roomkeeper_sfu_"

LAG_INTERVAL: Final = 0.01
"""Seconds between two looks at the event loop's lag: what holds it up for longer is always seen."""

HELD_UP: Final = 0.02
"""Seconds for which the loop may be held up without a word: as long as a packet of audio lasts."""

LAG_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)


class Metrics(Collector):
    """The figures of one room server. The public numbers are for whoever counts to add to.

    Attributes:
        packets_received: RTP packets from publishers.
        bytes_received: Their bytes.
        packets_sent: RTP packets to subscribers, repetitions not counted.
        bytes_sent: Their bytes.
        packets_resent: RTP packets sent again because a subscriber asked (NACK).
        joins: Participants let in.
        refused_joins: Participants not let in.
        signal_received: Signal messages from clients.
        signal_sent: Signal messages to clients.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(namespace="roomkeeper_sfu", registry=self.registry)
        self.packets_received = 0
        self.bytes_received = 0
        self.packets_sent = 0
        self.bytes_sent = 0
        self.packets_resent = 0
        self.joins = 0
        self.refused_joins = 0
        self.signal_received = 0
        self.signal_sent = 0
        self.longest_lag = 0.0
        self.longest_block = 0.0
        self._gauges: list[tuple[str, str, Callable[[], float]]] = []
        self._counters: list[tuple[str, str, Callable[[], float]]] = []
        self._lag = Histogram(
            f"{PREFIX}event_loop_lag_seconds",
            "How late the event loop was",
            buckets=LAG_BUCKETS,
            registry=self.registry,
        )
        self._blocked = Histogram(
            f"{PREFIX}event_loop_blocked_seconds",
            "How late the event loop was, without the waits for a core",
            buckets=LAG_BUCKETS,
            registry=self.registry,
        )

    def gauge(self, name: str, words: str, read: Callable[[], float]) -> None:
        """Add a figure that goes up and down, read when somebody asks; `name` is without the prefix."""
        self._gauges.append((name, words, read))

    def counter(self, name: str, words: str, read: Callable[[], float]) -> None:
        """Add a figure that only grows, read when somebody asks; `name` is without prefix and `_total`."""
        self._counters.append((name, words, read))

    def packet(self, size: int, subscribers: int, resent: int) -> None:
        """Count a packet that came in and went out to so many, or packets that were sent again.

        Args:
            size: bytes that came in; 0 if none did.
            subscribers: how many got them.
            resent: packets sent again.
        """
        if size:
            self.packets_received += 1
            self.bytes_received += size
            self.packets_sent += subscribers
            self.bytes_sent += size * subscribers
        self.packets_resent += resent

    def collect(self) -> Iterator[Metric]:
        """Yield the figures (prometheus_client's `Collector`)."""
        for name, words, read in self._gauges:
            yield GaugeMetricFamily(PREFIX + name, words, read())
        yield GaugeMetricFamily(
            f"{PREFIX}event_loop_longest_lag_seconds", "The longest the event loop was held up", self.longest_lag
        )
        yield GaugeMetricFamily(
            f"{PREFIX}event_loop_longest_block_seconds",
            "The longest the event loop was held up, without the waits for a core",
            self.longest_block,
        )
        own: list[tuple[str, str, float]] = [
            ("packets_received", "RTP packets from publishers", self.packets_received),
            ("bytes_received", "RTP bytes from publishers", self.bytes_received),
            ("packets_sent", "RTP packets to subscribers", self.packets_sent),
            ("bytes_sent", "RTP bytes to subscribers", self.bytes_sent),
            ("packets_resent", "RTP packets sent again for a NACK", self.packets_resent),
            ("joins", "Participants let in", self.joins),
            ("refused_joins", "Participants not let in", self.refused_joins),
        ]
        watched = [(name, words, read()) for name, words, read in self._counters]
        for name, words, value in own + watched:
            yield CounterMetricFamily(PREFIX + name, words, value)
        signal = CounterMetricFamily(f"{PREFIX}signal_messages", "Signal messages", labels=["direction"])
        signal.add_metric(["received"], self.signal_received)
        signal.add_metric(["sent"], self.signal_sent)
        yield signal

    async def watch_loop(self, tell: Callable[[float, float], None], above: float = HELD_UP) -> None:
        """Look at the event loop's lag until cancelled.

        What comes late was held up, or the machine woke it late: virtual machines do. Only another process on the same
        core can tell (`bench/sfu`).

        Args:
            tell: Is given the seconds of each time without the waits for a core, if they are more than `above`, and
                the seconds that this thread has worked since the look before.
            above: Seconds.
        """
        with _core_waits() as waited_for_core:
            while True:
                waited, worked = waited_for_core(), time.thread_time()
                # Not the loop's own clock, which stands still while the loop is held up.
                due = time.perf_counter() + LAG_INTERVAL
                await asyncio.sleep(LAG_INTERVAL)
                lag = max(0.0, time.perf_counter() - due)
                blocked = max(0.0, lag - (waited_for_core() - waited))
                self._lag.observe(lag)
                self._blocked.observe(blocked)
                self.longest_lag = max(self.longest_lag, lag)
                self.longest_block = max(self.longest_block, blocked)
                if blocked > above:
                    tell(blocked, time.thread_time() - worked)

    async def endpoint(self, request: Request) -> Response:
        """Answer `GET /metrics`."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)


@contextmanager
def _core_waits() -> Iterator[Callable[[], float]]:
    """Yield what tells for how many seconds this thread has had to wait for a core so far; 0 where nobody knows."""
    try:
        # "time on a core, time waiting for one, slices", in ns (kernel, Documentation/scheduler/sched-stats.rst).
        statistics = Path("/proc/thread-self/schedstat").open("rb", buffering=0)  # noqa: SIM115 - closed below
    except OSError:
        yield lambda: 0.0
        return

    def read() -> float:
        statistics.seek(0)
        return int(statistics.read(64).split()[1]) / 1e9

    with statistics:
        yield read
