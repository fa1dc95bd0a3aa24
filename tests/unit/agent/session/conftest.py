from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.unit.agent.session.stagehand import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], Any]]:
    """Time jumps: nothing here waits in earnest."""
    return {"virtual": VirtualLoop}
