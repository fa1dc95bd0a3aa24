"""The application's backend in a process of its own: `python -m tests.chaos.receiver PORT FILE`.

It verifies every post, and does what a receiver has to do once for each `webhook-id`: it writes a line into its file,
before it answers. A `webhook-id` that the file has already has no second effect, whoever was killed in between.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook

from tests.chaos.planes import REPORT_SECRET


class Backend:
    """Verifies, de-duplicates, writes down.

    Args:
        file: One JSON object a line: `id`, `body` (its digest), and of a first post its `session`, `revision`, `reason`
            and `said`; of a repetition `again`; of a post that is not believed `refused`.
    """

    def __init__(self, file: Path) -> None:
        self._out = os.open(file, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        lines = map(json.loads, file.read_text().splitlines())
        self._known = {line["id"] for line in lines if "session" in line}

    async def take(self, request: web.Request) -> web.Response:
        """Take a post."""
        body = await request.read()
        name = request.headers.get("webhook-id", "")
        about = {"id": name, "body": hashlib.sha256(body).hexdigest()}
        try:
            message = Webhook(REPORT_SECRET).verify(body, dict(request.headers))
        except Exception as error:  # noqa: BLE001 - whatever it is, the verdict has to tell it
            self._write(about | {"refused": repr(error)})
            return web.Response(status=401)
        if name in self._known:
            self._write(about | {"again": True})
        else:
            report = message["data"]
            told = {key: report[key] for key in ("session", "revision", "reason")}
            texts = [item["text"] for item in report["items"] if item.get("role") == "user"]
            self._write(about | told | {"said": texts})
            self._known.add(name)
        return web.Response(status=204)

    def _write(self, line: dict[str, Any]) -> None:
        os.write(self._out, json.dumps(line).encode() + b"\n")


def main(port: int, file: Path) -> None:
    """Serve until killed."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/reports", Backend(file).take)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
