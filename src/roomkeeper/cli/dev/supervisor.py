"""Starts the parts in order, watches them, stops them all."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import webbrowser
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from roomkeeper.cli.dev.child import Child
from roomkeeper.cli.dev.janitor import Janitor
from roomkeeper.cli.dev.mishaps import Mishaps, listen
from roomkeeper.cli.dev.output import Terminal
from roomkeeper.cli.dev.probes import NotReady
from roomkeeper.errors import RoomkeeperError

if TYPE_CHECKING:
    from roomkeeper.cli.dev.plan import Command, Plan

START_LIMIT = 120.0
"""Seconds until every part must be ready; loading the speech models takes long on a slow disk."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Stopped(Exception):
    """The user asked to stop."""


async def run(plan: Plan, *, open_page: bool) -> None:
    """Run the plan until SIGINT, SIGTERM or SIGHUP; a second one kills instead of asking.

    Args:
        plan: What to run.
        open_page: Whether to open the address in a browser, if there is a screen.

    Raises:
        ChildDied: A part ended by itself; the others are stopped.
        NotReady: A part did not get ready in time; all are stopped.
    """
    terminal = Terminal()
    stop = asyncio.Event()
    with Janitor() as janitor:
        parts = Parts(plan, terminal, janitor)

        def stop_or_kill() -> None:
            if stop.is_set():
                parts.kill()
            stop.set()

        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, stop_or_kill)
        try:
            async with AsyncExitStack() as stack:
                if plan.panel is not None:
                    mishaps = Mishaps(plan.panel, parts, terminal)
                    await stack.enter_async_context(listen(plan.panel.socket, mishaps.deeds))
                await parts.run(stop, open_page=open_page)
        except* _Stopped:
            terminal.notice("Stopping …")
        except* RoomkeeperError as failures:
            first = failures.exceptions[0]
            terminal.failure(str(first))
            raise first from None
        finally:
            await parts.stop()
    terminal.notice("Everything is stopped.")


class Parts:
    """The running parts.

    Args:
        plan: What they are.
        terminal: Where they speak.
        janitor: Ends them if we cannot.
    """

    def __init__(self, plan: Plan, terminal: Terminal, janitor: Janitor) -> None:
        self._plan = plan
        self._terminal = terminal
        self._janitor = janitor
        self._children: list[Child] = []
        self._tasks = asyncio.TaskGroup()

    def called(self, name: str) -> list[Child]:
        """Return the running parts of that name."""
        return [child for child in self._children if child.name == name]

    def retire(self, child: Child, within: float) -> None:
        """Let one go while the others go on.

        Args:
            child: The part.
            within: Seconds that it gets.
        """

        async def wait() -> None:
            await child.retire(within)
            self._children.remove(child)
            self._janitor.release(child.group)

        self._tasks.create_task(wait())

    async def run(self, stop: asyncio.Event, *, open_page: bool) -> None:
        """Start everything, and watch it.

        Raises:
            ExceptionGroup: Of `_Stopped`, `ChildDied` or `NotReady`.
        """
        async with self._tasks:
            self._tasks.create_task(self._bring_up(open_page=open_page))
            await stop.wait()
            raise _Stopped

    async def stop(self) -> None:
        """End everything, the last part first."""
        for child in reversed(self._children):
            await child.stop()
            self._janitor.release(child.group)

    def kill(self) -> None:
        """End everything now."""
        for child in self._children:
            child.kill()

    async def _bring_up(self, *, open_page: bool) -> None:
        try:
            await asyncio.wait_for(self._launch_all(), START_LIMIT)
        except TimeoutError:
            raise NotReady(f"It took longer than {START_LIMIT:.0f} s.") from None
        address, panel, console = self._plan.address, self._plan.panel, self._plan.console
        buttons = f"  With buttons that break it: {panel.address}\n" if panel is not None else ""
        operators = f"  What operators see of it: {console}\n" if console else ""
        self._terminal.notice(f"\n  Roomkeeper is ready: {address}\n{buttons}{operators}  Ctrl-C stops everything.\n")
        if open_page and _has_screen():
            await asyncio.to_thread(webbrowser.open, panel.address if panel is not None else address)

    async def _launch_all(self) -> None:
        for stage in self._plan.stages:
            async with asyncio.TaskGroup() as together:
                for command in stage:
                    together.create_task(self.launch(command))

    async def launch(self, command: Command) -> None:
        """Start one more, and watch it; returns when it serves."""
        child = await Child.start(command, self._terminal, self._janitor)
        self._children.append(child)
        self._tasks.create_task(child.fail_when_it_ends())
        await child.ready()


def _has_screen() -> bool:
    """Tell whether a browser would open in a window rather than take over this terminal."""
    desktop = sys.platform in {"darwin", "win32"} or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(desktop) and sys.stdout.isatty()
