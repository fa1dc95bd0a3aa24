"""Access tokens: who is believed, what is read, what is written."""

from __future__ import annotations

import base64
import datetime as dt
import json
import time
from dataclasses import replace
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit import api
from livekit.protocol import agent, agent_dispatch, models, room

from roomkeeper.errors import InvalidToken
from roomkeeper.wire import tokens
from roomkeeper.wire.tokens import AgentGrants, Claims, SIPGrants, VideoGrants
from tests.unit.wire.anything import objects

KEYS = {"devkey": "secret", "other": "another-secret-that-is-long-enough-for-anyone"}
NOW = 1_800_000_000.0


def forge(payload: object, *, secret: str = KEYS["other"], algorithm: str = "HS256") -> str:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return jwt.PyJWS().encode(body, secret, algorithm=algorithm)


def payload_of(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return decoded


def test_a_token_of_livekit_api_is_read_in_full() -> None:
    dispatch = agent_dispatch.RoomAgentDispatch(agent_name="interviewer", metadata="m", attributes={"a": "1"})
    made = (
        api.AccessToken("other", KEYS["other"])
        .with_identity("ada")
        .with_name("Ada")
        .with_kind("sip")
        .with_metadata("{}")
        .with_attributes({"role": "candidate"})
        .with_room_preset("interview")
        .with_room_config(room.RoomConfiguration(empty_timeout=7, agents=[dispatch]))
        .with_grants(api.VideoGrants(room_join=True, room="r", can_publish_sources=["microphone"], hidden=True))
        .with_sip_grants(api.SIPGrants(call=True))
        .with_agent_grants(api.access_token.AgentGrants(admin=True))
        .with_ttl(dt.timedelta(minutes=5))
        .to_jwt()
    )
    now = time.time()
    claims = tokens.verify(made, KEYS, now=now)
    assert claims == Claims(
        api_key="other",
        identity="ada",
        name="Ada",
        kind=models.ParticipantInfo.SIP,
        video=VideoGrants(room_join=True, room="r", can_publish_sources=(models.TrackSource.MICROPHONE,), hidden=True),
        sip=SIPGrants(call=True),
        agent=AgentGrants(admin=True),
        metadata="{}",
        attributes={"role": "candidate"},
        room_config=room.RoomConfiguration(empty_timeout=7, agents=[dispatch]),
        room_preset="interview",
        issued_at=claims.issued_at,
        expires_at=claims.expires_at,
        digest=tokens.token_digest(made),
    )
    # livekit-api writes `nbf` and no `iat`.
    assert claims.issued_at is not None
    assert now - 2 <= claims.issued_at <= now
    assert claims.expires_at == claims.issued_at + 300
    assert made not in repr(claims)


def test_what_is_minted_is_understood_by_livekit_api() -> None:
    claims = Claims(
        api_key="other",
        identity="ada",
        name="Ada",
        kind=models.ParticipantInfo.AGENT,
        video=VideoGrants(room_join=True, room="r", can_publish=False, can_publish_data=True, room_admin=True),
        attributes={"role": "candidate"},
        room_config=room.RoomConfiguration(max_participants=3),
    )
    token = tokens.mint(claims, secret=KEYS["other"], now=time.time())
    read = api.TokenVerifier("other", KEYS["other"]).verify(token)
    assert (read.identity, read.name, read.kind, read.attributes) == ("ada", "Ada", "agent", {"role": "candidate"})
    assert read.video == api.VideoGrants(
        room_join=True, room="r", can_publish=False, can_publish_data=True, can_subscribe=True, room_admin=True
    )
    assert read.room_config == room.RoomConfiguration(max_participants=3)


@pytest.mark.filterwarnings("error")
def test_a_short_development_secret_signs_and_verifies_without_a_warning() -> None:
    token = tokens.mint(Claims(api_key="devkey", identity="ada"), secret="secret", now=NOW)
    assert tokens.verify(token, KEYS, now=NOW).identity == "ada"


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_video = st.builds(
    VideoGrants,
    **{
        name: st.booleans()
        for name in ("room_join", "room_admin", "can_publish", "can_subscribe", "can_publish_data", "hidden", "agent")
    },
    room=_texts,
    can_publish_sources=st.lists(st.sampled_from(models.TrackSource.values()), max_size=3).map(tuple),
)


@given(
    claims=st.builds(
        Claims,
        api_key=st.just("other"),
        identity=_texts,
        name=_texts,
        kind=st.sampled_from(models.ParticipantInfo.Kind.values()),
        kind_details=st.lists(st.sampled_from(models.ParticipantInfo.KindDetail.values()), max_size=2).map(tuple),
        video=_video,
        metadata=_texts,
        attributes=st.dictionaries(_texts, _texts, max_size=3),
        sha256=_texts,
    )
)
def test_every_claim_survives_minting_and_verifying(claims: Claims) -> None:
    token = tokens.mint(claims, secret=KEYS["other"], now=NOW, ttl=60)
    read = tokens.verify(token, KEYS, now=NOW)
    assert read == replace(claims, issued_at=NOW, expires_at=NOW + 60, digest=tokens.token_digest(token))


_CLAIMS = objects(
    "sub", "jti", "name", "kind", "kindDetails", "sip", "agent", "metadata", "roomPreset", "sha256", "nbf"
)
_OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "video": objects("roomJoin", "room", "canPublish", "canPublishData", "canPublishSources", "hidden"),
        "attributes": objects("a", "b"),
        "roomConfig": objects("name", "emptyTimeout", "agents", "metadata", "egress", "tags"),
    },
)


