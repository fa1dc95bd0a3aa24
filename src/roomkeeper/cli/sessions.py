"""`roomkeeper sessions`: which sessions there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from roomkeeper.cli.remote import AsJson, Remote, Url, print_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COLUMNS = ("id", "room", "state", "reason", "outcome", "opened", "users", "agent")


def sessions(
    *,
    state: Annotated[str, typer.Option(help="open, or a state such as live or ended.")] = "",
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
    _print_table(page["sessions"])
    if page["cursor"] is not None:
        typer.echo(f"There are more; --limit {limit} was reached.", err=True)


def _print_table(lines: Iterable[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, no_wrap=column == "id", overflow="fold")
    for line in lines:
        cells = (
            line["id"],
            line["room"],
            line["state"],
            line["reason"] or "",
            line["outcome"] or "",
            line["opened_at"],
            " ".join(line["users"]),
            line["agent"] or "",
        )
        table.add_row(*map(Text, cells))  # as text: names of rooms may look like markup
    Console().print(table)
