"""`roomkeeper explain`: why a session went as it did."""

from __future__ import annotations

import typer

from roomkeeper.cli.remote import AsJson, Id, Remote, Url, of, print_json


def explain(session: Id, *, as_json: AsJson = False, url: Url = None) -> None:
    """Say what happened to a session, what decided its end, and what was ignored and why."""
    why = Remote.of_process(url).get(of(session, "explain"))
    if as_json:
        print_json({name: value for name, value in why.items() if name != "text"})
    else:
        typer.echo(why["text"])
