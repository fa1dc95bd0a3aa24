"""`roomkeeper sessions`: which sessions there are."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from roomkeeper.cli.remote import AsJson, Remote, Url, print_json
from roomkeeper.cli.tables import print_table

COLUMNS = ("id", "room", "state", "reason", "outcome", "opened", "users", "agent", "given up")


def sessions(
    *,
    state: Annotated[
        str, typer.Option(help="open, parked (something was given up), or a state such as live or ended.")
    ] = "",
    room: Annotated[str, typer.Option(help="Only sessions of this room.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, the newest first.")] = 50,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List sessions, the newest first."""
    wanted = {"state": state, "room": room, "limit": str(limit)}
    page = Remote.of_process(url).get("", {name: value for name, value in wanted.items() if value})
    if as_json:
        print_json(page)
        return
    print_table(COLUMNS, map(_cells, page["sessions"]))
    if page["cursor"] is not None:
        typer.echo(f"There are more; --limit {limit} was reached.", err=True)


def _cells(line: dict[str, Any]) -> tuple[object, ...]:
    fields = ("id", "room", "state", "reason", "outcome", "opened_at")
    return (*(line[name] for name in fields), " ".join(line["users"]), line["agent"], line.get("parked") or None)
