"""The fault matrix, as short as it can be: a house on each database. `make chaos` runs two hundred seeds."""

from __future__ import annotations

import pytest

from tests.chaos.matrix import matrix

pytestmark = pytest.mark.timeout(300)


async def test_whatever_processes_die_or_stop_every_session_ends_once_and_every_report_arrives() -> None:
    kinds = [("sqlite", False), ("postgresql", True)]
    failed = await matrix(range(1, 3), kinds, together=1, houses=2)
    assert not failed, "\n".join(failed)
