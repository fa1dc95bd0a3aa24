"""The command line: thin, and quick to start, since each command imports what it needs when it runs.

```
sfu        the room server             logs      what servers print
serve      the control plane           extras    "install roomkeeper[…]"
dev/       everything on this machine  remote    what speaks to a control plane
sessions, explain, end, redeliver, purge   over HTTP
doctor     over HTTP, about all of it    lint    settings alone
login      signs links and tokens
```
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from roomkeeper import __version__
from roomkeeper.cli import dev, doctor, end, explain, lint, login, purge, redeliver, serve, sessions, sfu
from roomkeeper.errors import RoomkeeperError

app = typer.Typer(
    name="roomkeeper",
    help="The session layer for voice agents on LiveKit. Not affiliated with LiveKit.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(dev.dev)
app.command()(sfu.sfu)
for command in (
    serve.serve,
    login.login,
    sessions.sessions,
    explain.explain,
    end.end,
    redeliver.redeliver,
    purge.purge,
    lint.lint,
    doctor.doctor,
):
    app.command()(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"roomkeeper {__version__}")
        raise typer.Exit


@app.callback()
def roomkeeper(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """The session layer for voice agents on LiveKit. Not affiliated with LiveKit."""


def main() -> None:
    """Run the command line; an error of ours is one line on stderr and exit status 1."""
    try:
        app()
    except RoomkeeperError as error:
        typer.echo(f"roomkeeper: {error}", err=True)
        sys.exit(1)
