# ruff: noqa: ANN401 - it stands for one of many types of livekit-agents, or for a double of one

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from livekit import rtc
from livekit.agents import Agent, UserStateChangedEvent, function_tool

from roomkeeper.agent.away import WORDS
from roomkeeper.agent.presence import BEGIN
from roomkeeper.lifecycle.policy import Policy
from roomkeeper.wire import link
from tests.unit.agent.session.stagehand import Show, Talker, attached, call, person, show

if TYPE_CHECKING:
    import roomkeeper

LEFT = rtc.DisconnectReason.CLIENT_INITIATED
LOST = rtc.DisconnectReason.CONNECTION_TIMEOUT


class Quiet(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="Wait.")


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("reason", [LEFT, LOST, rtc.DisconnectReason.DUPLICATE_IDENTITY])
async def test_nothing_is_answered_while_the_user_is_gone_and_all_is_when_they_are_back(reason: Any) -> None:
    ada = person("ada")
    async with show("You are back: what is your name?", "Hello Ada.", people=[ada]) as stage:
        await stage.start(Quiet)
        stage.room.leaves(ada, reason)
        assert not stage.session.input.audio_enabled
        await asyncio.sleep(120)
        assert stage.model.asked == []
        stage.room.joins(person("ada"))
        await stage.until(lambda: "your name" in stage.heard())
        stage.room.writes("ada", "Ada.")
        await stage.until(lambda: "Hello Ada." in stage.heard())
    assert "end" not in stage.desk.kinds


async def test_an_agent_may_say_itself_where_they_were() -> None:
    given: list[roomkeeper.Returned] = []

    class Host(Quiet):
        async def on_return(self, returned: roomkeeper.Returned) -> None:
            given.append(returned)

    ada = person("ada")
    async with show(people=[ada]) as stage:
        await stage.start(Host)
        stage.room.leaves(ada, LEFT)
        stage.room.joins(person("ada"))
        await stage.until(lambda: given)
    assert given[0].identity == "ada"
    assert stage.model.asked == []


async def test_who_left_before_the_first_word_is_greeted() -> None:
    ada = person("ada")
    async with show(people=[ada]) as stage:
        await stage.start(Talker)
        stage.room.leaves(ada, LEFT)  # the greeting is under way
        await asyncio.sleep(1)
        assert stage.heard() == ""
        stage.room.joins(person("ada"))
        await stage.until(stage.heard)
    assert stage.heard() == "Hello and welcome."
    assert stage.model.asked == []


async def test_an_agent_whose_entrypoint_greets_is_asked_to_begin() -> None:
    ada = person("ada")
    async with show("Good morning!", people=[ada]) as stage:
        await stage.start(Quiet)
        stage.room.leaves(ada, LEFT)
        stage.room.joins(person("ada"))
        await stage.until(stage.heard)
    assert stage.heard() == "Good morning!"
    assert BEGIN in str(stage.model.asked[0].items)


async def test_one_of_two_may_leave() -> None:
    ada, bob = person("ada"), person("bob")
    async with show("Hello Bob.", people=[ada, bob]) as stage:
        await stage.start(Quiet)
        assert stage.session.room_io.linked_participant is ada
        stage.room.leaves(ada, LEFT)
        assert stage.session.room_io.linked_participant is bob
        stage.room.writes("bob", "I am still here.")
        await stage.until(stage.heard)
    assert stage.heard() == "Hello Bob."


async def test_whoever_speaks_is_heard_and_everybody_who_writes_is_read() -> None:
    ada, bob = person("ada"), person("bob")
    async with show("Hello Bob.", people=[ada, bob]) as stage:
        await stage.start(Quiet)
        stage.room.emit("active_speakers_changed", [bob])
        assert stage.session.room_io.linked_participant is bob
        stage.room.emit("active_speakers_changed", [bob, ada])
        assert stage.session.room_io.linked_participant is bob
        stage.room.writes("ada", "And I write.")
        await stage.until(stage.heard)


