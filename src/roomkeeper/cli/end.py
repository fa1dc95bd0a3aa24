"""`roomkeeper end`: ends a session."""

from __future__ import annotations

from typing import Annotated

import typer

from roomkeeper.cli.remote import AsJson, Id, Remote, Url, of, print_json


def end(
    session: Id,
    *,
    reason: Annotated[str, typer.Option(help="Any reason of the table.")] = "operator_ended",
    detail: Annotated[str, typer.Option(help="One sentence for people.")] = "",
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """End a session; one that has ended answers with the end it has."""
    body = {"reason": reason} | ({"detail": detail} if detail else {})
    state = Remote.of_process(url).post(of(session, "end"), body)
    if as_json:
        print_json(state)
    else:
        typer.echo(f"{state['session']} is {state['state']}: {state['reason']} (by {state['by']}).")
