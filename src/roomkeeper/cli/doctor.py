"""`roomkeeper doctor`: whether a running installation works."""

from __future__ import annotations

import typer

from roomkeeper import __version__
from roomkeeper.cli.remote import AsJson, Remote, Url, print_json
from roomkeeper.cli.tables import print_table


def doctor(*, as_json: AsJson = False, url: Url = None) -> None:
    """Look at LiveKit, clocks, webhook, database, workers and receivers; change nothing; exit status 1 on failure."""
    found = Remote.of_process(url).get("/doctor", api="/api")
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
