"""A worker that says what a test tells it to, over a real socket."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

import websockets

from roomkeeper.wire import link
from roomkeeper.wire.tokens import Claims, VideoGrants, mint

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY, SECRET = "devkey", "secret"
AGENT = Claims(api_key=KEY, video=VideoGrants(agent=True))
INTERVIEWER = "interviewer"
_F = TypeVar("_F", bound=link.FromControl)


def token(claims: Claims = AGENT, *, secret: str = SECRET, age: float = 0, key: str = KEY) -> str:
    return mint(replace(claims, api_key=key), secret=secret, now=time.time() - age, ttl=3600)


def line(seq: int, what: str = "item", **data: Any) -> link.Line:  # noqa: ANN401 - JSON
    return link.Line(seq=seq, at=1_700_000_000_000 + seq, type=what, data=data)


def item(seq: int, text: str = "Hello") -> link.Line:
    return line(seq, item={"id": f"item_{seq}", "type": "message", "role": "user", "content": [text]})


class Worker:
    """One connection of a worker.

    Attributes:
        heard: Every frame so far, in order, heartbeats left out.
    """

    def __init__(self, address: str, name: str = "worker-1", *, secret: str = SECRET, key: str = KEY) -> None:
        self._address = address.replace("http", "ws", 1) + link.PATH
        self._token = token(secret=secret, key=key)
        self.name = name
        self.heard: list[link.FromControl] = []
        self._next = 0
        self._beats = 0
        self._socket: websockets.ClientConnection | None = None

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._token}"}
        self._socket = await websockets.connect(self._address, additional_headers=headers, max_size=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    @property
    def socket(self) -> websockets.ClientConnection:
        assert self._socket is not None
        return self._socket

    def vanish(self) -> None:
        """Be gone without a word."""
        self.socket.transport.abort()

    async def say(self, frame: link.FromWorker) -> None:
        await self.socket.send(link.write(frame))

    async def hear(self, kind: type[_F], *, within: float = 5.0) -> _F:
        """Return the next frame of a kind; others before it are passed over, and stay in `heard`."""
        async with asyncio.timeout(within):
            while True:
                while self._next < len(self.heard):
                    frame = self.heard[self._next]
                    self._next += 1
                    if isinstance(frame, kind):
                        return frame
                await self._receive()

    async def _receive(self) -> None:
        frame = link.read_from_control(await self.socket.recv())
        assert frame is not None
        self.heard.append(frame)

    async def hear_all(self) -> list[link.FromControl]:
        """Return what was not looked at yet, up to the answer to a heartbeat that is sent now."""
        before = self._next
        await self.beat()
        return [frame for frame in self.heard[before:] if not isinstance(frame, link.Heartbeat)]

    async def closed(self, within: float = 5.0) -> tuple[int, str]:
        """Wait until the other end closes; return the code, and why it refused."""
        try:
            async with asyncio.timeout(within):
                while True:
                    await self._receive()
        except websockets.ConnectionClosed as closed:
            whys = [frame.why for frame in self.heard if isinstance(frame, link.Refused)]
            return closed.rcvd.code if closed.rcvd else 1006, whys[-1] if whys else ""

    async def hello(self, agent_name: str = INTERVIEWER) -> link.Welcome:
        await self.say(link.Hello(v=link.VERSION, worker=self.name, agent_name=agent_name))
        return await self.hear(link.Welcome)

    async def beat(self, *jobs: str) -> None:
        """Send a heartbeat, and wait for the answer: what was sent before is not all done then, but heard."""
        self._beats += 1
        await self.say(link.Heartbeat(n=self._beats, jobs=jobs))
        while (await self.hear(link.Heartbeat)).n != self._beats:
            pass

    async def attach(
        self,
        job: str = "AJ_1",
        room: str = "tea",
        *,
        room_sid: str = "RM_1",
        identity: str | None = None,
        agent_name: str = INTERVIEWER,
        epoch: int | None = None,
        session: str = "",
        metadata: str = "",
    ) -> list[link.FromControl]:
        """Attach a job; return everything that answers it, the acknowledgement left out."""
        before = self._next
        await self.say(
            link.Attach(
                job=job,
                room=room,
                room_sid=room_sid,
                identity=identity if identity is not None else f"agent-{job}",
                agent_name=agent_name,
                epoch=epoch,
                session=session,
                metadata=metadata,
            )
        )
        async with asyncio.timeout(5):
            while not any(_answers(frame, job) for frame in self.heard[before:]):
                await self._receive()
        self._next = len(self.heard)
        return [frame for frame in self.heard[before:] if not isinstance(frame, link.Ack | link.Heartbeat)]

    async def attached(self, job: str = "AJ_1", room: str = "tea", **more: Any) -> link.Attached:  # noqa: ANN401 - as `attach`
        """Attach a job that is expected to be taken."""
        answers = await self.attach(job, room, **more)
        assert isinstance(answers[0], link.Attached), answers
        return answers[0]

    async def ship(self, lines: Sequence[link.Line], job: str = "AJ_1", *, epoch: int = 1) -> int:
        """Send lines; return up to which they are stored."""
        await self.say(link.Events(job=job, epoch=epoch, events=tuple(lines)))
        return (await self.hear(link.Ack)).seq

    async def over(self, frame: link.Done | link.Lost) -> link.Ack:
        await self.say(frame)
        return await self.hear(link.Ack)


def _answers(frame: link.FromControl, job: str) -> bool:
    """Say whether a frame is the last one about an attach."""
    return isinstance(frame, link.Ack | link.Refused) and frame.job == job


def dumped(**frame: Any) -> str:  # noqa: ANN401 - JSON
    return json.dumps(frame)