@given(claims=_CLAIMS, more=_OBJECTS)
def test_whatever_a_good_signature_claims_is_read_or_refused(claims: dict[str, Any], more: dict[str, Any]) -> None:
    token = forge({**claims, **more, "iss": "other", "exp": NOW + 60})
    try:
        read = tokens.verify(token, KEYS, now=NOW)
    except InvalidToken as refused:
        assert refused.detail  # noqa: PT017 - the other outcome is as good
        return
    if read.room_config == room.RoomConfiguration():
        read = replace(read, room_config=None)  # an empty one says nothing, and is not written
    again = tokens.verify(tokens.mint(read, secret=KEYS["other"], now=NOW, ttl=60), KEYS, now=NOW)
    assert replace(again, digest="", issued_at=None) == replace(read, digest="", issued_at=None)


@given(st.one_of(st.text(), st.tuples(st.text(), st.text(), st.text()).map(".".join), st.binary().map(forge)))
def test_whatever_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidToken):
        tokens.verify(token, KEYS, now=NOW)


def test_publishing_data_follows_publishing_unless_said() -> None:
    def video(**claims: object) -> VideoGrants:
        return tokens.verify(forge({"iss": "other", "exp": NOW + 1, "video": claims}), KEYS, now=NOW).video

    assert video() == VideoGrants(can_publish=True, can_subscribe=True, can_publish_data=True)
    assert not video(canPublish=False).can_publish_data
    assert video(canPublish=False, canPublishData=True).can_publish_data


def test_publish_sources_narrow_and_an_unknown_one_never_widens() -> None:
    unknown = forge({"iss": "other", "exp": NOW + 1, "video": {"canPublishSources": ["hologram"]}})
    video = tokens.verify(unknown, KEYS, now=NOW).video
    assert not video.may_publish(models.TrackSource.MICROPHONE)
    assert VideoGrants().may_publish(models.TrackSource.CAMERA)
    assert not VideoGrants(can_publish=False).may_publish(models.TrackSource.CAMERA)


def test_a_permission_replaces_what_it_speaks_of_and_reads_back_the_same() -> None:
    permission = models.ParticipantPermission(
        can_subscribe=True, can_publish_sources=["MICROPHONE"], can_update_metadata=True
    )
    changed = VideoGrants(room_join=True, room="r", hidden=True).with_permission(permission)
    assert changed == VideoGrants(
        room_join=True,
        room="r",
        can_publish=False,
        can_publish_data=False,
        can_publish_sources=(models.TrackSource.MICROPHONE,),
        can_update_own_metadata=True,
    )
    assert changed.permission() == permission


