"""Ended belongs to the session, not to the room's name."""

from __future__ import annotations

import pytest

from roomkeeper.lifecycle.events import EndAsked, RoomFinished
from roomkeeper.lifecycle.names import Join, Later, Open, Refuse, claim
from roomkeeper.lifecycle.policy import Reuse
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.vocabulary import Origin
from tests.unit.lifecycle.story import Story

OPERATOR = EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR)


def ended(origin: Origin, **policy: str) -> Story:
    story = Story(policy, origin=origin)
    story.live(attached=False)
    story(OPERATOR)
    return story


def test_the_first_session_of_a_name_is_generation_one() -> None:
    assert claim(None) == Open(generation=1)


def test_a_session_that_is_not_over_is_the_one_meant() -> None:
    story = Story()
    story.live()

    assert claim(story.session) == Join(story.session)
    story(OPERATOR)
    assert claim(story.session, carried=story.session) == Join(story.session)
    assert claim(story.session) == Join(story.session)


@pytest.mark.parametrize(
    ("origin", "reuse"),
    [
        (Origin.TOKEN, Reuse.NEVER),
        (Origin.API, Reuse.NEVER),
        (Origin.SIP, Reuse.AFTER_END),
        (Origin.ADOPTED, Reuse.AFTER_END),
    ],
)
def test_reuse_follows_from_the_origin(origin: Origin, reuse: Reuse) -> None:
    assert Story(origin=origin).session.reuse is reuse


def test_the_policy_may_decide_otherwise() -> None:
    assert Story({"reuse": "never"}, origin=Origin.SIP).session.reuse is Reuse.NEVER


def test_a_room_of_our_tokens_is_not_used_again() -> None:
    story = ended(Origin.TOKEN)
    story(RoomFinished(at=0, sid="RM_1"))

    assert story.session.end is not None
    assert claim(story.session) == Refuse(story.session, story.session.end)


def test_the_next_generation_waits_until_the_old_room_is_gone() -> None:
    story = ended(Origin.SIP)
    assert claim(story.session) == Later(story.session)

    story(RoomFinished(at=0, sid="RM_1"))
    assert claim(story.session) == Open(generation=2)


def test_a_new_room_of_the_name_is_the_next_generations_and_an_old_one_is_not() -> None:
    story = ended(Origin.SIP)

    assert isinstance(claim(story.session, room_sid="RM_1"), Refuse)
    assert claim(story.session, room_sid="RM_2") == Open(generation=2)


def test_whoever_carries_an_ended_session_belongs_to_it() -> None:
    old = ended(Origin.SIP)
    old(RoomFinished(at=0, sid="RM_1"))
    new = Story(origin=Origin.SIP)

    assert isinstance(claim(new.session, carried=old.session), Refuse)
    assert claim(old.session, carried=new.session) == Join(new.session)
