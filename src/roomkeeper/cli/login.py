"""`roomkeeper login`: links and tokens, signed here with LiveKit's key and secret."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from roomkeeper.cli.remote import Remote, Url


def login(
    *,
    room: Annotated[str, typer.Option(help="Only the sessions of this room; with --invite, the room.")] = "",
    token: Annotated[
        bool, typer.Option("--token", help="Print an administrator's token of 8 hours instead of a link.")
    ] = False,
    invite: Annotated[str, typer.Option(metavar="IDENTITY", help="Print a user's link to the interview page.")] = "",
    name: Annotated[str, typer.Option(help="With --invite: the user's name.")] = "",
    agent: Annotated[str, typer.Option(help="With --invite: the agent. [default: the control plane's]")] = "",
    ttl: Annotated[float | None, typer.Option(help="Seconds it lives. [default: 600, 8 h a token, 24 h an invite]")] = (
        None
    ),
    url: Url = None,
) -> None:
    """Print a link that signs in to the console; whoever has it is an operator for some minutes."""
    from roomkeeper.wire.signin import CONSOLE_TTL, INVITE_TTL, SIGN_IN_TTL, Invite, admin_token, sign_in
    from roomkeeper.wire.signin import invite as sign_invite

    remote = Remote.of_process(url)
    base, now = remote.url.rstrip("/"), time.time()
    key, secret = remote.api_key, remote.api_secret
    # What follows `#` is not sent to any server, so it ends in no log on the way.
    if invite:
        to = Invite(invite, agent, room, name)
        signed = sign_invite(to, api_key=key, secret=secret, now=now, ttl=ttl or INVITE_TTL)
        typer.echo(f"{base}/#invite={signed}")
    elif token:
        typer.echo(admin_token(api_key=key, secret=secret, now=now, room=room, ttl=ttl or CONSOLE_TTL))
    else:
        signed = sign_in(api_key=key, secret=secret, now=now, room=room, ttl=ttl or SIGN_IN_TTL)
        typer.echo(f"{base}/console/#token={signed}")
