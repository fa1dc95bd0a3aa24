"""`roomkeeper redeliver`: sends a session's reports again."""

from __future__ import annotations

import typer

from roomkeeper.cli.remote import AsJson, Id, Remote, Url, of, print_json


def redeliver(session: Id, *, as_json: AsJson = False, url: Url = None) -> None:
    """Send every report of a session again, with the same webhook-id, and try again what was given up."""
    again = Remote.of_process(url).post(of(session, "redeliver"), {})
    if as_json:
        print_json(again)
    else:
        typer.echo(f"{again['session']}: {again['deliveries']} reports, {again['deeds']} parked actions, again.")
