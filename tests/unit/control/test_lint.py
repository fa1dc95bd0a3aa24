"""Contradictory settings are found, each once, with its fix; sensible ones are left in peace."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from roomkeeper.control.config import ControlConfig, read_adopters
from roomkeeper.control.lint import Complaint, Level, lint
from roomkeeper.settings import Sources, load

GOOD = """
[control]
livekit_url = "wss://livekit.example.com"
api_key = "APIx"
api_secret = "0123456789abcdef0123456789abcdef"
database = "postgresql://db/roomkeeper"
report_url = "https://backend.example.com/reports"
report_secret = "whsec_c2VjcmV0"

[agents.interviewer.policy]
hold = { web = 300, sip = 0 }
time_limit = 3600
"""
SERVER = {
    "webhooks": ["https://rooms.example.com/webhooks/livekit"],
    "departure_timeout": 300,
    "keys": {"APIx": "x", "devkey": "x"},
}
PAIR = 'api_key = "APIx"\napi_secret = "0123456789abcdef0123456789abcdef"'


def complaints(settings: str, livekit: dict[str, Any] | None = None, **more: int) -> list[Complaint]:
    file = tomllib.loads(settings)
    config = load(ControlConfig, "control", flags={}, sources=Sources({}, file))
    return lint(config, read_adopters(file, config.agent), livekit=SERVER if livekit is None else livekit, **more)


def test_sensible_settings_are_left_in_peace() -> None:
    assert complaints(GOOD, replicas=3) == []


@pytest.mark.parametrize(
    ("old", "new", "level", "where"),
    [
        ("postgresql://db/roomkeeper", "sqlite:///x.db", "error", "control.database"),
        (PAIR, 'api_key = "devkey"\napi_secret = "secret"', "error", "control.api_key"),
        ("wss://livekit", "ws://livekit", "warning", "control.livekit_url"),
        ("[control]", '[control]\nlivekit_public_url = "ws://a.example.com"', "warning", "control.livekit_public_url"),
        ("[control]", '[control]\ndev = true\nhost = "0.0.0.0"', "error", "control.dev"),
        ("https://backend", "http://backend", "warning", "control.report_url"),
        ("[control]", '[control]\nreceivers = { "https://b.example.com" = "" }', "error", "control.receivers"),
        ("[control]", "[control]\ntoken_ttl = 3600", "error", "control.token_ttl"),
        ("web = 300", "web = 301", "warning", "agents.interviewer.policy.hold.web"),
        ("web = 300", "web = 1", "warning", "agents.interviewer.policy.hold.web"),
        ("sip = 0", "sip = 60", "warning", "agents.interviewer.policy.sip.hold.sip"),
        ("time_limit = 3600", "time_limit = 100", "error", "agents.interviewer.policy.time_limit.warn"),
        ("time_limit = 3600", "time_limit = 150\naway.after = 200", "note", "agents.interviewer.policy.away.after"),
        ("time_limit = 3600", "linger = 1", "warning", "agents.interviewer.policy.linger"),
        ("time_limit = 3600", "agent_timeout = 5", "warning", "agents.interviewer.policy.agent_timeout"),
        ("time_limit = 3600", 'record = "audio"', "warning", "agents.interviewer.policy.record"),
        ("time_limit = 3600", "join_timeout = 900", "note", "agents.interviewer.policy.join_timeout"),
    ],
)
def test_a_contradiction_is_found_once(old: str, new: str, level: str, where: str) -> None:
    assert old in GOOD
    found = complaints(GOOD.replace(old, new), replicas=3)
    hits = [each for each in found if where in each.where and each.level == level]
    assert len(hits) == 1, found
    assert hits[0].what
    assert hits[0].fix
    assert all(each.level is not Level.ERROR for each in found if each not in hits)


@pytest.mark.parametrize(
    ("livekit", "where"),
    [
        ({"departure_timeout": 300}, "webhook.urls of livekit-server"),
        ({**SERVER, "webhooks": ["https://elsewhere/hooks"]}, "webhook.urls of livekit-server"),
        ({**SERVER, "webhook_key": "APIy"}, "webhook.api_key of livekit-server"),
        ({**SERVER, "keys": {"APIy": "x"}}, "control.api_key"),
    ],
)
def test_livekits_own_settings_are_compared(livekit: dict[str, Any], where: str) -> None:
    assert [each.where for each in complaints(GOOD, livekit)] == [where]


def test_a_hold_is_compared_with_livekits_default_where_its_settings_are_unknown() -> None:
    file = tomllib.loads(GOOD)
    config = load(ControlConfig, "control", flags={}, sources=Sources({}, file))
    [hold] = lint(config, read_adopters(file))
    assert "(20 s)" in hold.what
    assert "room.departure_timeout: 300" in hold.fix


def test_no_secret_is_quoted() -> None:
    broken = GOOD.replace("wss:", "ws:").replace("[control]", "[control]\ntoken_ttl = 1")
    text = str(complaints(broken))
    assert "whsec_c2" not in text
    assert "0123456789abcdef" not in text
