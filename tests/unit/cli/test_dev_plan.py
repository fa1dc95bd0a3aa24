from __future__ import annotations

import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from roomkeeper.cli.dev.plan import API_KEY, API_SECRET, Command, DevSettings, Plan, plan
from roomkeeper.errors import ConfigError
from roomkeeper.settings import Sources, load
from roomkeeper.wire.signin import SIGN_IN
from roomkeeper.wire.tokens import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path("/nowhere")


def commands_of(a_plan: Plan) -> dict[str, Command]:
    return {command.name: command for stage in a_plan.stages for command in stage}


def flag(command: Command, name: str) -> str:
    return command.argv[command.argv.index(name) + 1]


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def test_three_processes_find_each_other_by_the_livekit_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEKIT_URL", "wss://elsewhere.example")
    monkeypatch.setenv("LIVEKIT_AGENT_NAME", "somebody")
    made = plan(DevSettings(port=0, sfu_port=0, udp_port=0), DATA)
    parts = commands_of(made)
    assert set(parts) == {"sfu", "control", "interviewer"}
    sfu_port = flag(parts["sfu"], "--port")
    for part in parts.values():
        assert part.argv[0] == sys.executable
        assert part.env["LIVEKIT_URL"] == f"ws://127.0.0.1:{sfu_port}"
        assert (part.env["LIVEKIT_API_KEY"], part.env["LIVEKIT_API_SECRET"]) == (API_KEY, API_SECRET)
        assert "LIVEKIT_AGENT_NAME" not in part.env
    assert made.address == f"http://127.0.0.1:{flag(parts['control'], '--port')}/"
    assert parts["control"].env["ROOMKEEPER_CONTROL_DEV"] == "true"
    assert flag(parts["sfu"], "--webhook") == f"{made.address}webhooks/livekit"
    assert flag(parts["control"], "--database") == f"sqlite:///{DATA}/roomkeeper.db"


def test_operators_are_given_a_link_that_signs_in_for_hours() -> None:
    made = plan(DevSettings(port=0, sfu_port=0, udp_port=0), DATA)
    page, _, token = made.console.partition("#token=")
    assert page == f"{made.address}console/"
    claims = verify(token, {API_KEY: API_SECRET}, now=time.time() + 7 * 3600)
    assert SIGN_IN in claims.attributes
    assert not plan(DevSettings(port=0, sfu_port=0, udp_port=0, stock=True), DATA).console


def test_the_room_server_is_ready_before_the_others_start() -> None:
    stages = [{command.name for command in stage} for stage in plan(DevSettings(port=0, sfu_port=0), DATA).stages]
    assert stages == [{"sfu"}, {"control", "interviewer"}]


@pytest.mark.parametrize("field", ["port", "sfu_port", "udp_port"])
def test_a_chosen_port_that_is_taken_is_refused_with_its_flag(taken: int, field: str) -> None:
    with pytest.raises(ConfigError, match=f"Port {taken} .* choose another with --{field.replace('_', '-')}"):
        plan(load(DevSettings, "dev", flags={field: taken}, sources=Sources()), DATA)


def test_a_usual_port_that_is_taken_is_replaced_by_a_free_one(monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    monkeypatch.setattr("roomkeeper.cli.dev.plan.PAGE_PORT", taken)
    control = commands_of(plan(DevSettings(), DATA))["control"]
    assert flag(control, "--port") not in {str(taken), "0"}


def test_ipv6_loopback_is_bracketed_in_addresses() -> None:
    made = plan(DevSettings(host="::1", port=0), DATA)
    assert made.address.startswith("http://[::1]:")
    assert commands_of(made)["control"].env["LIVEKIT_URL"].startswith("ws://[::1]:")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::"])  # noqa: S104 - refused, not bound
def test_only_loopback_is_allowed(host: str) -> None:
    with pytest.raises(ConfigError, match="stays on loopback"):
        DevSettings(host=host)
