"""One process of `roomkeeper dev`, with everything that it starts itself."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from roomkeeper.cli.dev.output import Line
from roomkeeper.errors import RoomkeeperError

if TYPE_CHECKING:
    from roomkeeper.cli.dev.janitor import Janitor
    from roomkeeper.cli.dev.output import Terminal
    from roomkeeper.cli.dev.plan import Command

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""
AGAIN = 1.0
"""Seconds until a second SIGTERM: a worker that hands its conversations over at the first one goes at once."""

MAX_LINE = 64 * 1024
"""Bytes after which a line without end is printed as it is."""


class ChildDied(RoomkeeperError):
    """Everything is stopped, since a part ended by itself; its last lines are above."""


class Child:
    """A running process, in a session (and process group) of its own."""

    def __init__(
        self,
        command: Command,
        process: asyncio.subprocess.Process,
        output: asyncio.StreamReader,
        terminal: Terminal,
    ) -> None:
        self._command = command
        self._process = process
        self._terminal = terminal
        self._said: dict[str, asyncio.Event] = {}
        self._retired = False
        self._output = asyncio.create_task(self._pass_on(output))

    @classmethod
    async def start(cls, command: Command, terminal: Terminal, janitor: Janitor) -> Child:
        """Start the process."""
        # A pipe of our own: with asyncio's, `wait` would wait for every descendant that holds the other end.
        read_end, write_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *command.argv,
                env=dict(command.env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        janitor.adopt(process.pid)
        output = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(output)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(read_end, "rb"))
        return cls(command, process, output, terminal)

    @property
    def name(self) -> str:
        """Tell which part this is."""
        return self._command.name

    @property
    def group(self) -> int:
        """The process group of the process and its descendants."""
        return self._process.pid

    async def ready(self) -> None:
        """Wait until it serves."""
        await self._command.ready(self)

    async def said(self, message: str) -> None:
        """Wait until it logs this message."""
        await self._said.setdefault(message, asyncio.Event()).wait()

    async def fail_when_it_ends(self) -> None:
        """Watch it.

        Raises:
            ChildDied: It ended, and nobody had asked it to.
        """
        status = await self._process.wait()
        if self._retired:
            return
        await asyncio.wait({self._output}, timeout=1.0)
        how = f"by {signal.Signals(-status).name}" if status < 0 else f"with exit status {status}"
        raise ChildDied(f"`{self.name}` ended {how}.")

    async def retire(self, within: float) -> None:
        """End it while the others go on, and give it time to finish what it does.

        Args:
            within: Seconds.
        """
        self._retired = True
        await self._end(within)

    async def stop(self) -> None:
        """End it and its descendants: ask, ask again, then insist. Returns when the process is gone."""
        await self._end(AGAIN, GRACE - AGAIN)

    async def _end(self, *patience: float) -> None:
        try:
            gone = asyncio.ensure_future(self._process.wait())
            for seconds in patience:
                if self._process.returncode is None:
                    self._signal(signal.SIGTERM)
                    await asyncio.wait({gone}, timeout=seconds)
            if self._process.returncode is None:
                self._terminal.notice(f"{self.name} does not stop; killing it.")
        finally:
            # Who outlived the leader, or never listened, has no one left to wait for.
            self.kill()
            await self._process.wait()
            await asyncio.wait({self._output}, timeout=1.0)
            self._output.cancel()

    def kill(self) -> None:
        """End it and its descendants now."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
            os.killpg(self.group, number)

    async def _pass_on(self, output: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await output.read(MAX_LINE):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > MAX_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._print(line)
        if rest:
            self._print(rest)

    def _print(self, raw: bytes) -> None:
        line = Line.parse(raw.decode(errors="replace").rstrip("\r"))
        self._terminal.child(self.name, line.text)
        self._said.setdefault(line.message, asyncio.Event()).set()
