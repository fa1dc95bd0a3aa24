"""The policy: defaults, spelling, layers, and errors that say what to do."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from roomkeeper.errors import ConfigError
from roomkeeper.lifecycle.policy import SETTINGS, EndsForAll, Kind, Policies, Policy, plain, read_policy
from roomkeeper.lifecycle.reasons import REASONS, Reason


def test_the_defaults_are_those_of_the_contract() -> None:
    assert plain(read_policy()) == {
        "hold.web": 300,
        "hold.sip": 0,
        "hold.other": 60,
        "join_timeout": 300,
        "agent_timeout": 20,
        "recover.attempts": 3,
        "recover.window": 600,
        "away.after": 15,
        "away.checks": 3,
        "away.every": 10,
        "away.say": "",
        "time_limit": None,
        "time_limit.warn": [120, 30],
        "linger": 3,
        "ends_for_all": "host",
        "counts": ["web", "sip", "other"],
        "reuse": "by_origin",
        "record": "none",
        "message": {},
    }


def test_keys_may_be_nested_or_dotted() -> None:
    written = tomllib.loads("""
        linger = 5
        "time_limit.warn" = [30, 300, 30]
        hold.web = 10
        ends_for_all = "anyone"
        [recover]
        attempts = 1
        [message]
        completed = "Done."
        [message.user_left]
        de = "Bis bald."
    """)

    policy = read_policy(written)

    assert (policy.linger, policy.time_limit_warn, policy.hold_web) == (5, (300, 30), 10)
    assert (policy.recover_attempts, policy.ends_for_all) == (1, EndsForAll.ANYONE)
    assert policy.message == {"completed": {"en": "Done."}, "user_left": {"de": "Bis bald."}}


def test_what_is_written_out_reads_back_equal() -> None:
    policy = read_policy({"message.completed.de": "Fertig.", "counts": ["identity:host"], "time_limit": 60.5})

    assert read_policy(plain(policy)) == policy


@pytest.mark.parametrize(
    ("layer", "complaint"),
    [
        ({"hold.wbe": 1}, "hold.wbe is not a setting; did you mean hold.web?"),
        ({"hold": {"sipp": 1}}, "hold.sipp is not a setting; did you mean hold.sip?"),
        ({"zzz": 1}, "zzz is not a setting"),
        ({"hold": 5}, "hold is not a setting"),
        ({"hold.web": -1}, "hold.web = -1: expected seconds, a number of zero or more"),
        ({"hold.web": True}, "hold.web = True: expected seconds"),
        ({"hold.web": float("inf")}, "hold.web = inf: expected seconds"),
        ({"hold.web": 1e10}, "hold.web = 10000000000.0: expected seconds, a number of zero or more, at most a hundred"),
        ({"hold.web": "10"}, "hold.web = '10': expected seconds"),
        ({"time_limit": "never"}, "time_limit = 'never': expected seconds, a number of zero or more, or 'none'"),
        ({"time_limit.warn": 30}, "time_limit.warn = 30: expected a list of seconds, such as [120, 30]"),
        ({"time_limit.warn": ["x"]}, "time_limit.warn = ['x']: expected seconds"),
        ({"recover.attempts": 1.5}, "recover.attempts = 1.5: expected a whole number of zero or more"),
        ({"away.say": 3}, "away.say = 3: expected a text"),
        ({"counts": []}, "counts = []: expected a list of texts with at least one entry"),
        ({"counts": [1]}, "counts = [1]: expected a text"),
        ({"reuse": "always"}, "reuse = 'always': expected one of never, after_end, by_origin"),
        ({"message": "Bye"}, "message = 'Bye': expected a table of texts by reason"),
        ({"message.complete": "Bye"}, "complete is not a setting; did you mean completed?"),
        ({"message.completed.de": 3}, "expected a text"),
    ],
)
def test_a_mistake_is_named_with_its_cure(layer: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_policy(layer)

    assert complaint in str(caught.value)


def test_none_is_never() -> None:
    assert read_policy({"time_limit": 60}, {"time_limit": "none"}).time_limit is None
    assert read_policy({"away.after": "none"}).away_after is None


def test_later_layers_win_key_by_key() -> None:
    policies = Policies(
        common={"hold": {"web": 100}, "linger": 1, "sip": {"time_limit": 60}},
        agents={"interviewer": {"linger": 2, "sip": {"time_limit": 90}, "web": {"join_timeout": 7}}},
    )

    on_the_phone = policies.resolve("interviewer", Kind.SIP, {"hold.sip": 4})
    on_the_web = policies.resolve("interviewer", Kind.WEB)
    another = policies.resolve("receptionist", Kind.SIP)

    assert (on_the_phone.hold_web, on_the_phone.linger, on_the_phone.time_limit, on_the_phone.hold_sip) == (
        100,
        2,
        90,
        4,
    )
    assert (on_the_web.time_limit, on_the_web.join_timeout) == (None, 7)
    assert (another.linger, another.time_limit) == (1, 60)


def test_messages_are_merged_too() -> None:
    policy = read_policy({"message.completed": "Done."}, {"message": {"completed": {"de": "Fertig."}}})

    assert policy.message == {"completed": {"en": "Done.", "de": "Fertig."}}


def test_every_layer_is_checked_at_the_start() -> None:
    Policies(common={"linger": 1}, agents={"a": {"web": {"linger": 2}}}).check()
    with pytest.raises(ConfigError, match="lingr is not a setting"):
        Policies(agents={"a": {"sip": {"lingr": 2}}}).check()
    with pytest.raises(ConfigError, match="web = 3: write a table of settings"):
        Policies(common={"web": 3}).check()


def test_the_user_reads_the_policys_words_in_their_language_or_english_or_the_tables() -> None:
    policy = read_policy({"message": {"completed": {"de": "Fertig.", "en": "Done."}, "removed": {"de": "Weg."}}})

    assert policy.words(Reason.COMPLETED, "de") == "Fertig."
    assert policy.words(Reason.COMPLETED, "fr") == "Done."
    assert policy.words(Reason.REMOVED, "fr") == REASONS[Reason.REMOVED].message
    assert policy.words(Reason.USER_LEFT) == REASONS[Reason.USER_LEFT].message


def test_the_hold_depends_on_the_kind() -> None:
    policy = read_policy({"hold": {"web": 1, "sip": 2, "other": 3}})

    assert [policy.hold_for(kind) for kind in Kind] == [1, 2, 3]


def test_who_counts_by_kind_and_by_name() -> None:
    policy = read_policy({"counts": ["sip", "identity:host-*"]})

    assert policy.counts_for("caller", Kind.SIP, hidden=False)
    assert not policy.counts_for("caller", Kind.SIP, hidden=True)
    assert not policy.counts_for("guest", Kind.WEB, hidden=False)
    assert policy.counts_for("host-1", Kind.WEB, hidden=True)


def test_every_attribute_of_the_policy_is_documented() -> None:
    assert {line.name for line in SETTINGS.values()} == set(Policy.__slots__)
    assert all(line.meaning for line in SETTINGS.values())
