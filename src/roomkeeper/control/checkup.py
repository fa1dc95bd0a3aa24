"""Whether a running installation works, found by looking and changing nothing: what `roomkeeper doctor` shows."""

from __future__ import annotations

import asyncio
import email.utils
import platform
import time
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlalchemy.exc import SQLAlchemyError

from roomkeeper import __version__
from roomkeeper.control.room_api import RoomApiFailed, is_object
from roomkeeper.control.store.migrate import SCRIPTS
from roomkeeper.control.store.tables import deliveries, links, outbox, told
from roomkeeper.lifecycle.state import stamp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from roomkeeper.control.plane import Plane

TIMEOUT: Final = 5.0
"""Seconds for one check."""
SKEW: Final = 5.0
"""Seconds two clocks may differ; LiveKit refuses tokens at 60."""
LATELY: Final = 24 * 3_600_000
"""Milliseconds within which a webhook should have come, if rooms are in use."""


class Health(StrEnum):
    """How something is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at.

    Attributes:
        said: What was found, with the fix if there is one to make.
    """

    name: str
    health: Health
    said: str


def versions() -> dict[str, str]:
    """Return what runs here."""
    return {
        "roomkeeper": __version__,
        "python": platform.python_version(),
        "livekit-api": metadata.version("livekit-api"),
        "sqlalchemy": sa.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }


class Checkup:
    """Looks at everything that a control plane needs.

    Args:
        plane: The one that runs.
    """

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    async def run(self) -> list[Check]:
        """Look at everything at the same time; no check takes longer than `TIMEOUT`."""
        checks: tuple[tuple[str, Callable[[], Awaitable[Check]]], ...] = (
            ("database", self._database),
            ("livekit", self._livekit),
            ("clocks", self._clocks),
            ("webhook", self._webhook),
            ("agent link", self._links),
            ("deliveries", self._deliveries),
            ("receivers", self._receivers),
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_bounded(name, check)) for name, check in checks]
        return [task.result() for task in tasks]

    async def _database(self) -> Check:
        head = ScriptDirectory(str(SCRIPTS)).get_current_head()
        query = sa.text("SELECT version_num FROM alembic_version")
        async with self._plane.engine.connect() as connection:
            current = (await connection.execute(query)).scalar_one_or_none()
            behind = abs(await self._plane.store.now() / 1000 - time.time())
        kind = self._plane.engine.dialect.name
        if current != head:
            fix = f"{kind} is at migration {current}, this version needs {head}: start roomkeeper serve again"
            return Check("database", Health.FAILED, fix)
        if behind > SKEW:
            fix = f"the clock of {kind} differs by {behind:.0f} s from this machine's: set both by NTP"
            return Check("database", Health.WARNING, fix)
        return Check("database", Health.OK, f"{kind}, migration {current}, clock within {behind:.1f} s")

    async def _livekit(self) -> Check:
        rooms = await self._plane.rooms.rooms()
        foreign = sorted(room.name for room in rooms if not is_object(room.metadata))
        where = urlsplit(self._plane.config.livekit_url).netloc
        if foreign:
            fix = (
                f"{where} answers; the metadata of {len(foreign)} rooms ({foreign[0]}, …) is no JSON object, so "
                "Roomkeeper leaves it alone and pages get its state as data only: write an object"
            )
            return Check("livekit", Health.WARNING, fix)
        return Check("livekit", Health.OK, f"{where} knows this key and has {len(rooms)} rooms")

    async def _clocks(self) -> Check:
        parts = urlsplit(self._plane.config.livekit_url)
        scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
        async with aiohttp.ClientSession() as http, http.get(urlunsplit(parts._replace(scheme=scheme))) as answer:
            date = answer.headers.get("Date", "")
        if not date:
            return Check("clocks", Health.OK, "LiveKit does not tell the time")
        # The header has whole seconds.
        apart = max(0.0, abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time()) - 1)
        if apart > SKEW:
            fix = f"LiveKit's clock differs by {apart:.0f} s; at 60 s it refuses every token: set both by NTP"
            return Check("clocks", Health.FAILED if apart > 50 else Health.WARNING, fix)  # noqa: PLR2004 - near 60
        return Check("clocks", Health.OK, f"LiveKit's clock is within {apart + 1:.0f} s")

    async def _webhook(self) -> Check:
        query = sa.select(sa.func.max(told.c.at)).where(told.c.source.like("webhook %"))
        async with self._plane.engine.connect() as connection:
            last: int | None = (await connection.execute(query)).scalar_one()
        if last is None:
            fix = "none has come yet: register https://…/webhooks/livekit with LiveKit, or what happens is found late"
            return Check("webhook", Health.WARNING, fix)
        if await self._plane.store.now() - last > LATELY:
            return Check("webhook", Health.WARNING, f"the last one came at {stamp(last)}: is it still registered?")
        return Check("webhook", Health.OK, f"the last one came at {stamp(last)}")

    async def _links(self) -> Check:
        async with self._plane.engine.connect() as connection:
            workers = (await connection.execute(sa.select(sa.func.count()).select_from(links))).scalar_one()
        if not workers:
            fix = "no worker is connected: agents that do not know Roomkeeper are kept without their conversation"
            return Check("agent link", Health.WARNING, fix)
        return Check("agent link", Health.OK, f"{workers} workers are connected")

    async def _deliveries(self) -> Check:
        counts: list[int] = []
        async with self._plane.engine.connect() as connection:
            for table in (deliveries, outbox):
                query = sa.select(sa.func.count()).where(table.c.parked_at.is_not(None))
                counts.append((await connection.execute(query)).scalar_one())
        if any(counts):
            fix = f"{counts[0]} deliveries and {counts[1]} actions were given up: roomkeeper sessions --state parked"
            return Check("deliveries", Health.WARNING, f"{fix}, then roomkeeper redeliver ID")
        return Check("deliveries", Health.OK, "nothing was given up")

    async def _receivers(self) -> Check:
        lost: list[str] = []
        hosts = {urlsplit(receiver.url) for receiver in self._plane.config.receivers}
        for parts in hosts:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            try:
                await asyncio.get_running_loop().getaddrinfo(parts.hostname, port)
            except OSError:
                lost.append(str(parts.hostname))
        if lost:
            return Check("receivers", Health.FAILED, f"no address is known for {', '.join(sorted(lost))}")
        return Check(
            "receivers", Health.OK, f"{len(hosts)} resolve" if hosts else "there are none: reports are only kept"
        )


async def _bounded(name: str, check: Callable[[], Awaitable[Check]]) -> Check:
    try:
        async with asyncio.timeout(TIMEOUT):
            return await check()
    except RoomApiFailed as error:
        fix = "see LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
        return Check(name, Health.FAILED, f"LiveKit refused or did not answer: {error.detail}; {fix}")
    except (SQLAlchemyError, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return Check(name, Health.FAILED, f"no answer: {type(error).__name__}")
