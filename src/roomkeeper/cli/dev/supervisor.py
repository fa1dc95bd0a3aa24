"""Starts the parts in order, watches them, stops them all."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import webbrowser
from typing import TYPE_CHECKING

from roomkeeper.cli.dev.child import Child
from roomkeeper.cli.dev.janitor import Janitor
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
    children: list[Child] = []
    stop = asyncio.Event()

    def stop_or_kill() -> None:
        if stop.is_set():
            for child in children:
                child.kill()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop_or_kill)
    with Janitor() as janitor:
        try:
            await _run_stages(plan, children, terminal, janitor, stop, open_page=open_page)
        except* _Stopped:
            terminal.notice("Stopping …")
        except* RoomkeeperError as failures:
            first = failures.exceptions[0]
            terminal.failure(str(first))
            raise first from None
        finally:
            for child in reversed(children):
                await child.stop()
                janitor.release(child.group)
    terminal.notice("Everything is stopped.")


async def _run_stages(
    plan: Plan,
    children: list[Child],
    terminal: Terminal,
    janitor: Janitor,
    stop: asyncio.Event,
    *,
    open_page: bool,
) -> None:
    async with asyncio.TaskGroup() as tasks:

        async def launch(command: Command) -> None:
            child = await Child.start(command, terminal, janitor)
            children.append(child)
            tasks.create_task(child.fail_when_it_ends())
            await child.ready()

        async def launch_all() -> None:
            for stage in plan.stages:
                async with asyncio.TaskGroup() as together:
                    for command in stage:
                        together.create_task(launch(command))

        async def bring_up() -> None:
            try:
                await asyncio.wait_for(launch_all(), START_LIMIT)
            except TimeoutError:
                raise NotReady(f"It took longer than {START_LIMIT:.0f} s.") from None
            terminal.notice(f"\n  Roomkeeper is ready: {plan.address}\n  Ctrl-C stops everything.\n")
            if open_page and _has_screen():
                await asyncio.to_thread(webbrowser.open, plan.address)

        tasks.create_task(bring_up())
        await stop.wait()
        raise _Stopped


def _has_screen() -> bool:
    """Tell whether a browser would open in a window rather than take over this terminal."""
    desktop = sys.platform in {"darwin", "win32"} or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(desktop) and sys.stdout.isatty()
