"""`roomkeeper purge`: deletes the personal data of ended sessions."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from roomkeeper.cli.remote import AsJson, Remote, Url, of, print_json
from roomkeeper.errors import ConfigError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def purge(
    session: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="S_…, a room's name, RM_…, AJ_… or EG_….")
    ] = None,
    *,
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="All that ended so long ago, such as 30d or 12h.")
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Of one session: although its report has not been delivered.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Delete the personal data of one ended session, or of all that ended long ago. Their ends stay counted."""
    if (session is None) == (not older_than):
        raise ConfigError("Give the id of a session, or --older-than.")
    remote = Remote.of_process(url)
    if session is not None:
        purged = remote.delete(of(session), {"force": "true"} if force else None)
        if as_json:
            print_json(purged)
        else:
            typer.echo(f"{purged['session']} was purged at {purged['purged_at']}.")
        return
    before = (datetime.now(UTC) - age(older_than)).isoformat()
    purged_all, not_done, more = 0, 0, True
    while more:
        part = remote.purge({"ended_before": before})
        purged_all, not_done, more = purged_all + part["purged"], part["not_done"], part["more"]
    if as_json:
        print_json({"purged": purged_all, "not_done": not_done})
    else:
        typer.echo(f"{purged_all} sessions were purged" + (f", {not_done} are not done yet." if not_done else "."))


def age(text: str) -> timedelta:
    """Read an age such as 30d.

    Raises:
        ConfigError: It is none.
    """
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if found is None:
        raise ConfigError(f"--older-than {text}: write a number and s, m, h, d or w, such as 30d.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
