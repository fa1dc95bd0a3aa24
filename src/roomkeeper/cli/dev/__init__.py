"""`roomkeeper dev`: room server, interviewer and page on this machine, under one address.

```
plan        what runs, on which ports        supervisor  starts, watches, stops
child       one process and its descendants  janitor     stops them if `dev` itself is killed
output      the terminal                     probes      is it ready?
```
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

PACKAGES_OF_THE_PARTS = (
    "aiortc",
    "starlette",
    "sqlalchemy",
    "alembic",
    "livekit.agents",
    "moonshine_voice",
    "espeakng_loader",
)
"""Said to be missing here once, instead of by each part in its own words."""


def dev(
    *,
    host: Annotated[str | None, typer.Option(help="A loopback address. [default: 127.0.0.1]")] = None,
    port: Annotated[
        int | None, typer.Option("--port", "--page-port", help="The page to open. [default: 8080, or a free one]")
    ] = None,
    sfu_port: Annotated[int | None, typer.Option(help="Room server. [default: 7880, or a free one]")] = None,
    udp_port: Annotated[int | None, typer.Option(help="Its media. [default: 7882, or a free one]")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keeps the sessions. [default: forgotten with this run]")
    ] = None,
    stock: Annotated[
        bool | None, typer.Option("--stock", help="The same example without Roomkeeper, to compare.")
    ] = None,
    open_page: Annotated[bool | None, typer.Option("--open/--no-open", help="Open the page in the browser.")] = None,
) -> None:
    """Run everything on this machine: room server, control plane, example interviewer. Ctrl-C stops it all."""
    import tempfile

    from roomkeeper.cli.dev.plan import DevSettings, plan
    from roomkeeper.cli.dev.supervisor import run
    from roomkeeper.cli.extras import require
    from roomkeeper.settings import Sources, load

    require("demo", *PACKAGES_OF_THE_PARTS)
    ports = {"port": port, "sfu_port": sfu_port, "udp_port": udp_port}
    flags = {"host": host, **ports, "open": open_page, "data": data, "stock": stock}
    settings = load(DevSettings, "dev", flags=flags, sources=Sources.of_process())
    with tempfile.TemporaryDirectory(prefix="roomkeeper-dev-") as folder:
        asyncio.run(run(plan(settings, settings.data or Path(folder)), open_page=settings.open))
