"""`roomkeeper doctor`: whether a running installation works."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from roomkeeper import __version__
from roomkeeper.cli.remote import AsJson, Remote, Url, print_json
from roomkeeper.cli.tables import print_table


def doctor(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="What a `serve --dry-run` would have done so far, instead.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Look at LiveKit, clocks, webhook, database, workers and receivers; change nothing; exit status 1 on failure."""
    remote = Remote.of_process(url)
    if dry_run:
        _print_rehearsal(remote.get("/dry-run", api="/api"), as_json=as_json)
        return
    found = remote.get("/doctor", api="/api")
    checks, theirs = found["checks"], found["versions"]["roomkeeper"]
    if theirs != __version__:
        said = f"this command is {__version__}, the control plane {theirs}: install the same"
        checks.append({"name": "versions", "health": "warning", "said": said})
    if as_json:
        print_json(found)
    else:
        print_table(("check", "health", "found"), ((each["name"], each["health"], each["said"]) for each in checks))
        typer.echo(" · ".join(f"{name} {version}" for name, version in found["versions"].items()))
    if any(each["health"] == "failed" for each in checks):
        raise typer.Exit(1)


def _print_rehearsal(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(told)
    else:
        columns = ("first_at", "times", "what", "room", "about")
        print_table(
            ("first", "times", "would", "room", "about"), ([deed[name] for name in columns] for deed in told["would"])
        )