def test_claims_follow_what_changed_in_the_room() -> None:
    claims = Claims(identity="ada", name="Ada", metadata="old", video=VideoGrants(room="r", room_join=True))
    permission = models.ParticipantPermission(can_subscribe=True)
    assert claims.updated(name="A", metadata="new", attributes={"a": "b"}, permission=permission) == Claims(
        identity="ada",
        name="A",
        metadata="new",
        attributes={"a": "b"},
        video=VideoGrants(room="r", room_join=True, can_publish=False, can_publish_data=False),
    )


def test_the_jti_stands_in_for_a_missing_subject() -> None:
    assert tokens.verify(forge({"iss": "other", "exp": NOW + 1, "jti": "j"}), KEYS, now=NOW).identity == "j"


def test_an_unknown_kind_is_a_standard_participant() -> None:
    claims = tokens.verify(forge({"iss": "other", "exp": NOW + 1, "kind": "ghost"}), KEYS, now=NOW)
    assert claims.kind == models.ParticipantInfo.STANDARD


@pytest.mark.parametrize(
    ("claims", "dependent"),
    [
        (Claims(), False),
        (Claims(kind=models.ParticipantInfo.SIP, video=VideoGrants(hidden=True)), False),
        (Claims(kind=models.ParticipantInfo.AGENT), True),
        (Claims(kind=models.ParticipantInfo.EGRESS), True),
        (Claims(video=VideoGrants(agent=True)), True),
        (Claims(video=VideoGrants(recorder=True)), True),
    ],
)
def test_agents_and_recorders_depend_on_others(claims: Claims, *, dependent: bool) -> None:
    assert claims.dependent is dependent


def test_clocks_may_differ_by_a_minute_and_no_more() -> None:
    token = forge({"iss": "other", "exp": NOW + 10, "nbf": NOW})
    for now in (NOW - 60, NOW, NOW + 69.9):
        assert tokens.verify(token, KEYS, now=now).expires_at == NOW + 10
    with pytest.raises(InvalidToken, match="expired"):
        tokens.verify(token, KEYS, now=NOW + 70)
    with pytest.raises(InvalidToken, match="not valid yet"):
        tokens.verify(token, KEYS, now=NOW - 60.5)


_GOOD: dict[str, object] = {"iss": "other", "exp": NOW + 1}


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("", "not a JSON web token"),
        ("abc.def.ghi", "not a JSON web token"),
        ("\ud800.é.\x00", "not a JSON web token"),
        ("a" * (tokens.MAX_TOKEN_BYTES + 1), "longer than"),
        (forge([1]), "not a JSON web token"),
        (forge(b"\xff"), "not a JSON web token"),
        (forge(b'{"iss":"other","exp":NaN}'), "not a JSON web token"),
        (forge(b'{"iss":"other","exp":1,"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}"), "not a JSON web token"),
        (forge({"exp": NOW + 1}), "unknown here"),
        (forge({"iss": ["other"], "exp": NOW + 1}), "unknown here"),
        (forge({"iss": "nobody", "exp": NOW + 1}), "unknown here"),
        (forge(_GOOD, secret="wrong" * 10), "signature"),
        (forge(_GOOD, secret="wrong" * 20, algorithm="HS512"), "HS256"),
        (forge({"iss": "other"}), "no `exp`"),
        (forge(b'{"iss":"other","exp":1e999}'), "`exp`"),
        (forge({"iss": "other", "exp": "soon"}), "`exp`"),
        (forge({"iss": "other", "exp": True}), "`exp`"),
        (forge(_GOOD | {"iat": -1}), "`iat`"),
        (forge(_GOOD | {"sub": 7}), "`sub`"),
        (forge(_GOOD | {"name": "\ud800"}), "not Unicode"),
        (forge(_GOOD | {"attributes": {"\ud800": "x"}}), "not Unicode"),
        (forge(_GOOD | {"attributes": {"a": 1}}), "`a`"),
        (forge(_GOOD | {"video": 1}), "`video`"),
        (forge(_GOOD | {"video": {"roomJoin": "yes"}}), "`roomJoin`"),
        (forge(_GOOD | {"video": {"canPublishSources": "mic"}}), "`canPublishSources`"),
        (forge(_GOOD | {"roomConfig": {"emptyTimeout": "never"}}), "`roomConfig`"),
    ],
)
def test_a_bad_token_is_refused_in_words_that_do_not_hold_it(token: str, words: str) -> None:
    with pytest.raises(InvalidToken) as refused:
        tokens.verify(token, KEYS, now=NOW)
    assert words in refused.value.detail
    for part in token.split("."):
        assert not part or len(part) < 5 or part not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_an_unsigned_token_is_refused() -> None:
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    body = base64.urlsafe_b64encode(json.dumps(_GOOD).encode()).rstrip(b"=").decode()
    with pytest.raises(InvalidToken):
        tokens.verify(f"{header}.{body}.", KEYS, now=NOW)


