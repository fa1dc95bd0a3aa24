from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from roomkeeper import __version__
from roomkeeper.control.app import create_app
from roomkeeper.control.assets import content_security_policy
from roomkeeper.control.config import ControlConfig

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    assets = tmp_path / "interview" / "assets"
    assets.mkdir(parents=True)
    (tmp_path / "interview" / "index.html").write_text("<!doctype html><title>Interview</title>")
    (assets / "index-abc123.js").write_text("1")
    return tmp_path


def client_of(pages: Path) -> TestClient:
    return TestClient(create_app(ControlConfig(dev=True, pages=pages)), base_url="http://localhost:8080")


def test_the_page_is_asked_for_anew_each_time(pages: Path) -> None:
    response = client_of(pages).get("/")
    assert response.status_code == 200
    assert "<title>Interview</title>" in response.text
    assert response.headers["cache-control"] == "no-cache"


def test_hashed_files_are_kept_for_ever(pages: Path) -> None:
    response = client_of(pages).get("/assets/index-abc123.js")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_a_missing_file_is_not_found_and_not_kept(pages: Path) -> None:
    response = client_of(pages).get("/assets/index-other.js")
    assert response.status_code == 404
    assert "immutable" not in response.headers.get("cache-control", "")


@pytest.mark.parametrize("path", ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/assets/%2e%2e/%2e%2e/secret"])
def test_nothing_outside_of_the_folder_is_served(pages: Path, path: str) -> None:
    (pages / "secret").write_text("secret")
    assert client_of(pages).get(path).status_code == 404


def test_a_page_may_run_its_own_files_and_reach_its_room_server_only(pages: Path) -> None:
    policy = client_of(pages).get("/").headers["content-security-policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == "'self'"
    assert directives["connect-src"] == "'self' ws://127.0.0.1:7880 http://127.0.0.1:7880"
    assert directives["frame-ancestors"] == "'none'"


def test_a_secure_room_server_is_reached_securely_only() -> None:
    policy = content_security_policy("wss://rooms.example.com")
    assert "connect-src 'self' wss://rooms.example.com https://rooms.example.com;" in policy


def test_the_microphone_is_for_the_page_alone_and_the_camera_for_nobody(pages: Path) -> None:
    headers = client_of(pages).get("/").headers
    assert "microphone=(self)" in headers["permissions-policy"]
    assert "camera=()" in headers["permissions-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_without_built_pages_the_answer_says_what_to_do(tmp_path: Path) -> None:
    client = client_of(tmp_path)
    response = client.get("/")
    assert response.status_code == 503
    assert "make setup" in response.text
    assert client.get("/readyz").status_code == 503


def test_health_and_readiness_are_told(pages: Path) -> None:
    client = client_of(pages)
    assert client.get("/healthz").json() == {"status": "ok", "version": __version__}
    assert client.get("/readyz").json() == {"status": "ok"}
