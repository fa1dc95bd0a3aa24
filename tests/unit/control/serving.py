"""The whole application over real sockets, on a SQLite file; nothing behind it runs, and no LiveKit answers."""

from __future__ import annotations

import asyncio
import io
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import uvicorn
from yarl import URL

from roomkeeper.control.adoption import Adopters
from roomkeeper.control.app import create_app
from roomkeeper.control.config import ControlConfig
from roomkeeper.control.plane import PlaneConfig, assemble
from roomkeeper.control.store.engine import open_engine
from roomkeeper.control.store.tables import metadata
from roomkeeper.lifecycle.policy import Policy
from roomkeeper.wire.tokens import Claims, VideoGrants, mint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from starlette.applications import Starlette

    from roomkeeper.control.plane import Plane

KEY, SECRET = "devkey", "a-secret-for-tests-of-enough-length"
KEYS = {KEY: SECRET}
ADMIN = Claims(api_key=KEY, video=VideoGrants(room_admin=True))
ANN = Claims(api_key=KEY, identity="ann", video=VideoGrants(room_join=True, room="tea"))
ELSEWHERE = "192.0.2.1"
"""A caller from another machine."""


def token(claims: Claims, *, secret: str = SECRET, ttl: float = 3600, age: float = 0) -> str:
    """Sign a token."""
    return mint(claims, secret=secret, now=time.time() - age, ttl=ttl)


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.text)


@dataclass
class Site:
    """A control plane that is served, and what is behind it."""

    address: str
    http: aiohttp.ClientSession
    plane: Plane
    app: Starlette

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        by: Claims | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask.

        Args:
            method: Of HTTP.
            path: As it goes over the wire.
            body: Bytes, or JSON; None: none.
            by: Whose token is sent.
            headers: Further ones.
        """
        sent = dict(headers or {})
        if by is not None:
            sent["Authorization"] = f"Bearer {by if isinstance(by, str) else token(by)}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent_body = io.BytesIO(data) if data is not None else None  # aiohttp warns of large bytes
        url = URL(f"{self.address}{path}", encoded=True)
        async with self.http.request(method, url, data=sent_body, headers=sent, allow_redirects=False) as answer:
            return Answer(answer.status, answer.headers, await answer.text())


@asynccontextmanager
async def site(folder: Path, *, policy: Policy | None = None, **settings: Any) -> AsyncIterator[Site]:  # noqa: ANN401
    """Serve a control plane for the length of a `with` block.

    Args:
        folder: For its database.
        policy: Of its agent `interviewer`.
        settings: Fields of `ControlConfig`.
    """
    config = ControlConfig(
        **{"api_key": KEY, "api_secret": SECRET, "agent": "interviewer", "pages": folder / "pages", **settings}
    )
    adopters = Adopters(agents={"interviewer": policy or Policy()})
    async with open_engine(f"sqlite:///{folder}/control.db") as engine:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        works = PlaneConfig(
            database="", livekit_url="http://127.0.0.1:9", api_key=KEY, api_secret=SECRET, adopters=adopters
        )
        plane = assemble(works, engine)
        # As `server.serve` has it: the address of a proxy's client is believed from this machine.
        app = create_app(config, plane)
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
        task = asyncio.create_task(server.serve())
        while not server.started:  # uvicorn has no event for it
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            async with aiohttp.ClientSession() as http:
                yield Site(f"http://127.0.0.1:{port}", http, plane, app)
        finally:
            plane.stream.close()
            server.should_exit = True
            await task
            await plane.rooms.close()
