"""LiveKit's webhooks: written, signed, verified, read.

A webhook is a POST of a `WebhookEvent` in JSON. Its `Authorization` is a bare access token that lives five minutes and
holds the body's hash.

Source: livekit/protocol `webhook/resource_url_notifier.go`, `webhook/verifier.go`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Final

from google.protobuf import json_format
from livekit.protocol import webhook

from roomkeeper.errors import InvalidToken, RoomkeeperError
from roomkeeper.wire import tokens
from roomkeeper.wire.claims import Claims

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT_TYPE: Final = "application/webhook+json"

TOKEN_TTL: Final = 300.0
"""Seconds that the token of a webhook lives."""


class InvalidWebhook(RoomkeeperError):
    """The body of a webhook is not an event; look at who sends it."""


def encode(event: webhook.WebhookEvent) -> bytes:
    """Return the body that says an event: camelCase JSON without defaults, 64-bit numbers as strings."""
    return json_format.MessageToJson(event, indent=None).encode()


def sign(body: bytes, *, api_key: str, secret: str, now: float) -> str:
    """Return the `Authorization` of a body sent at `now` (unix seconds)."""
    return tokens.mint(Claims(api_key=api_key, sha256=_hash(body)), secret=secret, now=now, ttl=TOKEN_TTL)


def receive(body: bytes, authorization: str, keys: Mapping[str, str], *, now: float) -> webhook.WebhookEvent:
    """Verify a webhook and return its event; fields unknown here are left out.

    Args:
        body: the raw body.
        authorization: the header; a leading `Bearer ` is tolerated.
        keys: secret by API key.
        now: unix seconds.

    Raises:
        InvalidToken: not signed by one of the keys, too old, or signed for another body.
        InvalidWebhook: signed, but not an event.
    """
    claims = tokens.verify(authorization.removeprefix("Bearer "), keys, now=now)
    if not hmac.compare_digest(claims.sha256.encode(), _hash(body).encode()):
        raise InvalidToken("Its hash (`sha256`) is not that of the body.")
    try:
        fields = json.loads(body)
        if not isinstance(fields, dict):
            raise InvalidWebhook
        return json_format.ParseDict(fields, webhook.WebhookEvent(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, RecursionError):
        raise InvalidWebhook from None


def _hash(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()
