"""`roomkeeper serve`: keeps the sessions of any LiveKit server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path  # noqa: TC003 - typer evaluates the annotations
from typing import Annotated

import typer

from roomkeeper.cli import logs
from roomkeeper.cli.extras import needs
from roomkeeper.settings import Sources, load

DATABASE = "sqlite:///roomkeeper.db"


def serve(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="TCP; 0 takes a free one. [default: 8080]")] = None,
    livekit_url: Annotated[str | None, typer.Option(metavar="URL", help="The LiveKit server. [LIVEKIT_URL]")] = None,
    database: Annotated[
        str | None, typer.Option(metavar="URL", help=f"sqlite:/// or postgresql://. [default: {DATABASE}]")
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Name of an agent whose rooms are kept.")] = None,
    dry_run: Annotated[
        bool | None, typer.Option("--dry-run", help="Look and decide, say what would be done, do nothing.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML with [control], [policy], [agents].")
    ] = None,
    log_format: Annotated[logs.LogFormat, typer.Option(help="json for machines, text for people.")] = "json",
) -> None:
    """Keep sessions: one end each, told to everybody and reported."""
    with needs("serve"):
        from roomkeeper.control.config import ControlConfig, read_adopters
        from roomkeeper.control.server import serve as run

    logs.configure(log_format)
    sources = Sources.of_process(config)
    flags = {
        "host": host,
        "port": port,
        "livekit_url": livekit_url,
        "database": database,
        "agent": agent,
        "dry_run": dry_run,
    }
    settings = load(ControlConfig, "control", flags=flags, sources=sources)
    run(replace(settings, database=settings.database or DATABASE), read_adopters(sources.file, settings.agent))
