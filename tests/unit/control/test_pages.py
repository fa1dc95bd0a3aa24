"""The pages: what is served, and what they may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from roomkeeper import __version__
from roomkeeper.control.assets import content_security_policy
from tests.unit.control.serving import ADMIN, Site, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LARGE = "export const large = 1;\n" * 10_000
WAYS_OUT = ("/../secret", "/%2e%2e/secret", "/..%2fsecret", "/assets/%2e%2e/%2e%2e/secret", "/console/%2e%2e/secret")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Site]:
    for page in ("interview", "console"):
        assets = tmp_path / "pages" / page / "assets"
        assets.mkdir(parents=True)
        (assets.parent / "index.html").write_text(f"<!doctype html><title>{page}</title>")
        (assets / "index-abc123.js").write_text("1")
        (assets / "large-abc123.js").write_text(LARGE)
    (tmp_path / "pages" / "secret").write_text("secret")
    async with site(tmp_path, livekit_url="ws://inner:7880", livekit_public_url="ws://127.0.0.1:7880") as served:
        yield served


async def test_pages_are_asked_for_anew_and_hashed_files_are_kept_for_ever(served: Site) -> None:
    for path, title in (("/", "interview"), ("/console/", "console")):
        page = await served("GET", path)
        assert (page.status, page.headers["cache-control"]) == (200, "no-cache")
        assert f"<title>{title}</title>" in page.text
        script = await served("GET", f"{path}assets/index-abc123.js")
        assert (script.status, script.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        missing = await served("GET", f"{path}assets/index-other.js")
        assert missing.status == 404
        assert "immutable" not in missing.headers.get("cache-control", "")


async def test_pages_are_compressed_for_whoever_takes_that(served: Site) -> None:
    for path in ("/assets/large-abc123.js", "/console/assets/large-abc123.js"):
        for accepted, encoding in (("gzip, deflate", "gzip"), ("br", None), ("identity", None)):
            script = await served("GET", path, headers={"Accept-Encoding": accepted})
            assert (script.status, script.headers.get("content-encoding"), script.text) == (200, encoding, LARGE)
            assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert "accept-encoding" in script.headers["vary"].lower()
            known = {"If-None-Match": script.headers["etag"], "Accept-Encoding": accepted}
            assert (await served("GET", path, headers=known)).status == 304


async def test_what_may_hold_a_secret_is_not_compressed(served: Site) -> None:
    takes = {"Accept-Encoding": "gzip"}
    for path in ("/openapi.json", "/metrics", "/api/sessions", "/api/doctor"):
        assert "content-encoding" not in (await served("GET", path, by=ADMIN, headers=takes)).headers, path


async def test_nothing_outside_of_the_folder_is_served(served: Site) -> None:
    for path in WAYS_OUT:
        assert (path, (await served("GET", path)).status) == (path, 404)


async def test_a_page_may_run_its_own_files_and_reach_its_room_server_only(served: Site) -> None:
    headers = (await served("GET", "/")).headers
    directives = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == "'self'"
    assert directives["connect-src"] == "'self' ws://127.0.0.1:7880 http://127.0.0.1:7880"
    assert directives["frame-ancestors"] == "'none'"
    assert "microphone=(self)" in headers["permissions-policy"]
    assert "camera=()" in headers["permissions-policy"]


def test_a_secure_room_server_is_reached_securely_only() -> None:
    policy = content_security_policy("wss://rooms.example.com")
    assert "connect-src 'self' wss://rooms.example.com https://rooms.example.com;" in policy


async def test_every_answer_is_guarded_also_one_that_refuses(served: Site) -> None:
    for path in ("/", "/console/", "/healthz", "/metrics", "/api/sessions", "/nothing", "/openapi.json"):
        headers = (await served("GET", path)).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer", path
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path


async def test_without_built_pages_the_answer_says_what_to_do(tmp_path: Path) -> None:
    async with site(tmp_path, dev=True) as served:
        page = await served("GET", "/")
        assert page.status == 503
        assert "make setup" in page.text


async def test_health_and_readiness_are_told(served: Site) -> None:
    assert (await served("GET", "/healthz")).json == {"status": "ok", "version": __version__}
    assert (await served("GET", "/readyz")).json == {"status": "ok"}
    await served.plane.engine.dispose()
    served.plane.store.find = _refuse  # type: ignore[method-assign]
    assert (await served("GET", "/readyz")).status == 503


async def _refuse(name: str) -> None:
    raise OSError
