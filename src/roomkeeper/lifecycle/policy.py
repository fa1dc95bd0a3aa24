"""The policy: every number and choice an operator may set, with unit, default and meaning, in this one place.

1. A policy is read once, when its session opens, and stays with it; changing a file never changes a running session.
2. Later layers win, key by key: defaults, `policy`, `policy.<kind>`, the agent's own, the agent's own for the kind,
   what the API call says. `<kind>` is web, sip or other.
3. Keys are dotted (`hold.web`); in TOML and JSON they may be nested (`[policy.hold]`, `web = 300`) or spelled whole.
4. Durations are seconds, whole or not. `none` (TOML has no null) means: never.

`docs/reference/policy.md` is generated from this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, assert_never

from roomkeeper.errors import ConfigError
from roomkeeper.lifecycle import parse
from roomkeeper.lifecycle.reasons import REASONS, Reason

if TYPE_CHECKING:
    from collections.abc import Callable


class Kind(StrEnum):
    """Participants by how they are to be treated; LiveKit's own kinds are finer."""

    WEB = "web"
    SIP = "sip"
    OTHER = "other"


class EndsForAll(StrEnum):
    """Who may end the session for everybody by pressing End."""

    HOST = "host"
    ANYONE = "anyone"
    NOBODY = "nobody"


class Reuse(StrEnum):
    """Whether the room's name may be used again once its session ended."""

    NEVER = "never"
    AFTER_END = "after_end"
    BY_ORIGIN = "by_origin"


class Record(StrEnum):
    """What is recorded of a session."""

    NONE = "none"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one session goes by. Attributes are the keys of `SETTINGS` with underscores; durations are seconds."""

    hold_web: float = 300
    hold_sip: float = 0
    hold_other: float = 60
    join_timeout: float = 300
    agent_timeout: float = 20
    recover_attempts: int = 3
    recover_window: float = 600
    away_after: float | None = 15
    away_checks: int = 3
    away_every: float = 10
    away_say: str = ""
    time_limit: float | None = None
    time_limit_warn: tuple[float, ...] = (120, 30)
    linger: float = 3
    ends_for_all: EndsForAll = EndsForAll.HOST
    counts: tuple[str, ...] = ("web", "sip", "other")
    reuse: Reuse = Reuse.BY_ORIGIN
    record: Record = Record.NONE
    message: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def hold_for(self, kind: Kind) -> float:
        """How many seconds to wait for a participant of this kind to return."""
        match kind:
            case Kind.WEB:
                return self.hold_web
            case Kind.SIP:
                return self.hold_sip
            case Kind.OTHER:
                return self.hold_other
            case _:
                assert_never(kind)

    def counts_for(self, identity: str, kind: Kind, *, hidden: bool) -> bool:
        """Say whether a participant keeps the session alive."""
        by_name = any(
            fnmatchcase(identity, entry.removeprefix(_IDENTITY)) for entry in self.counts if entry.startswith(_IDENTITY)
        )
        return by_name or (kind in self.counts and not hidden)

    def words(self, reason: Reason, language: str = "en") -> str:
        """What the user reads at the end: the policy's words for the language, its English ones, else the table's."""
        own = self.message.get(reason, {})
        return own.get(language) or own.get("en") or REASONS[reason].message


_IDENTITY: Final = "identity:"


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the policy as the operator sees it.

    Attributes:
        key: Dotted name.
        read: Checks and converts a plain value; raises ValueError saying what was expected.
        unit: "s" for seconds, empty where there is none.
        meaning: What it does.
    """

    key: str
    read: Callable[[object], object]
    unit: str
    meaning: str

    @property
    def name(self) -> str:
        """Its attribute of `Policy`."""
        return self.key.replace(".", "_")


