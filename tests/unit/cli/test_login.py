"""Links and tokens that `roomkeeper login` signs, and ages that `roomkeeper purge` reads."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from roomkeeper.cli import app
from roomkeeper.cli.purge import age
from roomkeeper.errors import ConfigError
from roomkeeper.wire.signin import SIGN_IN, Invite, invite_in
from roomkeeper.wire.tokens import Claims, VideoGrants, verify

ENVIRONMENT = {"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "a-secret-of-enough-length-for-hs256"}
URL = "https://rooms.example.com/"


def login(*arguments: str) -> str:
    ran = CliRunner().invoke(app, ["login", "--url", URL, *arguments], env=ENVIRONMENT)
    assert ran.exit_code == 0, ran.output
    return ran.output.strip()


def claims_of(token: str) -> Claims:
    return verify(token, {"key": ENVIRONMENT["LIVEKIT_API_SECRET"]}, now=time.time())


def test_the_link_holds_an_administrators_token_of_minutes_where_no_server_sees_it() -> None:
    address, _, fragment = login().partition("#")
    claims = claims_of(fragment.removeprefix("token="))
    assert address == "https://rooms.example.com/console/"
    assert claims.video == VideoGrants(room_admin=True)
    assert SIGN_IN in claims.attributes
    assert claims.expires_at - time.time() <= 600


def test_a_token_for_scripts_cannot_be_prolonged_and_may_be_for_one_room() -> None:
    claims = claims_of(login("--token", "--room", "tea", "--ttl", "60"))
    assert claims.video == VideoGrants(room_admin=True, room="tea")
    assert SIGN_IN not in claims.attributes
    assert claims.expires_at - time.time() <= 60


def test_an_invite_is_a_link_to_the_interview_page_and_grants_nothing() -> None:
    address, _, fragment = login("--invite", "ann", "--name", "Ann", "--room", "tea").partition("#")
    claims = claims_of(fragment.removeprefix("invite="))
    assert address == URL
    assert claims.video == VideoGrants()
    assert invite_in(claims) == Invite("ann", room="tea", name="Ann")


@pytest.mark.parametrize(("text", "meant"), [("90s", timedelta(seconds=90)), ("30d", timedelta(days=30))])
def test_an_age_is_a_number_with_a_unit(text: str, meant: timedelta) -> None:
    assert age(text) == meant


@pytest.mark.parametrize("text", ["", "30", "d", "-3d", "3y", "3.5h", "1e9d"])
def test_an_age_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="such as 30d"):
        age(text)


@pytest.mark.parametrize("arguments", [[], ["S_1", "--older-than", "3d"]])
def test_purging_needs_one_thing_to_purge(arguments: list[str]) -> None:
    ran = CliRunner().invoke(app, ["purge", *arguments])
    assert ran.exit_code == 1
    assert "Give the id of a session, or --older-than." in str(ran.exception)
