"""Takes reports of Roomkeeper: verified, and each once."""

from __future__ import annotations

import os

from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request  # noqa: TC002 - an example stays short
from starlette.responses import Response
from starlette.routing import Route

SECRET = os.environ["REPORT_SECRET"]
taken: set[str] = set()  # yours: a unique column, written in the transaction that uses the report


async def reports(request: Request) -> Response:
    """Verify, then take once; anything but 2xx is sent again for three days."""
    try:
        event = Webhook(SECRET).verify(await request.body(), dict(request.headers))
    except WebhookVerificationError:
        return Response(status_code=401)
    if request.headers["webhook-id"] not in taken:
        taken.add(request.headers["webhook-id"])
        print(event["type"], event["data"]["session"], event["data"]["reason"], flush=True)  # noqa: T201 - yours
    return Response(status_code=204)


app = Starlette(routes=[Route("/reports", reports, methods=["POST"])])
