"""A room server, a control plane, workers and a visitor: everything as a user has it, in processes of its own.

The room server is `roomkeeper sfu`, or the executable that LIVEKIT_SERVER names. With LIVEKIT_URL, LIVEKIT_API_KEY and
LIVEKIT_API_SECRET it is one that runs already; then no webhooks come, and the agent link and the control plane's own
comparison with the room API have to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import jwt
from livekit import rtc
from livekit.rtc.data_stream import StreamError

from roomkeeper.wire.claims import Claims, VideoGrants
from roomkeeper.wire.tokens import mint
from tests.agent.workers import worker
from tests.conformance.support.clients import Client
from tests.conformance.support.server import Options, Server, ServerProcess
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tests.agent.workers import Worker

TALKER = "tests.lifecycle.talker"
AGENT = "talker"
LOUD = 500
"""Amplitude of the agent's tone, at least."""


@dataclass
class House:
    """What runs.

    Attributes:
        server: The room server.
        url: Of the control plane.
        folder: Where everything is kept.
    """

    server: Server
    url: str
    folder: Path
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def worker(self, program: str = TALKER, **environment: str) -> Worker:
        """Start a worker and wait until it takes jobs; `program` as `tests.agent.workers` has it."""
        running = await self._stack.enter_async_context(
            worker(program, self.server, url=self.url, spool=self.folder / "spool", **environment)
        )
        await running.registered()
        return running

    async def visit(self, room: str, identity: str = "ada", *, kind: str = "", agent: str = AGENT) -> Visitor:
        """Let somebody in, with a token of the control plane for this agent; of another kind, if wanted."""
        dispatch = {"agents": [{"agent_name": agent}]}
        request = {"room_name": room, "participant_identity": identity, "room_config": dispatch}
        async with aiohttp.ClientSession() as http, http.post(f"{self.url}/api/token", json=request) as answer:
            token = await answer.json()
            assert answer.status in {200, 201}, token
        signed = token["participant_token"]
        if kind:
            claims = jwt.decode(signed, options={"verify_signature": False})
            signed = jwt.encode(claims | {"kind": kind}, self.server.secret, algorithm="HS256")
        visitor = Visitor(Client(identity), room)
        self._stack.push_async_callback(visitor.close)
        await visitor.client.connect(self.server.ws, signed)
        return visitor

    async def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Ask the control plane as an administrator."""
        server = self.server
        claims = Claims(api_key=server.key, video=VideoGrants(room_admin=True))
        bearer = {"Authorization": f"Bearer {mint(claims, secret=server.secret, now=time.time())}"}
        async with aiohttp.ClientSession(headers=bearer) as http, http.get(f"{self.url}{path}") as answer:
            return await answer.json()

    async def reason(self, room: str, within: float = 20.0) -> str:
        """Wait for the end of the latest session in a room."""
        async with asyncio.timeout(within):
            while True:
                state = await self.get(f"/api/sessions/{room}/state")
                if state.get("state") == "ended":
                    return str(state["reason"])
                await asyncio.sleep(0.1)

    async def report(self, session: str, within: float = 45.0) -> dict[str, Any]:
        """Wait for the report of a session."""
        async with asyncio.timeout(within):
            while True:
                report: dict[str, Any] = await self.get(f"/api/sessions/{session}/report")
                if report.get("reason"):
                    return report
                await asyncio.sleep(0.2)


class Visitor:
    """Somebody in the room: reads what the agent says, and hears whether it sounds.

    Attributes:
        room: The name of the room.
        texts: What the agents said, by segment: who, and the text so far.
        loud_at: When the agent was heard last, on the loop's clock.
    """

    def __init__(self, client: Client, room: str) -> None:
        self.client = client
        self.room = room
        self.texts: dict[str, tuple[str, str]] = {}
        self.loud_at = 0.0
        self.states: list[dict[str, Any]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        client.room.register_text_stream_handler("lk.transcription", self._on_text)
        client.room.on("track_subscribed", self._on_track)
        client.room.on("room_metadata_changed", lambda *_: self._note_state())

    def _note_state(self) -> None:
        state = self.state
        if state and (not self.states or self.states[-1]["seq"] != state["seq"]):
            self.states.append(state)

    def _on_text(self, reader: rtc.TextStreamReader, identity: str) -> None:
        self._spawn(self._read(reader, identity))

    def _on_track(self, track: rtc.Track, *_: object) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._spawn(self._listen(track))

    def _spawn(self, coroutine: Any) -> None:  # noqa: ANN401 - a coroutine
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        segment = (reader.info.attributes or {}).get("lk.segment_id", reader.info.stream_id)
        with contextlib.suppress(StreamError):  # whoever speaks may be killed
            async for chunk in reader:
                self.texts[segment] = (identity, self.texts.get(segment, (identity, ""))[1] + chunk)

    async def _listen(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track)
        try:
            async for event in stream:
                if max(map(abs, event.frame.data[::20]), default=0) > LOUD:
                    self.loud_at = asyncio.get_running_loop().time()
        finally:
            await stream.aclose()

    @property
    def said(self) -> str:
        """Everything that the agents said, in order."""
        return " ".join(text for _, text in self.texts.values())

    @property
    def state(self) -> dict[str, Any]:
        """What the room's metadata says."""
        found: dict[str, Any] = json.loads(self.client.room.metadata or "{}").get("roomkeeper", {})
        return found

    @property
    def agents(self) -> dict[str, int]:
        """The agents that are there, with their processes."""
        return {
            identity: int(each.attributes["pid"])
            for identity, each in self.client.room.remote_participants.items()
            if each.attributes.get("pid")
        }

    async def write(self, text: str) -> None:
        """Write into the chat."""
        await self.client.me.send_text(text, topic="lk.chat")

    async def until(self, true: Any, what: str, within: float = 20.0) -> float:  # noqa: ANN401 - a condition
        """Wait until something is so; return after how many seconds."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(within):
                while not true():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            told = f"no {what} within {within} s; agents {self.agents}, state {self.state}, said: {self.said!r}"
            raise AssertionError(told) from None
        return time.monotonic() - began

    async def reads(self, words: str, within: float = 20.0) -> float:
        """Wait until an agent has said something."""
        return await self.until(lambda: words in self.said, repr(words), within)

    async def close(self) -> None:
        """Leave."""
        await self.client.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def house(
    folder: Path, *, agents: Sequence[str] = (AGENT,), policy: str = "", strict: bool = False
) -> AsyncIterator[House]:
    """Run a room server and a control plane that keeps the sessions of some agents, until the end of the block."""
    port = free_port()
    hooks = (f"http://127.0.0.1:{port}/webhooks/livekit",)
    server, sfu = _given(), None
    if server is None:
        sfu = ServerProcess(
            Options(strict=strict, webhooks=hooks), folder / "sfu.log", os.environ.get("LIVEKIT_SERVER")
        )
        sfu.start()
        server = sfu.server
    (folder / "roomkeeper.toml").write_text(
        f"[policy]\nlinger = 1\n{policy}\n" + "".join(f"[agents.{agent}]\n" for agent in agents)
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith(("LIVEKIT_", "ROOMKEEPER_"))}
    env |= {
        "LIVEKIT_URL": server.ws,
        "LIVEKIT_API_KEY": server.key,
        "LIVEKIT_API_SECRET": server.secret,
        "ROOMKEEPER_CONTROL_DEV": "true",
    }
    with (folder / "control.log").open("wb") as log:
        control = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "roomkeeper.cli", "serve", "--port", str(port)),
            cwd=folder,
            env=env,
            stdout=log,
            stderr=log,
        )
    running = House(server, f"http://127.0.0.1:{port}", folder)
    try:
        await _ready(f"{running.url}/readyz")
        async with running._stack:
            yield running
    except BaseException as failed:
        for path in folder.glob("*.log"):
            failed.add_note(f"{path.name}:\n" + path.read_text(errors="replace")[-3000:])
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            control.send_signal(signal.SIGTERM)
        await control.wait()
        if sfu is not None:
            sfu.kill()


def _given() -> Server | None:
    """The room server that the environment names."""
    url = os.environ.get("LIVEKIT_URL")
    return Server(url, os.environ["LIVEKIT_API_KEY"], os.environ["LIVEKIT_API_SECRET"]) if url else None


async def _ready(url: str) -> None:
    async with asyncio.timeout(60), aiohttp.ClientSession() as http:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(url) as answer:
                    if answer.ok:
                        return
            await asyncio.sleep(0.1)
