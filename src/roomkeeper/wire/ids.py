"""Ids in LiveKit's form: a prefix that tells the kind, and twelve letters or digits.

Source: livekit/protocol `utils/guid/id.go`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import string
from typing import Final

_ALPHABET: Final = string.ascii_letters + string.digits
_LENGTH: Final = 12
_BITS: Final = 256
"""Of the number behind an id: so many more than its letters hold that all are equally likely."""


def new_id(prefix: str) -> str:
    """Return a new id, such as `AJ_` and twelve characters."""
    return prefix + _spell(secrets.randbits(_BITS))


def derived_id(prefix: str, *parts: str | int, secret: str) -> str:
    """Return the id that follows from some parts: always the same, and known only to who holds the secret."""
    return prefix + _spell(int.from_bytes(hmac.digest(secret.encode(), json.dumps(parts).encode(), hashlib.sha256)))


def _spell(number: int) -> str:
    letters = []
    for _ in range(_LENGTH):
        number, place = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[place])
    return "".join(letters)