async def test_a_host_is_heard_whoever_speaks() -> None:
    ada, bob = person("ada"), person("bob")
    async with show(people=[ada, bob]) as stage:
        await stage.start(Quiet, listen_to="host")
        stage.room.emit("active_speakers_changed", [bob])
        assert stage.session.room_io.linked_participant is ada
        stage.room.leaves(ada, LOST)
        assert stage.session.room_io.linked_participant is bob
        stage.room.joins(back := person("ada"))
        assert stage.session.room_io.linked_participant is back


async def test_who_does_not_count_is_neither_waited_for_nor_read() -> None:
    ada, guest = person("ada"), person("guest")
    async with show(people=[ada, guest]) as stage:
        stage.desk.answer = attached(policy=Policy(counts=("identity:ada",)))
        await stage.start(Quiet)
        stage.room.writes("guest", "Hello?")
        stage.room.leaves(ada, LOST)
        await asyncio.sleep(5)
        assert not stage.session.input.audio_enabled
    assert stage.model.asked == []


async def test_a_caller_whose_network_is_lost_is_left_to_the_control_plane() -> None:
    caller = person("ada", rtc.ParticipantKind.PARTICIPANT_KIND_SIP)
    async with show(people=[caller]) as stage:
        await stage.start(Quiet)
        stage.room.leaves(caller, LOST)
        await asyncio.sleep(5)
    assert "end" not in stage.desk.kinds


# Silent users.


async def test_a_silent_user_is_asked_three_times_and_then_let_go() -> None:
    async with show(people=[person("ada")]) as stage:
        stage.desk.answer = attached(policy=Policy(away_say=WORDS))
        kept = await stage.start(Quiet)
        began = now()
        ended = await kept.ended()
        took = now() - began
    assert ended.reason == "user_away"
    assert [data["check"] for data in stage.desk.of("away")] == [1, 2, 3]
    assert stage.heard().count(WORDS) == 3
    assert took == pytest.approx(15 + 3 * 10, abs=3)


async def test_a_word_cancels_the_check_ins() -> None:
    async with show(people=[person("ada")]) as stage:
        await stage.start(Quiet)
        await stage.until(lambda: len(stage.desk.of("away")) == 2)
        stage.room.writes("ada", "I am here.")
        await stage.until(lambda: stage.desk.of("back"))
        await stage.until(lambda: len(stage.desk.of("away")) == 3)
    assert [data["check"] for data in stage.desk.of("away")] == [1, 2, 1]


async def test_whoever_comes_back_is_asked_anew() -> None:
    async with show(people=[person("ada")]) as stage:
        await stage.start(Quiet)
        await stage.until(lambda: len(stage.desk.of("away")) == 2)
        ada = stage.room.remote_participants["ada"]
        stage.room.leaves(ada, LEFT)
        stage.room.joins(person("ada"))
        await stage.until(lambda: len(stage.desk.of("away")) == 3)
    assert [data["check"] for data in stage.desk.of("away")] == [1, 2, 1]


async def test_nobody_is_asked_while_a_tool_runs_or_the_user_speaks() -> None:
    class Slow(Quiet):
        @function_tool
        async def think(self) -> str:
            """Think."""
            await asyncio.sleep(100)
            return "thought"

    async with show(call("think"), "I thought.", people=[person("ada")]) as stage:
        await stage.start(Slow)
        stage.room.writes("ada", "Think.")
        await stage.until(lambda: "I thought." in stage.heard())
        assert stage.desk.of("away") == []
        stage.session._update_user_state("speaking")
        await asyncio.sleep(60)
        assert stage.desk.of("away") == []


async def test_a_replacement_goes_on_counting() -> None:
    async with show(people=[person("ada")]) as stage:
        stage.desk.answer = attached(check_ins=2)
        kept = await stage.start(Quiet)
        await kept.ended()
    assert [data["check"] for data in stage.desk.of("away")] == [3]


async def test_nobody_is_asked_where_the_policy_says_never_or_nobody_is_there() -> None:
    ada = person("ada")
    async with show(people=[ada]) as stage:
        stage.desk.answer = attached(policy=Policy(away_after=None))
        await stage.start(Quiet)
        await asyncio.sleep(500)
        assert stage.desk.of("away") == []
    async with show() as stage:
        await stage.start(Quiet)
        await asyncio.sleep(500)
        assert stage.desk.of("away") == []


