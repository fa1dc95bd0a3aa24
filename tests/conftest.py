"""What every test gets: no leaked asyncio task, a home of its own, a Chromium to drive."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("roomkeeper", deadline=None)
hypothesis.settings.load_profile("roomkeeper")

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Watch the tasks of every asynchronous test; first in, so that it looks after all other fixtures are gone."""
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
        item.fixturenames.insert(0, "no_leaked_tasks")


@pytest.fixture
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Fail a test that leaves a task behind: every task has an owner that ends it."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    leaked = asyncio.all_tasks() - before - {asyncio.current_task()}
    for task in leaked:
        task.cancel()
    assert not leaked, f"tasks left running: {leaked}"


@pytest.fixture(scope="session")
def chromium_executable() -> str | None:
    """The Chromium to launch: `CHROMIUM` or one on PATH; None means Playwright's own."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
