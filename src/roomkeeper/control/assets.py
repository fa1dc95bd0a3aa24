"""The built pages, with the headers that keep them to this machine's servers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.responses import Response
    from starlette.types import Scope

NOT_BUILT = "The pages are not built. Run `make setup` in the checkout, or install the wheel, which has them.\n"


def content_security_policy(livekit_url: str, *, framed: bool = False) -> str:
    """Return the policy of a page that runs its own files only and speaks to one LiveKit server.

    Args:
        livekit_url: The server's WebSocket URL. The client also asks the same host over HTTP why a connection failed.
        framed: Whether pages of this server may show each other in a frame: the panel of `roomkeeper dev` does.
    """
    url = urlsplit(livekit_url)
    secure = url.scheme in {"wss", "https"}
    server = f"{'wss' if secure else 'ws'}://{url.netloc} {'https' if secure else 'http'}://{url.netloc}"
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "font-src 'self'",
            "media-src 'self' blob:",
            "manifest-src 'self'",
            f"connect-src 'self' {server}",
            "base-uri 'none'",
            "form-action 'none'",
            *(("frame-src 'self'", "frame-ancestors 'self'") if framed else ("frame-ancestors 'none'",)),
        )
    )


class Page(StaticFiles):
    """One built page: hashed files are kept for ever, the page itself is asked for anew.

    Args:
        folder: Where it was built.
        livekit_url: The server that it may speak to.
        framed: See `content_security_policy`.
    """

    def __init__(self, folder: Path, livekit_url: str, *, framed: bool = False) -> None:
        super().__init__(directory=folder, html=True, check_dir=False)
        self._folder = folder
        self._headers = {
            "Content-Security-Policy": content_security_policy(livekit_url, framed=framed),
            "Permissions-Policy": "microphone=(self), autoplay=(self), speaker-selection=(self), camera=(), "
            "display-capture=(), geolocation=()",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }

    @property
    def built(self) -> bool:
        """Tell whether there is a page to serve."""
        return (self._folder / "index.html").is_file()

    async def check_config(self) -> None:
        """Let the folder be missing: `get_response` says what to do about that."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer with the file at `path`, or with advice when nothing was built."""
        if not self.built:
            return PlainTextResponse(NOT_BUILT, 503)
        response = await super().get_response(path, scope)
        hashed = path.startswith("assets/")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if hashed else "no-cache"
        response.headers.update(self._headers)
        return response