_LINES = (
    Setting("hold.web", parse.seconds, "s", "how long to wait for web and mobile users who left or were lost"),
    Setting("hold.sip", parse.seconds, "s", "the same for callers; 0: a hang-up ends the session"),
    Setting("hold.other", parse.seconds, "s", "the same for all other kinds"),
    Setting("join_timeout", parse.seconds, "s", "how long to wait for the first user"),
    Setting("agent_timeout", parse.seconds, "s", "how long a user waits for an agent, at first and at each recovery"),
    Setting("recover.attempts", parse.count, "", "lost agents replaced within the window; 0: never replaced"),
    Setting("recover.window", parse.seconds, "s", "the window in which those attempts are counted"),
    Setting("away.after", parse.seconds_or_none, "s", "silence until the first check-in; none: no check-ins"),
    Setting("away.checks", parse.count, "", "check-ins before the session ends as `user_away`"),
    Setting("away.every", parse.seconds, "s", "silence between check-ins"),
    Setting("away.say", parse.text, "", "words of a check-in; empty: the agent's model finds them"),
    Setting(
        "time_limit", parse.seconds_or_none, "s", "length of a session from its first `live` moment on, holds included"
    ),
    Setting("time_limit.warn", parse.many_seconds, "s", "remaining times at which agent and page are warned"),
    Setting("linger", parse.seconds, "s", "how long the room outlives the end, so that reconnecting pages learn of it"),
    Setting(
        "ends_for_all",
        parse.one_of(EndsForAll),
        "",
        "who may end it for everybody: the host (named at the opening, else the first user), anyone or nobody",
    ),
    Setting(
        "counts",
        parse.texts,
        "",
        "who keeps the session alive: kinds, and identities as `identity:host-*`; hidden participants by identity only",
    ),
    Setting(
        "reuse",
        parse.one_of(Reuse),
        "",
        "the room's name after the end; by_origin: never for rooms of our tokens, after_end for SIP and adopted ones",
    ),
    Setting("record", parse.one_of(Record), "", "what is recorded"),
    Setting(
        "message",
        parse.messages(frozenset(Reason)),
        "",
        "words for the user, by reason and, if wanted, language: `message.completed`, `message.completed.de`",
    ),
)
SETTINGS: Final = {line.key: line for line in _LINES}
"""Every line of the policy by its dotted key, in the order of the documentation."""


def flatten(layer: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Turn nested tables into dotted keys; `message` stays one table.

    Raises:
        ConfigError: a key that is no setting, with the nearest names.
    """
    flat: dict[str, object] = {}
    for name, value in layer.items():
        key = f"{prefix}{name}"
        if key == "message" or key.startswith("message."):
            words = parse.by_language(parse.nest(key.split(".")[1:], value))
            flat["message"] = parse.overlay(flat.get("message", {}), words)
        elif key in SETTINGS:
            flat[key] = value
        elif isinstance(value, Mapping) and any(known.startswith(f"{key}.") for known in SETTINGS):
            flat |= flatten(value, f"{key}.")
        else:
            raise ConfigError(parse.unknown(key, SETTINGS))
    return flat


def read_policy(*layers: Mapping[str, object]) -> Policy:
    """Read a policy from plain tables; later ones win, key by key.

    Args:
        layers: TOML or JSON tables with the keys of `SETTINGS`, nested or dotted.

    Raises:
        ConfigError: an unknown key, or a value that cannot be used; names the key, the value and what is expected.
    """
    merged: dict[str, object] = {}
    for layer in layers:
        flat = flatten(layer)
        if "message" in flat:
            flat["message"] = parse.overlay(merged.get("message", {}), flat["message"])
        merged |= flat
    values: dict[str, Any] = {}
    for key, value in merged.items():
        line = SETTINGS[key]
        try:
            values[line.name] = line.read(value)
        except ValueError as wrong:
            detail = f"{key} = {value!r}: {wrong}"
            raise ConfigError(detail) from None
    return Policy(**values)


def plain(policy: Policy) -> dict[str, object]:
    """Turn a policy into a JSON-able table that `read_policy` reads back as an equal one."""
    return {key: parse.bare(getattr(policy, line.name)) for key, line in SETTINGS.items()}


@dataclass(frozen=True, slots=True)
class Policies:
    """All policies of an installation: the common one and those of the agents, each with parts for one kind only.

    Attributes:
        common: The `policy` table.
        agents: The `policy` tables of the configured agents, by agent name.
    """

    common: Mapping[str, object] = field(default_factory=dict)
    agents: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def resolve(self, agent_name: str, kind: Kind, overrides: Mapping[str, object] | None = None) -> Policy:
        """Merge the layers for one session.

        Args:
            agent_name: The agent in charge; one without a table of its own gets the common policy.
            kind: What the session is expected to be: a SIP dispatch makes it `sip`, a page `web`.
            overrides: What the API call that opens the session says.

        Raises:
            ConfigError: as `read_policy`.
        """
        layers: list[Mapping[str, object]] = []
        for table in (self.common, self.agents.get(agent_name, {})):
            general, special = _split(table)
            layers += [general, special.get(kind, {})]
        return read_policy(*layers, overrides or {})

    def check(self) -> None:
        """Read every layer once, so that a mistake is found at the start and not at a caller's expense.

        Raises:
            ConfigError: as `read_policy`.
        """
        for agent_name in ("", *self.agents):
            for kind in Kind:
                self.resolve(agent_name, kind)


def _split(table: Mapping[str, object]) -> tuple[dict[str, object], dict[Kind, Mapping[str, object]]]:
    """Part a table into what holds for all and what holds for one kind."""
    general = {key: value for key, value in table.items() if key not in set(Kind)}
    special: dict[Kind, Mapping[str, object]] = {}
    for kind in Kind:
        part = table.get(kind, {})
        if not isinstance(part, Mapping):
            detail = f"{kind} = {part!r}: write a table of settings that hold for this kind only"
            raise ConfigError(detail)
        special[kind] = part
    return general, special
