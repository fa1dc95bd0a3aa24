"""`roomkeeper serve` as a process, told of a room by signed webhooks, and the commands that speak to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from livekit.protocol import models
from livekit.protocol.webhook import WebhookEvent

from roomkeeper.wire import webhooks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTINGS = """
[control]
port = 0
livekit_url = "http://127.0.0.1:9"
report_url = "http://127.0.0.1:9/reports"
report_secret = "whsec_c2VjcmV0"

[policy]
linger = 1

[agents.interviewer.policy]
time_limit = 3600
"""


@dataclass
class Served:
    """A control plane of its own folder."""

    folder: Path
    process: subprocess.Popen[str]
    address: str = ""

    def roomkeeper(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "roomkeeper.cli", *arguments, "--url", self.address]
        return subprocess.run(argv, capture_output=True, text=True, timeout=50, check=False, cwd=self.folder)

    def json(self, *arguments: str) -> Any:  # noqa: ANN401 - JSON
        run = self.roomkeeper(*arguments, "--json")
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)

    def hook(self, event: WebhookEvent, *, secret: str = "secret") -> int:
        body = webhooks.encode(event)
        signed = webhooks.sign(body, api_key="devkey", secret=secret, now=time.time())
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{self.address}/webhooks/livekit",
            body,
            {"Authorization": signed, "Content-Type": webhooks.CONTENT_TYPE},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[Served]:
    """Run `roomkeeper serve` in a folder."""
    (folder / "roomkeeper.toml").write_text(SETTINGS)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("LIVEKIT_", "ROOMKEEPER_"))}
    argv = [sys.executable, "-m", "roomkeeper.cli", "serve", *flags]
    process = subprocess.Popen(argv, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)
    served = Served(folder, process)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            entry = json.loads(line)
            if entry["message"] == "control plane listens":
                served.address = f"http://127.0.0.1:{entry['port']}"
                break
        assert served.address
        yield served
    finally:
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=30)
        assert process.returncode == 0, rest
        assert "Traceback" not in rest
        assert "whsec_" not in rest
        assert "eyJ" not in rest


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as served:
        yield served


def joined(room: str, identity: str, *, agent: bool = False) -> WebhookEvent:
    person = models.ParticipantInfo(sid=f"PA_{identity}", identity=identity, state=models.ParticipantInfo.ACTIVE)
    if agent:
        person.kind = models.ParticipantInfo.AGENT
        person.attributes["lk.agent_name"] = "interviewer"
    return WebhookEvent(
        event="participant_joined",
        id=f"EV_{identity}",
        room=models.Room(name=room, sid="RM_1"),
        participant=person,
    )


def test_a_session_is_kept_listed_ended_explained_and_its_report_sent_again(served: Served) -> None:
    assert served.hook(joined("tea [1]", "agent", agent=True)) == 200
    assert served.hook(joined("tea [1]", "ann")) == 200
    [session] = served.json("sessions")["sessions"]
    assert (session["room"], session["state"], session["users"]) == ("tea [1]", "live", ["ann"])
    table = served.roomkeeper("sessions", "--state", "open").stdout
    assert session["id"] in table
    assert "live" in table

    ended = served.roomkeeper("end", "tea [1]", "--detail", "closing time")
    assert ended.stdout == f"{session['id']} is ended: operator_ended (by operator).\n"
    why = served.roomkeeper("explain", session["id"]).stdout
    assert "operator asked to end it as operator_ended: closing time" in why
    assert "linger" not in why
    explained = served.json("explain", "RM_1")
    assert (explained["reason"], explained["decisive"]["event"]) == ("operator_ended", "EndAsked")
    assert served.json("redeliver", session["id"])["session"] == session["id"]

    assert "on its way" in served.roomkeeper("purge", session["id"]).stderr
    assert served.json("purge", session["id"], "--force")["session"] == session["id"]
    assert served.json("purge", "--older-than", "1s") == {"purged": 0, "not_done": 0}
    [left] = served.json("sessions")["sessions"]
    assert (left["room"], left["reason"], left["purged_at"] is None) == (session["id"], "operator_ended", False)

    unknown = served.roomkeeper("explain", "coffee")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "No session of this id or room" in unknown.stderr
    assert served.hook(joined("tea [1]", "eve"), secret="forged") == 401


def test_a_session_is_bundled_without_names_and_an_installation_examined(served: Served) -> None:
    assert served.hook(joined("tea", "agent-1", agent=True)) == 200
    assert served.hook(joined("tea", "ann.smith")) == 200
    served.json("end", "tea")
    said = served.roomkeeper("explain", "tea", "--bundle").stdout
    [path] = served.folder.glob("S_*.bundle.json")
    assert path.name in said
    bundle = json.loads(path.read_text())
    assert bundle["explain"]["reason"] == "operator_ended"
    assert bundle["versions"]["roomkeeper"]
    assert any('"session"' in line for line in bundle["log"])
    assert "person-1" in path.read_text()
    assert "ann.smith" not in path.read_text().replace("PA_ann.smith", "").replace("EV_ann.smith", "")

    examined = served.roomkeeper("doctor")
    assert examined.returncode == 1  # there is no LiveKit server
    assert "LIVEKIT_API_KEY" in examined.stdout.replace("\n", " ")
    health = {
        check["name"]: check["health"] for check in json.loads(served.roomkeeper("doctor", "--json").stdout)["checks"]
    }
    assert (health["database"], health["webhook"], health["livekit"]) == ("ok", "ok", "failed")
    assert "This is no dry run" in served.roomkeeper("doctor", "--dry-run").stderr


def test_settings_that_contradict_each_other_are_listed_with_their_fix(tmp_path: Path) -> None:
    (tmp_path / "roomkeeper.toml").write_text("[control]\ntoken_ttl = 60\n[agents.a.policy]\ntime_limit = 3600\n")
    (tmp_path / "livekit.yaml").write_text("room:\n  departure_timeout: 300\nkeys:\n  devkey: secret\n")
    argv = [sys.executable, "-m", "roomkeeper.cli", "lint", "--livekit", "livekit.yaml", "--json"]
    run = subprocess.run(argv, capture_output=True, text=True, timeout=50, check=False, cwd=tmp_path)
    assert run.returncode == 1
    found = {each["where"]: each["fix"] for each in json.loads(run.stdout)["complaints"]}
    assert found["control.token_ttl"] == "token_ttl = 3900"
    assert found["webhook.urls of livekit-server"] == "- http://127.0.0.1:8080/webhooks/livekit"
    assert "agents.a.policy.hold.web" not in found


def test_a_dry_run_says_what_it_would_do_and_leaves_the_database_alone(tmp_path: Path) -> None:
    with serving(tmp_path, "--dry-run") as served:
        assert served.hook(joined("tea", "agent-1", agent=True)) == 200
        assert served.hook(joined("tea", "ann")) == 200
        served.json("end", "tea")
        would: list[dict[str, Any]] = []
        while not any(deed["what"] == "delete the room" for deed in would):  # after the linger
            would = served.json("doctor", "--dry-run")["would"]
        assert {"tell the room", "delete the room", "send the report"} <= {deed["what"] for deed in would}
    assert [path.name for path in tmp_path.iterdir()] == ["roomkeeper.toml"]


def test_a_control_plane_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "roomkeeper.cli", "sessions", "--url", "http://127.0.0.1:9"]
    run = subprocess.run(argv, capture_output=True, text=True, timeout=50, check=False, cwd=tmp_path)
    assert run.returncode == 1
    assert "The control plane cannot be reached" in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('[control]\ndatabase = "mysql://x/y"', "neither sqlite:/// nor postgresql://"),
        ('[control]\nreport_url = "http://127.0.0.1:9/x"', "`report_url` and `report_secret`"),
        ("[policy]\nholds = 3", "holds"),
        ("[agents.interviewer]\nlinger = 3", "`linger` in [agents.interviewer] is no setting"),
        ("agents = 3", "`agents` must be a table"),
        ('[control.receivers]\n"nowhere" = "whsec_c2VjcmV0"', "A receiver's URL begins with"),
    ],
)
def test_settings_that_cannot_work_are_one_line_before_anything_is_served(
    tmp_path: Path, settings: str, said: str
) -> None:
    (tmp_path / "roomkeeper.toml").write_text(f"{settings}\n")
    argv = [sys.executable, "-m", "roomkeeper.cli", "serve", "--port", "0"]
    run = subprocess.run(argv, capture_output=True, text=True, timeout=50, check=False, cwd=tmp_path)
    assert run.returncode == 1
    assert said in run.stderr
    assert "Traceback" not in run.stderr
    assert "whsec_" not in run.stderr.replace("must be `whsec_`", "")
