"""`roomkeeper sfu`: the room server alone, in the place of `livekit-server --dev`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer evaluates the annotations
from typing import Annotated

import typer

from roomkeeper.cli import logs
from roomkeeper.cli.extras import needs
from roomkeeper.errors import ConfigError
from roomkeeper.settings import Sources, load


def sfu(  # noqa: PLR0913 - each is a flag
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="TCP, HTTP and signal; 0 takes a free one. [default: 7880]")] = None,
    udp_port: Annotated[int | None, typer.Option(help="All media, UDP and TCP. [default: 7882]")] = None,
    keys: Annotated[
        list[str] | None, typer.Option(metavar="KEY:SECRET", help="API key; repeatable. [default: devkey:secret]")
    ] = None,
    webhook: Annotated[list[str] | None, typer.Option(metavar="URL", help="Gets room events; repeatable.")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML with a table [sfu], or livekit-server's YAML.")
    ] = None,
    strict: Annotated[
        bool | None, typer.Option("--strict", help="Be like livekit-server where we know better.")
    ] = None,
    auto_create: Annotated[bool | None, typer.Option(help="Whether joining creates a room. [default: yes]")] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="PEM certificate: serve https and wss.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="PEM key of the certificate.")] = None,
    data_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Keeps undelivered webhooks.")] = None,
    log_format: Annotated[logs.LogFormat, typer.Option(help="json for machines, text for people.")] = "json",
) -> None:
    """Run a LiveKit-compatible room server: development, tests, one machine."""
    with needs("sfu"):
        import roomkeeper.sfu.server  # noqa: F401 - a package that is missing is missed here, not in the middle
        from roomkeeper.cli.livekit_yaml import read_livekit_yaml
        from roomkeeper.sfu import serve
        from roomkeeper.sfu.config import SfuConfig

    logs.configure(log_format)
    sources = Sources.of_process(config if config and config.suffix not in {".yaml", ".yml"} else None)
    if config and config.suffix in {".yaml", ".yml"}:
        sources = Sources(sources.environ, {"sfu": read_livekit_yaml(config)}, str(config))
    flags = {
        "host": host,
        "port": port,
        "udp_port": udp_port,
        "keys": _pairs(keys),
        "webhooks": webhook or None,
        "strict": strict,
        "auto_create": auto_create,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "data_dir": data_dir,
    }
    serve(load(SfuConfig, "sfu", flags=flags, sources=sources))


def _pairs(keys: list[str] | None) -> dict[str, str] | None:
    """Read `KEY:SECRET`, also with a blank behind the colon as livekit-server writes it."""
    if not keys:
        return None
    pairs = [each.partition(":") for each in keys]
    if not all(key.strip() and secret.strip() for key, _, secret in pairs):
        raise ConfigError("--keys wants KEY:SECRET, both non-empty.")
    return {key.strip(): secret.strip() for key, _, secret in pairs}
