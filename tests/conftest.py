"""What every test gets: no leaked asyncio task, the environment as it was, a Chromium to drive."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("roomkeeper", deadline=None)
hypothesis.settings.load_profile("roomkeeper")

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
LONGEST_FIRST = (
    "install/test_from_nothing.py",
    "browser/test_interview_page_ends.py",
    "lifecycle/test_one_talk.py",
    "browser/test_interview_page_mishaps.py",
    "examples/test_talks.py",
    "browser/test_panel.py",
    "console/test_console.py",
    "conformance/test_outages.py",
    "chaos/test_matrix.py",
)
"""Files that take minutes, though some have few tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long: of two processes that test, none is to wait for the other's last file."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Watch the tasks of every asynchronous test; first in, so that it looks after all other fixtures are gone."""
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
        item.fixturenames.insert(0, "no_leaked_tasks")


@pytest.fixture(autouse=True)
def environment_as_before() -> Iterator[None]:
    """Put the environment back: an AgentServer that runs in a test leaves the address and keys of its server there."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


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