# Who may speak.


async def test_a_process_that_stood_still_is_silent_until_it_is_attached_again() -> None:
    async with show("Here I am.", people=[person("ada")]) as stage:
        await stage.start(Quiet)
        assert stage.desk.stood_still is not None
        stage.desk.stood_still()
        stage.room.writes("ada", "Are you there?")
        await asyncio.sleep(10)
        assert stage.model.asked == []
        stage.desk.tell(attached())
        stage.room.writes("ada", "And now?")
        await stage.until(stage.heard)
    assert stage.heard() == "Here I am."


async def test_after_a_full_reconnect_the_agent_asks_whether_it_is_still_in_charge() -> None:
    async with show("Here I am.", people=[person("ada")]) as stage:
        await stage.start(Quiet)
        stage.room.local_participant.sid = "PA_anew"
        stage.room.emit("reconnected")
        assert not stage.session.input.audio_enabled
        await stage.until(lambda: stage.session.input.audio_enabled or stage.desk.attaches == 2)
        stage.room.writes("ada", "Are you there?")
        await stage.until(stage.heard)
    assert stage.desk.attaches == 2


async def test_an_agent_that_never_was_attached_talks_on_after_a_full_reconnect() -> None:
    async with show("Here I am.", people=[person("ada")]) as stage:
        stage.desk.answer = None
        await stage.start(Quiet)
        stage.room.local_participant.sid = "PA_anew"
        stage.room.emit("reconnected")
        stage.room.writes("ada", "Are you there?")
        await stage.until(stage.heard)
    assert stage.desk.attaches == 1


async def test_a_mere_resume_of_the_connection_changes_nothing() -> None:
    async with show("Here I am.", people=[person("ada")]) as stage:
        await stage.start(Quiet)
        stage.room.emit("reconnected")
        stage.room.writes("ada", "Are you there?")
        await stage.until(stage.heard)
    assert stage.desk.attaches == 1


async def test_an_agent_hands_over_at_a_pause_and_writes_nothing_more() -> None:
    async with show(people=[person("ada")]) as stage:
        kept = await stage.start(Quiet)
        waiting = asyncio.create_task(kept.ended())
        stage.session._user_state = "speaking"
        stage.desk.tell(link.Mute(job="AJ_1"))
        await asyncio.sleep(3)
        assert not stage.shut_down
        stage.session._user_state = "listening"
        stage.session.emit("user_state_changed", UserStateChangedEvent(old_state="speaking", new_state="listening"))
        began = now()
        await stage.until(lambda: stage.shut_down)
        assert now() - began < 1
        assert waiting.cancelled()
    assert stage.desk.kinds[-1] == "done"
    assert "end" not in stage.desk.kinds
    assert not stage.room.connected


async def test_a_goodbye_is_not_cut_by_a_hand_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roomkeeper.agent.ending.TAIL", 3.0)
    async with show(people=[person("ada")]) as stage:
        kept = await stage.start(Quiet)
        kept.end("completed", goodbye="Goodbye!")
        stage.desk.tell(link.Mute(job="AJ_1"))
        assert (await kept.ended()).reason == "completed"
        await stage.until(lambda: stage.shut_down)
    assert stage.desk.of("goodbye_over") == [{"heard": True}]


async def test_the_successor_is_given_the_userdata_as_it_is_at_the_swap() -> None:
    class Codec:
        version = 1

        def dump(self, userdata: Any) -> Any:
            return dict(userdata)

        def load(self, version: int, value: Any) -> Any:
            return value

    async with show(people=[person("ada")]) as stage:
        stage.session.userdata = {"asked": 1}
        await stage.start(Quiet, userdata=Codec())
        stage.session.userdata["asked"] = 2
        stage.desk.tell(link.Mute(job="AJ_1"))
        await stage.until(lambda: stage.shut_down)
    assert stage.desk.of("userdata")[-1]["value"] == {"asked": 2}


