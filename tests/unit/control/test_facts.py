"""What LiveKit's attributes of a call say about its end."""

from __future__ import annotations

import pytest
from livekit.protocol import models
from livekit.protocol.webhook import WebhookEvent

from roomkeeper.control.facts import fact_of, recorders, shown
from roomkeeper.lifecycle.events import ParticipantLeft


def left(**attributes: str) -> ParticipantLeft:
    caller = models.ParticipantInfo(sid="PA_1", identity="+49", kind=models.ParticipantInfo.SIP)
    caller.attributes.update({name.replace("_", ".", 1): value for name, value in attributes.items()})
    fact = fact_of(WebhookEvent(event="participant_left", participant=caller))
    assert isinstance(fact, ParticipantLeft)
    return fact


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"sip_callStatusCode": "486", "sip_callStatus": "hangup"}, 486),
        ({"sip_callStatus": "ringing"}, 487),
        ({"sip_callStatus": "dialing"}, 487),
        ({"sip_callStatus": "hangup"}, 0),
        ({"sip_callStatusCode": "busy"}, 0),
        ({"sip_callStatusCode": "²³²"}, 0),
        ({}, 0),
    ],
)
def test_the_status_of_a_call_is_its_code_or_that_nobody_answered(attributes: dict[str, str], status: int) -> None:
    assert left(**attributes).sip_status == status


@pytest.mark.parametrize(("said", "referred"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_a_transfer_is_known_by_the_mark_of_whoever_made_it(said: str, referred: bool) -> None:  # noqa: FBT001 - a table
    assert left(roomkeeper_referred=said).referred is referred


def test_of_a_participants_attributes_only_those_of_a_call_are_kept_and_not_without_bounds() -> None:
    person = models.ParticipantInfo(identity="+49")
    person.attributes.update({"sip.h.x": "y" * 1000, "lk.agent_name": "x", "note": "z"})
    assert shown(person) == {"sip.h.x": "y" * 256}
    person.attributes.update({f"sip.h.{number}": "" for number in range(100)})
    assert len(shown(person)) == 32


def test_recorders_go_by_the_id_of_their_egress() -> None:
    egress = models.ParticipantInfo.EGRESS
    people = [
        models.ParticipantInfo(identity="EG_1", kind=egress),
        models.ParticipantInfo(identity="EG_2"),
        models.ParticipantInfo(identity="recorder", kind=egress),
    ]
    assert recorders(people) == ["EG_1"]
