"""A receiver of webhooks that trusts nothing it cannot verify."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from livekit import api

from tests.conformance.support.server import KEY, SECRET
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Delivery:
    """One POST.

    Attributes:
        event: What it told, verified.
        headers: Of the request.
        status: How it was answered.
        at: When it came, `time.monotonic()`.
    """

    event: api.WebhookEvent
    headers: Mapping[str, str]
    status: int
    at: float


@dataclass
class WebhookReceiver:
    """Receives webhooks on loopback, in threads of its own, so that it outlives the loop of a test.

    Attributes:
        port: It listens there; `close()` and `open()` may alternate.
        deliveries: Every verified POST, in order of arrival.
        refused: Why a POST was not believed.
        answer: Says the HTTP status for an event; by default 200.
    """

    port: int = field(default_factory=free_port)
    deliveries: list[Delivery] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    answer: Callable[[api.WebhookEvent], int] = lambda _: 200
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _http: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where to post to."""
        return f"http://127.0.0.1:{self.port}/webhooks?of=conformance"

    def open(self) -> None:
        """Begin to listen."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(receiver._take(body, dict(self.headers)))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._http.daemon_threads = True  # a kept-alive connection of a killed server would hold the tests
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stop listening: connections are refused from now on."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http = None

    def _take(self, body: bytes, headers: Mapping[str, str]) -> int:
        verifier = api.WebhookReceiver(api.TokenVerifier(KEY, SECRET))
        with self._changed:
            try:
                event = verifier.receive(body.decode(), headers["Authorization"])
            except Exception as error:  # noqa: BLE001 - whatever is wrong, it is not believed
                self.refused.append(repr(error))
                return 401
            status = self.answer(event)
            self.deliveries.append(Delivery(event, headers, status, time.monotonic()))
            self._changed.notify_all()
            return status

    def of_room(self, room: str) -> list[Delivery]:
        """What was told about a room, in order of arrival."""
        return [each for each in self.deliveries if each.event.room.name == room]

    async def wait_for(
        self, room: str, event: str, identity: str | None = None, *, accepted: bool = True, within: float = 10.0
    ) -> Delivery:
        """Wait for an event of a room.

        Args:
            room: Its name.
            event: `participant_joined`.
            identity: Of the participant it must be about; None for any.
            accepted: Whether it must have been answered with 200.
            within: Seconds to wait.

        Raises:
            AssertionError: It did not come; the message tells what did.
        """

        def matches(each: Delivery) -> bool:
            about = identity is None or each.event.participant.identity == identity
            return each.event.event == event and about and (each.status == 200 or not accepted)

        def wait() -> Delivery | None:
            with self._changed:
                return self._changed.wait_for(lambda: next(filter(matches, self.of_room(room)), None), within)

        if delivery := await asyncio.to_thread(wait):
            return delivery
        told = [f"{each.event.event} {each.status}" for each in self.of_room(room)]
        raise AssertionError(f"no {event} about {room} within {within} s; told: {told}; refused: {self.refused}")
