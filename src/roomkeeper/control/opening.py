"""`POST /api/sessions`: the application opens a session, and gets a token for its user.

Asked twice with one idempotency key, it is one session: its id follows from the key, so nothing else has to be stored.

Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from starlette.routing import Route

from roomkeeper.control.admin import admin_of
from roomkeeper.control.bodies import answer, bad, read_object, table, text
from roomkeeper.control.issuing import Guest, place_of
from roomkeeper.control.problems import Problem
from roomkeeper.control.summaries import summary
from roomkeeper.errors import ConfigError
from roomkeeper.lifecycle.events import SessionOpened
from roomkeeper.lifecycle.names import Join, Later, Open, Refuse, claim
from roomkeeper.lifecycle.policy import Kind, plain, read_policy
from roomkeeper.lifecycle.vocabulary import Dispatcher, Origin
from roomkeeper.wire.ids import derived_id, new_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import JSONResponse

    from roomkeeper.control.admin import Admin
    from roomkeeper.control.adoption import Adopters
    from roomkeeper.control.carrier import Carrier
    from roomkeeper.control.config import ControlConfig
    from roomkeeper.control.issuing import Issuer
    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.state import Session

MAX_NAME: Final = 256
"""Characters of a name; LiveKit's own limit, in bytes."""
MAX_METADATA: Final = 48 * 1024


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the application asks for, checked."""

    agent: str
    room: str
    guest: Guest | None
    host: str
    kind: Kind
    dispatcher: Dispatcher
    policy: Mapping[str, object]
    metadata: str
    key: str


class Opening:
    """The endpoint.

    Args:
        config: The default agent, and the secret that ids follow from.
        store: The sessions.
        adopters: Their policies.
        issuer: Makes the user's token.
        carrier: Is woken when there is something to do.
    """

    def __init__(
        self, config: ControlConfig, store: Store, adopters: Adopters, issuer: Issuer, carrier: Carrier
    ) -> None:
        self._config = config
        self._store = store
        self._adopters = adopters
        self._issuer = issuer
        self._carrier = carrier
        self._keys = {config.api_key: config.api_secret}

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route("/sessions", self.endpoint, methods=["POST"])]

    async def endpoint(self, request: Request) -> JSONResponse:
        """Open a session: 201, or 200 with the one that the same key has opened before.

        Raises:
            Problem: 400 malformed, 403 another room than this token's, 409 the room has a session that goes on, 410 it
                has ended and the name may not be used again, 422 the key was used for something else, 503 not yet.
        """
        admin = admin_of(request, self._keys)
        wish = self._wish(await read_object(request), request.headers.get("idempotency-key", ""), admin)
        session_id = derived_id("S_", "key", admin.room, wish.key, secret=self._config.api_secret) if wish.key else ""
        before = await self._store.find(session_id) if session_id else None
        if before is not None:
            if not _is_same(wish, before):
                detail = "This idempotency key opened another session; use a new key for a new request."
                raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
            return self._answer(wish, before, HTTPStatus.OK)
        opened = await self._opened(wish, session_id or new_id("S_"))
        session = await self._store.open(opened)
        if session.id != opened.session:
            raise _taken(session)
        self._carrier.wake()
        return self._answer(wish, session, HTTPStatus.CREATED)

    def _wish(self, given: Mapping[str, Any], key: str, admin: Admin) -> _Wish:
        agent = text(given, "agent", MAX_NAME) or self._config.agent
        if not agent:
            raise bad("`agent` must name the agent of the session.")
        room = text(given, "room", MAX_NAME) or admin.room
        if admin.room and room != admin.room:
            raise Problem(HTTPStatus.FORBIDDEN, f"This token opens sessions in room {admin.room} only.")
        dispatch, kind = given.get("dispatch", Dispatcher.ROOM), given.get("kind", Kind.WEB)
        if dispatch not in tuple(Dispatcher) or kind not in tuple(Kind):
            raise bad(f"`dispatch` must be one of {', '.join(Dispatcher)}, `kind` one of {', '.join(Kind)}.")
        guest = _guest(table(given, "user")) if given.get("user") is not None else None
        return _Wish(
            agent=agent,
            room=room,
            guest=guest,
            host=text(given, "host", MAX_NAME) or (guest.identity if guest is not None else ""),
            kind=Kind(kind),
            dispatcher=Dispatcher(dispatch),
            policy=table(given, "policy"),
            metadata=_metadata(given),
            key=key[:MAX_NAME] or text(given, "idempotency_key", MAX_NAME) or "",
        )

    async def _opened(self, wish: _Wish, session_id: str) -> SessionOpened:
        room = wish.room or f"{wish.agent}-{session_id[2:]}"
        found = await self._store.find(room)
        generation = 1
        match claim(found if found is not None and found.room == room else None):
            case Join(session=session) if session.id == session_id:
                generation = session.generation  # the same request, which somebody else was quicker to answer
            case Join(session=session):
                raise _taken(session)
            case Refuse(session=session):
                raise await self._issuer.gone(session)
            case Later(session=session):
                detail = f"The room of {session.id} is still being closed; ask again in a second."
                raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "1"})
            case Open(generation=number):
                generation = number
        try:
            policy = self._adopters.policy(wish.agent, wish.kind, wish.policy)
        except ConfigError as error:
            raise bad(f"`policy`: {error.detail}.") from None
        return SessionOpened(
            at=0,
            session=session_id,
            room=room,
            generation=generation,
            agent_name=wish.agent,
            origin=Origin.API,
            dispatcher=wish.dispatcher,
            host=wish.host,
            policy=policy,
            metadata=wish.metadata,
        )

    def _answer(self, wish: _Wish, session: Session, status: HTTPStatus) -> JSONResponse:
        guest = wish.guest or Guest(f"user-{session.id[2:]}")
        token = self._issuer.answer(place_of(session), guest) if session.end is None else None
        return answer({"session": summary(session), "token": token}, status)


def _guest(user: Mapping[str, Any]) -> Guest:
    identity = text(user, "identity", MAX_NAME)
    if not identity:
        raise bad("`user` must have an `identity`.")
    attributes = table(user, "attributes")
    if not all(isinstance(value, str) for value in attributes.values()):
        raise bad("`attributes` must be an object of strings.")
    return Guest(identity, text(user, "name", MAX_NAME) or "", text(user, "metadata", MAX_METADATA) or "", attributes)


def _metadata(given: Mapping[str, Any]) -> str:
    """Read the application's words for its agent; an object is spelled out once, and passed on as it is then."""
    value = given.get("metadata")
    if isinstance(value, dict):
        return json.dumps(value, separators=(",", ":"))
    return text(given, "metadata", MAX_METADATA) or ""


def _is_same(wish: _Wish, session: Session) -> bool:
    """Say whether a session is what the wish would have opened."""
    same = (session.agent_name, session.host, session.dispatcher, session.metadata)
    if same != (wish.agent, wish.host, wish.dispatcher, wish.metadata) or wish.room not in {"", session.room}:
        return False
    return read_policy(plain(session.policy), wish.policy) == session.policy


def _taken(session: Session) -> Problem:
    detail = f"Room {session.room} has session {session.id}, which goes on: ask `POST /api/token` for a token of it."
    return Problem(HTTPStatus.CONFLICT, detail, more={"session": session.id})
