"""Access tokens: LiveKit's JWTs, verified and minted.

HS256 only, `exp` required, 60 s of leeway; the key is looked up by `iss`, the identity is `sub` (`jti` as a fallback).
Time is an argument. No error, log or value made here ever holds a token or a secret, only a short digest of the token.

Source: livekit/protocol `auth/verifier.go`, `auth/accesstoken.go`, `agent/token.go`; livekit-server
`pkg/service/roommanager.go` (`refreshToken`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import jwt
from jwt.algorithms import HMACAlgorithm
from livekit.protocol import models

from roomkeeper.errors import InvalidToken
from roomkeeper.wire.claims import AgentGrants, Claims, SIPGrants, VideoGrants, claims_of, payload_of, seconds_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livekit.protocol import agent

__all__ = [
    "AgentGrants",
    "Claims",
    "SIPGrants",
    "VideoGrants",
    "mint",
    "mint_agent",
    "refresh",
    "token_digest",
    "verify",
]

LEEWAY: Final = 60.0
"""Seconds by which clocks may differ."""

DEFAULT_TTL: Final = 6 * 3600.0
"""Seconds a token lives unless told otherwise."""

REFRESH_TTL: Final = 600.0
"""Seconds a refresh token lives at least."""

AGENT_TTL: Final = 3600.0
"""Seconds an agent has to use the token of its job."""

MAX_TOKEN_BYTES: Final = 1 << 20
"""The longest token looked at; Go's HTTP server takes no longer header either."""

AGENT_NAME_ATTRIBUTE: Final = "lk.agent_name"


class _AnyLengthHmac(HMACAlgorithm):
    """HS256 with keys of any length: LiveKit's own development secret has 6 bytes."""

    def check_key_length(self, key: bytes) -> str | None:
        """Accept the key."""
        return None


_jws = jwt.PyJWS(algorithms=[])
_jws.register_algorithm("HS256", _AnyLengthHmac(HMACAlgorithm.SHA256))


def token_digest(token: str) -> str:
    """Return what `Claims.digest` holds: 128 bits of SHA-256 over what the token's signature covers, in hexadecimal.

    The signature is left out: the last character of its base64 has spare bits, so one token has several spellings.
    """
    signed = token.rpartition(".")[0]
    return hashlib.sha256(signed.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def verify(token: str, keys: Mapping[str, str], *, now: float, leeway: float = LEEWAY) -> Claims:
    """Verify a token and return what it claims.

    Args:
        token: the JWT as it came in.
        keys: secret by API key.
        now: unix seconds.
        leeway: seconds of tolerance for `exp` and `nbf`.

    Raises:
        InvalidToken: not a JWT of ours, not signed by one of the keys, out of its time, or with claims of a wrong type.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise InvalidToken(detail=f"It is longer than {MAX_TOKEN_BYTES} bytes.")
    issuer = _payload(token, None).get("iss")
    secret = keys.get(issuer) if isinstance(issuer, str) else None
    if not secret:
        raise InvalidToken(detail="Its API key (`iss`) is unknown here.")
    payload = _payload(token, secret)
    expires_at = seconds_of(payload, "exp")
    not_before = seconds_of(payload, "nbf") or 0.0
    if expires_at is None:
        raise InvalidToken(detail="It never expires (no `exp`).")
    if now >= expires_at + leeway:
        raise InvalidToken(detail="It has expired.")
    if now < not_before - leeway:
        raise InvalidToken(detail="It is not valid yet (`nbf`).")
    return claims_of(payload, digest=token_digest(token), expires_at=expires_at)


def mint(claims: Claims, *, secret: str, now: float, ttl: float = DEFAULT_TTL) -> str:
    """Sign claims into a token of `ttl` seconds from `now` (unix seconds); `claims.api_key` becomes its issuer."""
    payload = payload_of(claims) | {"iat": int(now), "nbf": int(now), "exp": int(now + ttl)}
    body = json.dumps(payload, separators=(",", ":"))
    return _jws.encode(body.encode(), secret, algorithm="HS256", headers={"typ": "JWT"})


def refresh(claims: Claims, *, keys: Mapping[str, str], now: float) -> str:
    """Mint the token by which a participant may come back later.

    It lives as long as the one it renews, 10 minutes at least, and keeps name, identity, kind, metadata, attributes,
    video grants and the room's configuration; kind details, SIP and agent grants are dropped, as the original does.
    """
    api_key = claims.api_key if claims.api_key in keys else next(iter(keys))
    kept = replace(claims, api_key=api_key, kind_details=(), sip=SIPGrants(), agent=AgentGrants(), sha256="")
    return mint(kept, secret=keys[api_key], now=now, ttl=max(REFRESH_TTL, claims.expires_at - now))


def mint_agent(
    *,
    room_name: str,
    agent_name: str,
    answer: agent.AvailabilityResponse,
    permission: models.ParticipantPermission,
    keys: Mapping[str, str],
    now: float,
) -> str:
    """Mint the token by which a worker's job enters its room: one hour, kind agent, attribute `lk.agent_name`.

    Args:
        room_name: the room of the job.
        agent_name: the name the dispatch asked for, may be empty.
        answer: the worker's acceptance, which chooses identity, name, metadata and attributes.
        permission: what the worker was registered to be allowed.
        keys: secret by API key; the first signs.
        now: unix seconds.
    """
    api_key, secret = next(iter(keys.items()))
    granted = VideoGrants(
        room_join=True,
        agent=True,
        room=room_name,
        can_subscribe=permission.can_subscribe,
        can_publish=permission.can_publish,
        can_publish_data=permission.can_publish_data,
        hidden=permission.hidden,
        can_update_own_metadata=permission.can_update_metadata,
        can_subscribe_metrics=permission.can_subscribe_metrics,
    )
    claims = Claims(
        api_key=api_key,
        identity=answer.participant_identity,
        name=answer.participant_name,
        kind=models.ParticipantInfo.AGENT,
        video=granted,
        metadata=answer.participant_metadata,
        attributes={**answer.participant_attributes, AGENT_NAME_ATTRIBUTE: agent_name},
    )
    return mint(claims, secret=secret, now=now, ttl=AGENT_TTL)


def _payload(token: str, secret: str | None) -> dict[str, Any]:
    """Return the JSON object of a token, its signature checked if a secret is given."""
    try:
        raw = _jws.decode(token, secret or "", algorithms=["HS256"], options={"verify_signature": secret is not None})
        payload = json.loads(raw, parse_constant=_refuse_constant)
    # The library's own words could quote the token, hence `from None`.
    except jwt.InvalidSignatureError:
        raise InvalidToken(detail="Its signature was not made with the secret of its API key.") from None
    except jwt.InvalidAlgorithmError:
        raise InvalidToken(detail="It is not signed with HS256.") from None
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise InvalidToken(detail="It is not a JSON web token.") from None
    if not isinstance(payload, dict):
        raise InvalidToken(detail="It is not a JSON web token.")
    return payload


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
