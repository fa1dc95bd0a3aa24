"""Speaking to a control plane over HTTP, with an administrator's token minted for each call."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias
from urllib.parse import quote

import typer

from roomkeeper.errors import RoomkeeperError
from roomkeeper.settings import Sources, load, setting

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_TTL = 60.0
"""Seconds: a token is made for one call."""
TIMEOUT = 30.0
"""Seconds for one call."""

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Url: TypeAlias = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="The control plane. [default: http://127.0.0.1:8080]")
]
Id: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="S_…, a room's name, RM_…, AJ_… or EG_….")]


class Unreachable(RoomkeeperError):
    """The control plane cannot be reached; see that `roomkeeper serve` runs, and that --url names it."""


class Refused(RoomkeeperError):
    """The control plane refused."""


@dataclass(frozen=True, slots=True)
class Remote:
    """Which control plane the commands speak to (section `remote`)."""

    url: str = "http://127.0.0.1:8080"
    api_key: str = setting("devkey", env=["LIVEKIT_API_KEY"])
    api_secret: str = setting("secret", env=["LIVEKIT_API_SECRET"])

    @classmethod
    def of_process(cls, url: str | None) -> Remote:
        """Read flag, environment and file.

        Raises:
            ConfigError: A setting cannot be used.
        """
        return load(cls, "remote", flags={"url": url}, sources=Sources.of_process())

    def get(self, path: str, query: Mapping[str, str] | None = None, *, api: str = "/api/sessions") -> dict[str, Any]:
        """Ask for something.

        Args:
            path: Below `api`, quoted; see `of`.
            query: Parameters.
            api: Where the path begins.

        Raises:
            Unreachable: Nobody answered.
            Refused: The answer is no; says why.
        """
        return asyncio.run(self._call("GET", path, query=query, below=api))

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Ask for something to be done.

        Raises:
            Unreachable: Nobody answered.
            Refused: The answer is no; says why.
        """
        return asyncio.run(self._call("POST", path, body=body))

    def delete(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Ask for something to be deleted.

        Raises:
            Unreachable: Nobody answered.
            Refused: The answer is no; says why.
        """
        return asyncio.run(self._call("DELETE", path, query=query))

    def purge(self, body: Mapping[str, object]) -> dict[str, Any]:
        """Ask for old sessions to be purged.

        Raises:
            Unreachable: Nobody answered.
            Refused: The answer is no; says why.
        """
        return asyncio.run(self._call("POST", "/api/purge", body=body, below=""))

    async def _call(
        self,
        method: str,
        path: str,
        *,
        below: str = "/api/sessions",
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> dict[str, Any]:
        import aiohttp
        from yarl import URL

        address = f"{self.url.rstrip('/')}{below}{path}"
        headers = {"Authorization": f"Bearer {self._token()}"}
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as http,
                http.request(
                    method,
                    URL(address, encoded=True).update_query(query or {}),
                    json=body,
                    headers=headers,
                    allow_redirects=False,  # the token is for this server alone
                ) as answer,
            ):
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unreachable(f"{self.url}: {type(error).__name__} {error}.") from None
        try:
            content = json.loads(text)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise Unreachable(f"{self.url} answered with something else than JSON (HTTP {answer.status}).")
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise Refused(str(content.get("detail") or f"HTTP {answer.status}."))
        return content

    def _token(self) -> str:
        from roomkeeper.wire.tokens import Claims, VideoGrants, mint

        claims = Claims(api_key=self.api_key, video=VideoGrants(room_admin=True))
        return mint(claims, secret=self.api_secret, now=time.time(), ttl=TOKEN_TTL)


def of(session: str, what: str = "") -> str:
    """Return the path of a session, or of something of it; a room's name may hold anything."""
    return f"/{quote(session, safe='')}{f'/{what}' if what else ''}"


def print_json(content: object) -> None:
    """Print for programs."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
