"""Ids in LiveKit's form: a prefix that tells the kind, and twelve letters or digits.

Source: livekit/protocol `utils/guid/id.go`.
"""

from __future__ import annotations

import secrets
import string
from typing import Final

_ALPHABET: Final = string.ascii_letters + string.digits
_LENGTH: Final = 12


def new_id(prefix: str) -> str:
    """Return a new id, such as `AJ_` and twelve characters."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
