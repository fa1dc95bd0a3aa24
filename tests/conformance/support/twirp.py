"""The room API as plain HTTP: what an SDK hides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp
    from google.protobuf.message import Message

    from tests.conformance.support.server import Server


@dataclass(frozen=True)
class Answer:
    """An HTTP answer of the room API.

    Attributes:
        status: Of HTTP.
        json: The body; an error has `code` and `msg`.
        content_type: Of the body.
        body: As it came.
    """

    status: int
    json: Any
    content_type: str
    body: bytes

    @property
    def error(self) -> tuple[int, str]:
        """Status and error code."""
        return self.status, self.json["code"]


@dataclass(frozen=True)
class Twirp:
    """Calls the room API with JSON or protobuf bodies."""

    server: Server
    http: aiohttp.ClientSession

    async def __call__(
        self,
        method: str,
        body: dict[str, Any] | None = None,
        *,
        token: str | None = None,
        **grants: Any,  # noqa: ANN401 - fields of VideoGrants
    ) -> Answer:
        """Call a method, `RoomService/CreateRoom`, with JSON.

        Args:
            method: Service and method.
            body: The request.
            token: To call with; "" for none.
            grants: For the default token; without any it has every right in the room that `body` names.
        """
        body = body or {}
        if token is None:
            every = {"room_create": True, "room_list": True, "room_admin": True, "room_record": True}
            token = self.server.token(**(grants or {**every, "room": body.get("room", "")}))
        async with self.http.post(self._url(method), json=body, headers=_authorization(token)) as answer:
            raw = await answer.read()
            parsed = await answer.json() if answer.content_type == "application/json" else None
            return Answer(answer.status, parsed, answer.content_type, raw)

    async def post(self, method: str, body: bytes, content_type: str, *, token: str) -> Answer:
        """Call a method with a body as it is."""
        headers = {**_authorization(token), "Content-Type": content_type}
        async with self.http.post(self._url(method), data=body, headers=headers) as answer:
            raw = await answer.read()
            parsed = await answer.json() if answer.content_type == "application/json" else None
            return Answer(answer.status, parsed, answer.content_type, raw)

    async def protobuf(self, method: str, request: Message, token: str) -> Answer:
        """Call a method with protobuf."""
        return await self.post(method, request.SerializeToString(), "application/protobuf", token=token)

    def _url(self, method: str) -> str:
        return f"{self.server.http}/twirp/livekit.{method}"


def _authorization(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}
