"""`roomkeeper explain`: why a session went as it did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from roomkeeper.cli.remote import AsJson, Id, Remote, Url, of, print_json


def explain(
    session: Id,
    *,
    as_json: AsJson = False,
    bundle: Annotated[
        bool, typer.Option("--bundle", help="Write one file to show to others: no words, no names of people.")
    ] = False,
    url: Url = None,
) -> None:
    """Say what happened to a session, what decided its end, and what was ignored and why."""
    remote = Remote.of_process(url)
    if bundle:
        told = remote.get(of(session, "bundle"))
        path = Path(f"{told['session']}.bundle.json")
        path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        typer.echo(f"{path}: {len(told['journal'])} lines of its journal, {len(told['log'])} of the log.")
        return
    why = remote.get(of(session, "explain"))
    if as_json:
        print_json({name: value for name, value in why.items() if name != "text"})
    else:
        typer.echo(why["text"])
