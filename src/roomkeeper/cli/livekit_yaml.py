"""Reads a livekit-server configuration file as far as the room server has the same setting.

Source: livekit-server `config-sample.yaml`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import yaml

from roomkeeper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

logger = logging.getLogger(__name__)

SAME_SETTING = {
    "port": "port",
    "keys": "keys",
    "rtc.udp_port": "udp_port",
    "webhook.urls": "webhooks",
    "webhook.api_key": "webhook_key",
    "room.auto_create": "auto_create",
    "room.empty_timeout": "empty_timeout",
    "room.departure_timeout": "departure_timeout",
    "room.max_participants": "max_participants",
}


def read_livekit_yaml(path: Path) -> dict[str, Any]:
    """Return the `[sfu]` table that says the same; a key without counterpart is logged and ignored.

    Raises:
        ConfigError: The file cannot be read, or is not YAML.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}.") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path} is no livekit-server configuration.")
    table: dict[str, Any] = {}
    for name, value in _leaves(document):
        if name == "bind_addresses":
            table["host"] = value[0]
        elif name in SAME_SETTING:
            table[SAME_SETTING[name]] = value
        else:
            logger.warning("setting of livekit-server ignored", extra={"key": name, "file": str(path)})
    return table


def _leaves(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and name != "keys":
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value