def test_the_digest_is_the_same_for_every_spelling_of_a_signature() -> None:
    token = forge(_GOOD)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    respelled = token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]
    assert tokens.token_digest(respelled) == tokens.token_digest(token)
    assert tokens.token_digest(forge(_GOOD | {"sub": "x"})) != tokens.token_digest(token)


def test_a_refresh_token_keeps_who_and_what_but_no_side_grants() -> None:
    claims = Claims(
        api_key="other",
        identity="ada",
        name="Ada",
        kind=models.ParticipantInfo.SIP,
        kind_details=(models.ParticipantInfo.FORWARDED,),
        video=VideoGrants(room_join=True, room="r"),
        sip=SIPGrants(admin=True),
        agent=AgentGrants(admin=True),
        metadata="m",
        attributes={"a": "b"},
        room_config=room.RoomConfiguration(metadata="x"),
        room_preset="p",
        expires_at=NOW + 5000,
    )
    token = tokens.refresh(claims, keys=KEYS, now=NOW)
    assert tokens.verify(token, KEYS, now=NOW) == replace(
        claims, kind_details=(), sip=SIPGrants(), agent=AgentGrants(), issued_at=NOW, digest=tokens.token_digest(token)
    )


@pytest.mark.parametrize(("remaining", "life"), [(5000, 5000), (30, 600), (-100, 600)])
def test_a_refresh_token_lives_ten_minutes_at_least(remaining: float, life: float) -> None:
    claims = Claims(api_key="gone", identity="ada", expires_at=NOW + remaining)
    read = tokens.verify(tokens.refresh(claims, keys=KEYS, now=NOW), KEYS, now=NOW)
    assert read.expires_at == NOW + life
    assert read.api_key == "devkey"  # the key it came by was taken away


def test_the_token_of_a_job_lets_an_agent_in_for_an_hour() -> None:
    answer = agent.AvailabilityResponse(
        participant_identity="agent-1",
        participant_name="Bob",
        participant_metadata="m",
        participant_attributes={"a": "b", "lk.agent_name": "forged"},
    )
    token = tokens.mint_agent(
        room_name="r",
        agent_name="interviewer",
        answer=answer,
        permission=models.ParticipantPermission(can_subscribe=True, can_publish=True, hidden=True),
        keys=KEYS,
        now=NOW,
    )
    assert tokens.verify(token, KEYS, now=NOW) == Claims(
        api_key="devkey",
        identity="agent-1",
        name="Bob",
        kind=models.ParticipantInfo.AGENT,
        video=VideoGrants(room_join=True, room="r", agent=True, hidden=True, can_publish_data=False),
        metadata="m",
        attributes={"a": "b", "lk.agent_name": "interviewer"},
        issued_at=NOW,
        expires_at=NOW + 3600,
        digest=tokens.token_digest(token),
    )
    assert payload_of(token)["kind"] == "agent"
