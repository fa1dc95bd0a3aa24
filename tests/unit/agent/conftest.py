from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.agent.planes import Plane
from tests.unit.agent.planes import plane as running_plane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def plane() -> AsyncIterator[Plane]:
    """A control plane that does as the test says."""
    async with running_plane() as running:
        yield running
