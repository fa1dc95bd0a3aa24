"""Every error that Roomkeeper raises on purpose.

```
RoomkeeperError
├── ConfigError        a setting is missing, unknown or contradictory
├── InvalidToken       a token that must not be trusted
└── IllegalCall        our own misuse of an interface
```
The class docstring says what went wrong and what to do; the instance adds the particular.
"""

from __future__ import annotations

import inspect


class RoomkeeperError(Exception):
    """Something in Roomkeeper failed."""

    def __init__(self, detail: str = "") -> None:
        self.detail = detail
        advice = inspect.cleandoc(type(self).__doc__ or "")
        super().__init__(f"{advice} {detail}".strip())


class ConfigError(RoomkeeperError):
    """A setting cannot be used; correct it in the flag, the environment or roomkeeper.toml that names it."""


class InvalidToken(RoomkeeperError):
    """The access token was refused; issue a new one with the API key and secret of this server."""


class IllegalCall(RoomkeeperError):
    """Roomkeeper was called in a way it forbids; this is a bug in the caller."""