async def test_an_agent_whose_successor_did_not_come_talks_on() -> None:
    async with show("Still me.", people=[person("ada")]) as stage:
        await stage.start(Quiet)
        stage.session._user_state = "speaking"
        stage.desk.tell(link.Mute(job="AJ_1"))
        await asyncio.sleep(1)
        stage.desk.tell(link.Unmute(job="AJ_1"))
        stage.session._user_state = "listening"
        await asyncio.sleep(20)
        assert not stage.shut_down
        stage.room.writes("ada", "Who is there?")
        await stage.until(stage.heard)


async def test_the_agent_is_told_that_time_runs_out() -> None:
    async with show(people=[person("ada")]) as stage:
        await stage.start(Quiet)
        stage.desk.tell(link.Warning(job="AJ_1", remaining=30_000))
        await stage.until(lambda: any("30 seconds" in text for text in _texts(stage)))


async def test_an_agent_may_want_to_be_told_itself_that_time_runs_out() -> None:
    told: list[float] = []

    class Host(Quiet):
        def on_time_warning(self, remaining: float) -> None:
            told.append(remaining)

    async with show(people=[person("ada")]) as stage:
        await stage.start(Host)
        stage.desk.tell(link.Warning(job="AJ_1", remaining=30_000))
        await stage.until(lambda: told)
    assert told == [30]


async def test_an_agent_that_listens_to_nobody_reconnects_and_then_gives_up() -> None:
    from roomkeeper.agent.watchdog import Watchdog

    gave_up: list[float] = []
    async with show(people=[person("ada")]) as stage:
        await stage.start(Talker)
        watchdog = Watchdog(stage.kept._stage, give_up=lambda: gave_up.append(now()))  # type: ignore[union-attr]
        watchdog.wrong = lambda: "hears nothing"  # type: ignore[method-assign]
        began = now()
        watchdog.attach()
        await stage.until(lambda: gave_up)
    stage.room.simulate_scenario.assert_awaited_once_with(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
    assert gave_up[0] - began == pytest.approx(18, abs=2)


def _texts(stage: Show) -> list[str]:
    return [item.text_content or "" for item in stage.session.current_agent.chat_ctx.messages()]


async def test_what_is_wrong_is_seen_only_where_it_is() -> None:
    from roomkeeper.agent.watchdog import Watchdog

    ada = person("ada")
    async with show(people=[ada]) as stage:
        await stage.start(Quiet)
        watchdog = Watchdog(stage.kept._stage, give_up=lambda: None)  # type: ignore[union-attr]
        watchdog.attach()
        assert watchdog.wrong() is None  # this agent has no voice to publish
        stage.session._output._audio_sink = cast("Any", SimpleNamespace())
        assert watchdog.wrong() is None  # an avatar speaks for it
        stage.session.room_io._audio_output = cast("Any", SimpleNamespace())
        assert watchdog.wrong() == "publishes nothing"
        stage.room.local_participant.track_publications["TR_agent"] = object()
        assert watchdog.wrong() is None
        stage.session._input._audio_stream = cast("Any", SimpleNamespace())
        microphone = SimpleNamespace(source=rtc.TrackSource.SOURCE_MICROPHONE, muted=False, track=None)
        ada._track_publications["TR_ada"] = microphone
        assert watchdog.wrong() is None  # nothing was ever subscribed to: the application wants it so
        stage.room.emit("track_subscribed")
        assert watchdog.wrong() == "hears nothing"
        microphone.muted = True
        assert watchdog.wrong() is None
        stage.session.room_io._audio_output = None
        stage.session._output._audio_sink = None
        stage.session._input._audio_stream = None
        ada._track_publications.clear()


@pytest.mark.parametrize("by", ["the job", "the attribute"])
async def test_a_caller_who_was_handed_elsewhere_did_not_hang_up(by: str) -> None:
    caller = person("ada", rtc.ParticipantKind.PARTICIPANT_KIND_SIP)
    async with show(people=[caller]) as stage:
        kept = await stage.start(Quiet)
        if by == "the job":
            await stage.ctx.transfer_sip_participant("ada", "tel:+49301234")
        else:
            caller._info.attributes["roomkeeper.referred"] = "true"
        stage.room.leaves(caller, LEFT)
        assert (await kept.ended()).reason == "transferred"
