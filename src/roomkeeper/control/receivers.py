"""Who gets reports and events over HTTP, and which."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from roomkeeper.errors import ConfigError
from roomkeeper.lifecycle.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SESSION_ENDED: Final = "session.ended"
"""The report."""
EVENTS: Final = (
    "session.opened",
    *(f"session.{state}" for state in State),
    "session.changed",
    "session.agent_lost",
    "session.warned",
    "item.added",
)
"""Every type of event there is to subscribe to."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where reports go.

    Attributes:
        secret: `whsec_…`, base64; the receiver verifies with the same.
        events: Types it wants, or patterns of them such as `session.*`.

    Raises:
        ConfigError: The URL is none, the secret is not in that form, or a pattern matches no event.
    """

    url: str
    secret: str = field(repr=False)
    events: tuple[str, ...] = (SESSION_ENDED,)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError("A receiver's URL begins with http:// or https:// and names a host.")
        try:
            Webhook(self.secret)
        except (ValueError, EmptyWebhookSecretError):  # its own words could quote the secret
            raise ConfigError(f"The secret of {parts.hostname} must be `whsec_` and base64.") from None
        for pattern in self.events:
            if not any(fnmatchcase(event, pattern) for event in EVENTS):
                raise ConfigError(f"{pattern!r} of {parts.hostname} matches none of {', '.join(EVENTS)}.")

    @property
    def id(self) -> str:
        """What tells receivers apart in the store; a changed secret is the same receiver."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    def wants(self, event: str) -> bool:
        """Say whether it has subscribed to events of a type."""
        return any(fnmatchcase(event, pattern) for pattern in self.events)


def read_receivers(
    secrets: Mapping[str, str], events: Mapping[str, str], common: Iterable[str]
) -> tuple[Receiver, ...]:
    """Read receivers as settings have them.

    Args:
        secrets: Secret by URL.
        events: Types between commas, by URL.
        common: Types for those that name none.

    Raises:
        ConfigError: A receiver that cannot be used, or events for one that is not there.
    """
    if strangers := events.keys() - secrets.keys():
        host = urlsplit(min(strangers)).hostname or "nowhere"
        raise ConfigError(f"`receiver_events` names a URL at {host} that is no receiver; write both the same.")
    own = {url: tuple(part.strip() for part in text.split(",") if part.strip()) for url, text in events.items()}
    return tuple(Receiver(url, secret, own.get(url) or tuple(common)) for url, secret in secrets.items())
