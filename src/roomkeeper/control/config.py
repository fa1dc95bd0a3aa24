"""The settings of the control plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roomkeeper.control.adoption import Adopters
from roomkeeper.control.plane import PlaneConfig
from roomkeeper.control.receivers import read_receivers
from roomkeeper.errors import ConfigError
from roomkeeper.lifecycle.policy import Kind, Policies
from roomkeeper.settings import setting

BUILT_PAGES = Path(__file__).parent / "pages"


@dataclass(frozen=True, slots=True)
class ControlConfig:
    """How the control plane listens and which LiveKit server it speaks for (section `control`)."""

    host: str = "127.0.0.1"
    port: int = 8080
    """TCP; 0 takes a free one."""
    livekit_url: str = setting("ws://127.0.0.1:7880", env=["LIVEKIT_URL"])
    livekit_public_url: str = setting("", env=["LIVEKIT_PUBLIC_URL"])
    """What browsers connect to, told to them with their token; empty: `livekit_url`, which may be an inner address."""
    api_key: str = setting("devkey", env=["LIVEKIT_API_KEY"])
    api_secret: str = setting("secret", env=["LIVEKIT_API_SECRET"])
    dev: bool = False
    """Give a token to anyone on this machine."""
    supervisor: str = ""
    """UNIX socket of `roomkeeper dev`, for its panel."""
    stock: bool = False
    """Keep no session and give LiveKit's plain tokens: how the same agent does without Roomkeeper, to compare."""
    agent: str = ""
    """Name of the agent dispatched to a room whose token request names none; empty for none."""
    token_ttl: float = 6 * 3600.0
    """Seconds for which a token may be used to join."""
    pages: Path = BUILT_PAGES
    """Folder of the built pages."""
    database: str = ""
    """`sqlite:///…` or `postgresql://…`."""
    report_url: str = ""
    """Where reports go; empty: nowhere, unless `receivers` says so."""
    report_secret: str = ""
    """`whsec_…`, with which that receiver verifies them."""
    receivers: Mapping[str, str] = field(default_factory=dict)
    """Further receivers: secret by URL; in the file only."""
    report_events: tuple[str, ...] = ("session.ended",)
    """Types of events that receivers get, or patterns such as `session.*`; `item.added` is the live transcript."""
    receiver_events: Mapping[str, str] = field(default_factory=dict)
    """The same for one receiver, types between commas by its URL; in the file only."""
    dry_run: bool = False
    """Look and decide, and do nothing: neither in LiveKit, nor to agents, receivers or `database`."""
    origins: tuple[str, ...] = ()
    """Where pages that call this API come from, such as `https://interviews.example.com`; loopback always may."""

    def __post_init__(self) -> None:
        if bool(self.report_url) != bool(self.report_secret):
            raise ConfigError("`report_url` and `report_secret` of [control] go together: set both or none.")

    @property
    def browser_url(self) -> str:
        """Where browsers find the LiveKit server."""
        return self.livekit_public_url or self.livekit_url

    def plane(self, adopters: Adopters) -> PlaneConfig:
        """Return what the control plane works on.

        Args:
            adopters: Which rooms are kept, and how; see `read_adopters`.

        Raises:
            ConfigError: A receiver that cannot be used.
        """
        receivers = dict(self.receivers)
        if self.report_url:
            receivers[self.report_url] = self.report_secret
        return PlaneConfig(
            database=self.database,
            livekit_url=self.livekit_url,
            api_key=self.api_key,
            api_secret=self.api_secret,
            adopters=Adopters() if self.stock else adopters,
            dry_run=self.dry_run,
            receivers=read_receivers(receivers, self.receiver_events, self.report_events),
        )


def read_adopters(file: Mapping[str, Any], agent: str = "") -> Adopters:
    """Read which agents' rooms are kept, and their policies.

    Args:
        file: The settings file: `[policy]` for all, `[agents.NAME.policy]` for an agent; an empty `[agents.NAME]` will
            do to have its rooms kept.
        agent: The agent of the `control` section; its rooms are kept too.

    Raises:
        ConfigError: A table that is none, or a policy that cannot be read; says which.
    """
    agents = _table(file, "agents")
    tables = {name: _table(agents, name, "agents.") for name in agents}
    for name, table in tables.items():
        if unknown := table.keys() - {"policy"}:
            raise ConfigError(f"`{min(unknown)}` in [agents.{name}] is no setting; known is policy.")
    policies = Policies(
        common=_table(file, "policy"),
        agents={name: _table(table, "policy", f"agents.{name}.") for name, table in tables.items()},
    )
    policies.check()
    names = {*tables, agent} - {""}
    return Adopters(
        agents={name: policies.resolve(name, Kind.WEB) for name in names},
        default=policies.resolve("", Kind.WEB),
        policies=policies,
    )


def _table(file: Mapping[str, Any], name: str, within: str = "") -> Mapping[str, Any]:
    table = file.get(name, {})
    if not isinstance(table, Mapping):
        raise ConfigError(f"`{within}{name}` must be a table: write [{within}{name}].")
    return table
