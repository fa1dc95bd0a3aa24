"""Processes die and stop between any two steps: each session ends once, each report arrives, nothing is lost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from roomkeeper.control.store.engine import open_engine
from roomkeeper.control.store.tables import metadata
from tests.chaos.matrix import database
from tests.chaos.replica import one_at_a_time
from tests.chaos.simulation import Clock, Simulation

if TYPE_CHECKING:
    from pathlib import Path

START = 1_700_000_000_000
SEED = int(os.environ.get("ROOMKEEPER_CHAOS_SEED", "1"))
RUNS = int(os.environ.get("ROOMKEEPER_CHAOS_STEPS", "12"))


@pytest.mark.timeout(60 + 10 * RUNS)
@pytest.mark.parametrize(("kind", "replicas"), [("sqlite", 1), ("postgresql", 2)])
async def test_whatever_dies_between_two_steps_each_session_ends_once_and_each_report_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, replicas: int
) -> None:
    one_at_a_time(monkeypatch)
    clock = Clock(START)
    async with database(kind, tmp_path) as url, open_engine(url) as engine:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        # Over a socket a run takes ten times as long as in a file.
        for seed in range(SEED, SEED + (RUNS if kind == "sqlite" else max(1, RUNS // 6))):
            await Simulation(seed, engine, clock, replicas=replicas).run()
