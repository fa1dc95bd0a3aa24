from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import roomkeeper.sfu
from roomkeeper.cli import app
from roomkeeper.sfu.config import SfuConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., SfuConfig]]:
    """Run `roomkeeper sfu` up to the point where the server would start."""
    started: list[SfuConfig] = []
    monkeypatch.setattr(roomkeeper.sfu, "serve", started.append)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIVEKIT_KEYS", raising=False)
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def run(*flags: str) -> SfuConfig:
        result = CliRunner().invoke(app, ["sfu", *flags])
        assert result.exit_code == 0, result.output
        return started.pop()

    yield run
    root.handlers[:], root.level = before


def test_without_flags_it_stands_in_for_livekit_server_dev(configured: Callable[..., SfuConfig]) -> None:
    config = configured()
    assert config == SfuConfig()
    assert (config.host, config.port, dict(config.keys)) == ("127.0.0.1", 7880, {"devkey": "secret"})


def test_every_flag_reaches_the_server(configured: Callable[..., SfuConfig]) -> None:
    config = configured(
        *("--host", "127.0.0.2", "--port", "1", "--udp-port", "2", "--strict", "--no-auto-create"),
        *("--keys", "a:b", "--keys", "c: d", "--webhook", "http://one", "--webhook", "http://two"),
        *("--tls-cert", "cert.pem", "--tls-key", "key.pem", "--data-dir", "data", "--log-format", "text"),
    )
    assert config == SfuConfig(
        host="127.0.0.2",
        port=1,
        udp_port=2,
        keys={"a": "b", "c": "d"},
        webhooks=("http://one", "http://two"),
        strict=True,
        auto_create=False,
        tls_cert=Path("cert.pem"),
        tls_key=Path("key.pem"),
        data_dir=Path("data"),
    )


def test_keys_come_from_the_variable_of_livekit_too(
    configured: Callable[..., SfuConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEKIT_KEYS", "key1: secret1\nkey2: secret2")
    assert configured().keys == {"key1": "secret1", "key2": "secret2"}


def test_a_file_of_ours_and_one_of_livekit_server_say_the_same(
    configured: Callable[..., SfuConfig], tmp_path: Path
) -> None:
    (tmp_path / "ours.toml").write_text("[sfu]\nport = 7000\nauto_create = false\nkeys = { a = 'b' }\n")
    (tmp_path / "theirs.yaml").write_text("port: 7000\nroom:\n  auto_create: false\nkeys:\n  a: b\n")
    expected = SfuConfig(port=7000, auto_create=False, keys={"a": "b"})
    assert configured("--config", "ours.toml") == configured("--config", "theirs.yaml") == expected
    assert configured("--config", "theirs.yaml", "--port", "7001").port == 7001
