"""The rows of the list "Must show", and how each is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from bench.lifecycle import absences, cost, deaths, deploys, ends, outages
from bench.lifecycle.outcome import Limit

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from bench.lifecycle.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        times: Conversations.
        sessions: Conversations that go on at the same time where that is what is measured.
        at_once: The same elsewhere, where they do not disturb one another.
        strict: On `roomkeeper sfu --strict`.
        rng: Of the moments.
    """

    times: int
    sessions: int
    at_once: int
    strict: bool
    rng: random.Random


class Measured(Protocol):
    """One measurement."""

    async def __call__(self, plan: Plan, folder: Path, *, kept: bool) -> list[Outcome]:
        """Measure; with Roomkeeper, or with livekit-agents alone."""
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        name: What is done.
        measured: Does it.
        measure: What the seconds are.
        limit: Of them.
    """

    name: str
    measured: Measured
    measure: str
    limit: Limit


ROWS: Final = {
    "1": Row("agent's process killed", deaths.kill_jobs, "heard again", Limit(1.2, 3.0)),
    "2": Row("whole worker killed, another one alive", deaths.kill_workers, "heard again", Limit(6.5, 9.0)),
    "3": Row("agent's process stopped for 30 s", deaths.pause_jobs, "heard again", Limit(8.0, 8.0)),
    "4": Row("page reloaded", absences.reload_pages, "connected until the agent hears", Limit(1.5)),
    "5": Row("network lost", absences.lose_networks, "network back until the agent is heard", Limit()),
    "6": Row("page closed, call hung up", absences.leave, "hung up until the process is free", Limit(most=1.0)),
    "7": Row("every way to end", ends.end, "heard of the goodbye's last 0.3 s", Limit()),
    "8": Row("silent user", absences.say_nothing, "", Limit()),
    "9": Row("workers restarted one by one", deploys.restart_workers, "gap in the talk", Limit(0.5)),
    "10": Row("control plane killed and restarted", outages.kill_control_plane, "answered meanwhile", Limit()),
    "11": Row("CPU of a job", cost.use_cpu, "share of a core", Limit()),
}
HOOKS: Final = {"11": "turns", "12": "restore"}
"""Rows with a part that is measured without a room."""
CPU: Final = 0.02
"""Share of a core that a job may use more with Roomkeeper than without."""
