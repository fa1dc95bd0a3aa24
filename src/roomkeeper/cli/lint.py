"""`roomkeeper lint`: settings that contradict each other."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer evaluates the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roomkeeper.cli.extras import needs
from roomkeeper.cli.remote import AsJson, print_json
from roomkeeper.cli.tables import print_table
from roomkeeper.errors import ConfigError
from roomkeeper.settings import Sources, load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roomkeeper.control.lint import Complaint


def lint(
    *,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="TOML, as `serve` reads it.")] = None,
    livekit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="livekit-server's YAML, to be compared with.")
    ] = None,
    replicas: Annotated[int, typer.Option(min=1, help="How many control planes share the database.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Find settings that contradict each other, each with its fix; exit status 1 if one is an error."""
    with needs("serve"):
        import roomkeeper.control.config  # noqa: F401 - a package that is missing is missed here, not in the middle
    found = _complaints(Sources.of_process(config), _livekit(livekit), replicas)
    lines = [{"level": str(each.level), "where": each.where, "what": each.what, "fix": each.fix} for each in found]
    if as_json:
        print_json({"complaints": lines})
    elif lines:
        print_table(("level", "where", "what", "fix"), (tuple(line.values()) for line in lines))
    else:
        typer.echo("Nothing to complain about.")
    if any(line["level"] == "error" for line in lines):
        raise typer.Exit(1)


def _livekit(path: Path | None) -> Mapping[str, Any] | None:
    if path is None:
        return None
    with needs("sfu"):
        from roomkeeper.cli.livekit_yaml import read_livekit_yaml
    return read_livekit_yaml(path)


def _complaints(sources: Sources, livekit: Mapping[str, Any] | None, replicas: int) -> list[Complaint]:
    from roomkeeper.control.config import ControlConfig, read_adopters
    from roomkeeper.control.lint import Complaint, Level, lint

    try:
        config = load(ControlConfig, "control", flags={}, sources=sources)
        adopters = read_adopters(sources.file, config.agent)
        found = lint(config, adopters, livekit=livekit, replicas=replicas)
        if not any(each.where == "control.receivers" for each in found):
            config.plane(adopters)  # receivers and what else is only read when it is used
    except ConfigError as error:
        return [Complaint(Level.ERROR, sources.file_name, error.detail, "as it says")]
    return found
