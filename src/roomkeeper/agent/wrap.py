"""`roomkeeper.wrap(AgentServer())`: the same server, whose conversations are kept.

1. Nothing happens before the server runs: the module with the server is imported again in every job's process.
2. What the application registered is surrounded at the last moment, so that it does not matter whether it was
   registered before or after `wrap`; what the decorator returned stays the function itself, by whose name
   multiprocessing finds it.
3. Only public methods of this one server are replaced: `run`, `drain`, `aclose`. Its options stay, but for idle
   processes where there are none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from roomkeeper.agent import around, internals, local
from roomkeeper.agent.settings import AgentSettings
from roomkeeper.settings import Sources, load
from roomkeeper.wire import link
from roomkeeper.wire.ids import new_id
from roomkeeper.wire.tokens import Claims, VideoGrants, mint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from livekit.agents import AgentServer, JobContext

    from roomkeeper.agent.parent.parent import Parent

log = logging.getLogger("roomkeeper.agent")

FLUSH: Final = 5.0
"""Seconds that a worker which ends waits for its last lines to arrive."""
HAND_OVER_IN_DEVELOPMENT: Final = 2.0
"""Seconds that `dev`, which never drains, waits for others to take its sessions over."""
_FORKSERVER: Final = "roomkeeper.agent.forkserver"


@dataclass(frozen=True)
class _Entrypoint:
    """The application's entrypoint and where its desk stands; pickled into the job's process."""

    function: Callable[[JobContext], Awaitable[None]]
    place: local.Place

    async def __call__(self, ctx: JobContext) -> None:
        local.settle(ctx, self.place)
        if not ctx.is_fake_job():
            local.Desk.of_job(ctx)  # now: a job that dies before it starts its session is to be replaced too
        await around.entrypoint(ctx, self.function)


@dataclass(frozen=True)
class _SessionEnd:
    """The application's `on_session_end`, if it has one; pickled into the job's process."""

    function: Callable[[JobContext], Awaitable[None]] | None

    async def __call__(self, ctx: JobContext) -> None:
        await around.session_end(ctx, self.function)


def wrap(server: AgentServer, *, url: str | None = None) -> AgentServer:
    """Have the conversations of a server kept: its jobs, its deaths, its restarts.

    With a version of livekit-agents that Roomkeeper does not know the server stays as it is, with a warning.

    Args:
        server: Any `AgentServer`, with an entrypoint already or not yet.
        url: Of the control plane, `https://…`; by default `ROOMKEEPER_URL`, or `url` in `[agent]` of roomkeeper.toml.

    Returns:
        The same server.
    """
    if sys.platform == "win32":
        log.warning("Roomkeeper does not keep agents on Windows; they run as without it")
        return server
    if not internals.supported():
        fields = {"installed": internals.version(), "wanted": internals.WANTED}
        log.warning("Roomkeeper does not know this livekit-agents; the agents run as without it", extra=fields)
        return server
    _Wrapped(server, url)
    return server


class _Wrapped:
    """The methods that replace the server's own."""

    def __init__(self, server: AgentServer, url: str | None) -> None:
        self._server = server
        self._url = url
        self._parent: Parent | None = None
        self._devmode = False
        self._ended = asyncio.Event()
        self._ended.set()
        self._run, self._drain, self._aclose = server.run, server.drain, server.aclose
        server.run = self.run  # type: ignore[method-assign]
        server.drain = self.drain  # type: ignore[method-assign]
        server.aclose = self.aclose  # type: ignore[method-assign]

    async def run(self, *, devmode: bool = False, unregistered: bool = False) -> None:
        """Run the server, and beside it what keeps its sessions."""
        from roomkeeper.agent.parent.folder import SpoolUnusable  # noqa: PLC0415 - only a parent needs them
        from roomkeeper.agent.parent.parent import Parent  # noqa: PLC0415

        self._devmode = devmode
        flags = {"url": self._url}
        settings = load(AgentSettings, "agent", flags=flags, sources=Sources.of_process())
        if not settings.url and not unregistered:
            log.warning("set ROOMKEEPER_URL: without a control plane nobody replaces an agent that dies")
        # A console has no room that the control plane could find; and without a key there is nothing to sign with.
        url = settings.url if not unregistered and all(internals.credentials(self._server)) else ""
        place = local.Place.of(new_id("W_"), settings.folder)
        self._install(place, devmode=devmode)
        self._ended.clear()
        try:
            async with AsyncExitStack() as stack:
                parent = Parent(place, url=url, hello=self._hello(place), token=self._token)
                try:
                    self._parent = await stack.enter_async_context(parent)
                except (SpoolUnusable, OSError) as error:
                    log.error("sessions are not kept", extra={"error": str(error)})  # noqa: TRY400 - says all there is
                else:
                    self._server.on("worker_started", self._watch)
                await self._run(devmode=devmode, unregistered=unregistered)
                if self._parent is not None:
                    await self._parent.flush(FLUSH)
        finally:
            self._parent = None
            self._ended.set()

    async def drain(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - whatever the original takes
        """Take no more jobs; have the sessions taken over, and wait until no job is left, as long as the original."""
        async with self._leaving():
            await self._drain(*args, **kwargs)

    async def aclose(self) -> None:
        """End the server and its jobs, and ship what they wrote last."""
        if self._devmode and self._parent is not None and self._parent.live:
            with contextlib.suppress(TimeoutError):
                await self.drain(timeout=HAND_OVER_IN_DEVELOPMENT)
        await self._aclose()
        # Whoever closes the server ends the event loop next: `run` has to be through with its part.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH + 1):
                await self._ended.wait()

    @contextlib.asynccontextmanager
    async def _leaving(self) -> AsyncIterator[None]:
        leaving = asyncio.create_task(self._parent.leave()) if self._parent is not None else None
        try:
            yield
        finally:
            if leaving is not None:
                leaving.cancel()
                await asyncio.gather(leaving, return_exceptions=True)

    def _install(self, place: local.Place, *, devmode: bool) -> None:
        internals.surround(self._server, lambda function: _Entrypoint(function, place), _SessionEnd)
        internals.preload(self._server, _FORKSERVER)
        if internals.idle_processes(self._server, devmode=devmode) == 0:
            log.info("keeping one process warm, so that an agent that dies is replaced at once")
            self._server.update_options(num_idle_processes=1)

    def _watch(self) -> None:
        internals.let_drain(self._server)
        if self._parent is not None:
            internals.on_process_closed(self._server, self._parent.process_closed)

    def _hello(self, place: local.Place) -> link.Hello:
        versions = {name: metadata.version(name) for name in ("roomkeeper", "livekit-agents", "livekit")}
        versions["python"] = platform.python_version()
        agent_name = internals.agent_name(self._server)
        return link.Hello(v=link.VERSION, worker=place.worker, agent_name=agent_name, versions=versions)

    def _token(self) -> str:
        """Make a token that shows that this worker belongs to the project: the `agent` grant and nothing else."""
        key, secret = internals.credentials(self._server)
        return mint(Claims(api_key=key, video=VideoGrants(agent=True)), secret=secret, now=time.time())
