from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from roomkeeper.cli.livekit_yaml import read_livekit_yaml
from roomkeeper.errors import ConfigError
from roomkeeper.settings import Sources, load
from roomkeeper.sfu.config import SfuConfig

if TYPE_CHECKING:
    from pathlib import Path

USUAL = """
port: 7000
bind_addresses: ["127.0.0.1"]
rtc:
  udp_port: 7001
  tcp_port: 7002
keys:
  devkey: secret
  other: "another secret"
room:
  auto_create: false
  empty_timeout: 10
  departure_timeout: 5
  max_participants: 3
webhook:
  api_key: other
  urls: ["http://127.0.0.1:9000/hook"]
"""


def test_what_both_servers_know_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "livekit.yaml"
    path.write_text(USUAL)
    config = load(SfuConfig, "sfu", flags={}, sources=Sources({}, {"sfu": read_livekit_yaml(path)}, str(path)))
    assert config == SfuConfig(
        host="127.0.0.1",
        port=7000,
        udp_port=7001,
        keys={"devkey": "secret", "other": "another secret"},
        webhooks=("http://127.0.0.1:9000/hook",),
        webhook_key="other",
        auto_create=False,
        empty_timeout=10,
        departure_timeout=5,
        max_participants=3,
    )


def test_what_only_the_original_knows_is_ignored_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "livekit.yaml"
    path.write_text("redis:\n  address: localhost:6379\nport: 7000\n")
    with caplog.at_level(logging.WARNING):
        assert read_livekit_yaml(path) == {"port": 7000}
    assert [record.__dict__["key"] for record in caplog.records] == ["redis.address"]


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    path = tmp_path / "livekit.yaml"
    path.write_text("")
    assert read_livekit_yaml(path) == {}


@pytest.mark.parametrize("text", ["port: [", "- a list", "just text"])
def test_what_is_no_such_configuration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "livekit.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"livekit\.yaml is"):
        read_livekit_yaml(path)
