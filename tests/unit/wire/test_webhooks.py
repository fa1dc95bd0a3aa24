"""Webhooks on the wire: what the SDK's receiver believes, and whom ours does not."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit import api
from livekit.protocol import models, webhook

from roomkeeper.errors import InvalidToken
from roomkeeper.wire import tokens, webhooks
from roomkeeper.wire.tokens import Claims, VideoGrants
from tests.unit.wire.anything import JSON, objects

KEYS = {"devkey": "secret", "other": "another-secret-that-is-long-enough-for-anyone"}
EVENT = webhook.WebhookEvent(
    event="participant_joined",
    id="EV_1",
    created_at=1_800_000_000,
    room=models.Room(name="Zürich", sid="RM_1", creation_time=1_800_000_000, num_participants=1),
    participant=models.ParticipantInfo(identity="ada", kind=models.ParticipantInfo.SIP),
)
NOW = 1_800_000_000.0


def test_the_body_is_camel_case_without_defaults_and_with_long_numbers_as_strings() -> None:
    assert json.loads(webhooks.encode(EVENT)) == {
        "event": "participant_joined",
        "id": "EV_1",
        "createdAt": "1800000000",
        "room": {"name": "Zürich", "sid": "RM_1", "creationTime": "1800000000", "numParticipants": 1},
        "participant": {"identity": "ada", "kind": "SIP"},
    }


def test_the_receiver_of_livekit_api_believes_what_is_signed_here() -> None:
    body = webhooks.encode(EVENT)
    authorization = webhooks.sign(body, api_key="other", secret=KEYS["other"], now=time.time())
    receiver = api.WebhookReceiver(api.TokenVerifier("other", KEYS["other"]))
    assert receiver.receive(body.decode(), authorization) == EVENT


def test_what_is_signed_here_is_received_here_for_five_minutes() -> None:
    body = webhooks.encode(EVENT)
    authorization = webhooks.sign(body, api_key="devkey", secret="secret", now=NOW)
    assert webhooks.receive(body, authorization, KEYS, now=NOW + 300) == EVENT
    assert webhooks.receive(body, f"Bearer {authorization}", KEYS, now=NOW) == EVENT
    with pytest.raises(InvalidToken, match="expired"):
        webhooks.receive(body, authorization, KEYS, now=NOW + 360)


def test_another_body_under_a_good_signature_is_refused() -> None:
    authorization = webhooks.sign(webhooks.encode(EVENT), api_key="devkey", secret="secret", now=NOW)
    with pytest.raises(InvalidToken, match="hash"):
        webhooks.receive(b"{}", authorization, KEYS, now=NOW)


def test_a_good_token_that_is_no_webhooks_is_refused() -> None:
    token = tokens.mint(
        Claims(api_key="devkey", identity="ada", video=VideoGrants(room_join=True, room="r")), secret="secret", now=NOW
    )
    for body in (b"", webhooks.encode(EVENT)):
        with pytest.raises(InvalidToken, match="hash"):
            webhooks.receive(body, token, KEYS, now=NOW)


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"room": 1}', b"[" * 5000])
def test_a_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    authorization = webhooks.sign(body, api_key="devkey", secret="secret", now=NOW)
    with pytest.raises(webhooks.InvalidWebhook):
        webhooks.receive(body, authorization, KEYS, now=NOW)


@given(
    st.one_of(
        st.binary(),
        JSON.map(lambda said: json.dumps(said).encode()),
        objects("event", "id", "createdAt", "room", "participant", "egressInfo").map(lambda s: json.dumps(s).encode()),
        st.fixed_dictionaries(
            {"participant": objects("identity", "kind", "attributes", "permission", "state", "tracks")}
        ).map(lambda said: json.dumps(said).encode()),
    )
)
def test_whatever_is_signed_is_an_event_or_refused(body: bytes) -> None:
    authorization = webhooks.sign(body, api_key="devkey", secret="secret", now=NOW)
    try:
        event = webhooks.receive(body, authorization, KEYS, now=NOW)
    except webhooks.InvalidWebhook:
        return
    again = webhooks.encode(event)
    authorization = webhooks.sign(again, api_key="devkey", secret="secret", now=NOW)
    assert webhooks.receive(again, authorization, KEYS, now=NOW) == event


def test_a_field_of_a_newer_protocol_does_no_harm() -> None:
    body = b'{"event": "room_started", "newField": {"a": 1}}'
    authorization = webhooks.sign(body, api_key="devkey", secret="secret", now=NOW)
    assert webhooks.receive(body, authorization, KEYS, now=NOW).event == "room_started"
