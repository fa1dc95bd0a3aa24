"""Settings that contradict each other, or LiveKit's: found without contacting anything. Pure."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from roomkeeper.lifecycle import bounds
from roomkeeper.lifecycle.policy import Kind, Policy, Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from roomkeeper.control.adoption import Adopters
    from roomkeeper.control.config import ControlConfig

DEPARTURE: Final = 20
"""Seconds: `room.departure_timeout` of livekit-server unless set."""
EMPTY: Final = 300
"""Seconds: its `room.empty_timeout`."""
REFRESH: Final = 5.0
"""Seconds in which a page that is refreshed is back, loading included."""
LINGER: Final = 3.0
"""Seconds for which a page that is just reconnecting must still find the room, to read why it ended."""
BUSY: Final = 30.0
"""Seconds for which a worker may wait for a caller who hung up, before that is worth a word."""
HOOKS: Final = "/webhooks/livekit"


class Level(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Complaint:
    """A setting that should be another.

    Attributes:
        where: The setting.
        what: What is wrong with it.
        fix: What to write instead.
    """

    level: Level
    where: str
    what: str
    fix: str


def lint(
    config: ControlConfig, adopters: Adopters, *, livekit: Mapping[str, Any] | None = None, replicas: int = 1
) -> list[Complaint]:
    """Find contradictory settings, the worst first.

    Args:
        config: The section `control`.
        adopters: The agents and their policies.
        livekit: What livekit-server's own file says, as `[sfu]` would; None: unknown.
        replicas: How many control planes share the database.
    """
    found = [*_plane(config, replicas), *_receivers(config), *_webhook(config, livekit)]
    departure = float((livekit or {}).get("departure_timeout", DEPARTURE))
    empty = float((livekit or {}).get("empty_timeout", EMPTY))
    for name in sorted(adopters.agents) or [""]:
        found += _agent(config, adopters, name, departure, empty)
    return sorted(found, key=lambda each: (list(Level).index(each.level), each.where))


# The control plane.


def _plane(config: ControlConfig, replicas: int) -> Iterator[Complaint]:
    sqlite = not config.database or config.database.startswith("sqlite")
    if sqlite and replicas > 1:
        what = f"{replicas} replicas cannot share a SQLite file: the second one is refused"
        yield Complaint(Level.ERROR, "control.database", what, 'database = "postgresql://…"')
    outside = not is_local(config.livekit_url)
    if outside and (config.api_key, config.api_secret) == ("devkey", "secret"):
        what = "the development key is known to everybody, and this LiveKit server is not on this machine"
        yield Complaint(Level.ERROR, "control.api_key", what, "set LIVEKIT_API_KEY and LIVEKIT_API_SECRET")
    where = "control.livekit_public_url" if config.livekit_public_url else "control.livekit_url"
    if not is_local(config.browser_url) and urlsplit(config.browser_url).scheme in {"ws", "http"}:
        what = "tokens and media keys travel in the clear"
        yield Complaint(Level.WARNING, where, what, "a wss:// address")
    if config.dev and config.host not in {"127.0.0.1", "localhost", "::1"}:
        what = f"anybody who reaches {config.host} gets a token"
        yield Complaint(Level.ERROR, "control.dev", what, "dev = false")


def _receivers(config: ControlConfig) -> Iterator[Complaint]:
    urls = {*config.receivers, config.report_url} - {""}
    if not urls:
        what = "reports go nowhere; they can only be read by GET /api/sessions/ID/report"
        yield Complaint(Level.NOTE, "control.report_url", what, "report_url and report_secret")
    for url in sorted(urls):
        if url.startswith("http://") and not is_local(url):
            what = f"reports for {urlsplit(url).hostname} travel in the clear, conversations and all"
            yield Complaint(Level.WARNING, "control.report_url", what, "an https:// address")
        if url in config.receivers and not config.receivers[url]:
            what = f"the receiver at {urlsplit(url).hostname} has no secret, so it cannot tell our reports from others"
            yield Complaint(Level.ERROR, "control.receivers", what, f'"{url}" = "whsec_…"')


def _webhook(config: ControlConfig, livekit: Mapping[str, Any] | None) -> Iterator[Complaint]:
    if livekit is None:
        return
    urls = [str(url) for url in livekit.get("webhooks") or ()]
    if not any(urlsplit(url).path.endswith(HOOKS) for url in urls):
        what = "livekit-server tells this control plane nothing: what happens is found by listing rooms, seconds later"
        port = config.port or 8080
        yield Complaint(Level.ERROR, "webhook.urls of livekit-server", what, f"- http://{config.host}:{port}{HOOKS}")
    key = str(livekit.get("webhook_key") or config.api_key)
    if urls and key != config.api_key:
        what = f"webhooks are signed with the key {key}, which this control plane does not have: it answers 401"
        yield Complaint(Level.ERROR, "webhook.api_key of livekit-server", what, f"api_key: {config.api_key}")
    keys = livekit.get("keys")
    if isinstance(keys, dict) and keys and config.api_key not in keys:
        what = f"livekit-server does not know the key {config.api_key}"
        yield Complaint(Level.ERROR, "control.api_key", what, f"one of {', '.join(map(str, keys))}")


# Policies.


def _agent(config: ControlConfig, adopters: Adopters, name: str, departure: float, empty: float) -> Iterator[Complaint]:
    web, sip = (adopters.policy(name, kind) for kind in (Kind.WEB, Kind.SIP))
    section = f"agents.{name}.policy" if name else "policy"
    yield from _times(config, section, web)
    yield from _users(section, web, sip)
    if web.hold_web > departure:
        what = (
            f"{web.hold_web:g} s are longer than a room lives on without people ({departure:g} s), unless its token "
            "carries our room configuration: then the agent leaves with the room and is resumed in the next one"
        )
        fix = f"room.departure_timeout: {math.ceil(web.hold_web)} in livekit-server, or roomkeeper.room_config(…)"
        yield Complaint(Level.WARNING, f"{section}.hold.web", what, fix)
    if web.join_timeout > empty:
        what = f"a room without people is closed after empty_timeout = {empty:g} s, before join_timeout"
        yield Complaint(Level.NOTE, f"{section}.join_timeout", what, f"join_timeout = {empty:g}")


def _times(config: ControlConfig, section: str, policy: Policy) -> Iterator[Complaint]:
    limit = policy.time_limit
    if limit is not None:
        late = [warning for warning in policy.time_limit_warn if warning >= limit]
        if late:
            what = f"a warning {max(late):g} s before a limit of {limit:g} s would come before the talk"
            yield Complaint(Level.ERROR, f"{section}.time_limit.warn", what, f"values below {limit:g}")
        needed = limit + policy.hold_web
        if config.token_ttl < needed:
            what = f"whoever reconnects or returns after {config.token_ttl:g} s is refused, but a talk may last longer"
            yield Complaint(Level.ERROR, "control.token_ttl", what, f"token_ttl = {math.ceil(needed)}")
        if policy.away_after is not None and policy.away_after >= limit:
            what = f"the first check-in would come after the time limit of {limit:g} s"
            yield Complaint(Level.NOTE, f"{section}.away.after", what, "less, or none")
    if policy.linger < LINGER:
        what = f"a page that is just reconnecting misses why it ended if the room goes within {policy.linger:g} s"
        yield Complaint(Level.WARNING, f"{section}.linger", what, f"linger = {LINGER:g}")
    shortest = bounds.DISPATCH_AGAIN / bounds.SECOND
    if policy.agent_timeout <= shortest:
        what = f"a dispatch that brings nobody is repeated after {shortest:g} s: there is no second one"
        yield Complaint(Level.WARNING, f"{section}.agent_timeout", what, "agent_timeout = 20")
    if policy.record is not Record.NONE:
        what = "nothing is recorded yet"
        yield Complaint(Level.WARNING, f"{section}.record", what, 'record = "none", and an egress of your own')


def _users(section: str, web: Policy, sip: Policy) -> Iterator[Complaint]:
    if Kind.WEB in web.counts and web.hold_web < REFRESH:
        what = f"refreshing the page ends the talk: a page needs some seconds to be back, {web.hold_web:g} s are held"
        yield Complaint(Level.WARNING, f"{section}.hold.web", what, "hold.web = 300")
    if Kind.SIP not in sip.counts:
        return
    if sip.hold_sip >= BUSY:
        what = f"a web policy for callers: who hung up is waited for {sip.hold_sip:g} s, and the worker with them"
        yield Complaint(Level.WARNING, f"{section}.sip.hold.sip", what, "hold.sip = 0")
    if sip.counts == (Kind.SIP,) and sip.linger > LINGER:
        what = f"callers read no page: the room of a call lives {sip.linger:g} s for nobody"
        yield Complaint(Level.NOTE, f"{section}.sip.linger", what, f"linger = {LINGER:g}")


def is_local(url: str) -> bool:
    """Say whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
