"""What the page does when things change or go wrong around it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.listener import listening
from tests.browser.visitor import Visitor

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Route, WebSocketRoute

    from tests.browser.home import Visit
    from tests.browser.house import House

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(120),
    # The secret of development servers is the short one that everybody knows.
    pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning"),
]

LONGEST_PAUSE = 3.0
"""Seconds; longer than any silence within the recorded speech."""

REFUSE_MICROPHONE = """() => {
  navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", "NotAllowedError"));
}"""

# A microphone whose plug can be pulled: its track ends, and there is no other until it is back.
PULL_THE_PLUG = """
const { getUserMedia } = MediaDevices.prototype;
const tracks = [];
let plugged = true;
MediaDevices.prototype.getUserMedia = async function (...asked) {
  if (!plugged) throw new DOMException("", "NotFoundError");
  const stream = await getUserMedia.apply(this, asked);
  tracks.push(...stream.getAudioTracks());
  return stream;
};
globalThis.plug = (isIn) => {
  plugged = isIn;
  if (isIn) return;
  for (const track of tracks.filter(({ readyState }) => readyState === "live")) {
    track.stop();
    track.dispatchEvent(new Event("ended"));
  }
};
"""

# As browsers do before the user has touched the page. A driven browser counts as touched, so it never does.
HOLD_SOUND_BACK = """() => {
  const { play } = HTMLMediaElement.prototype;
  HTMLMediaElement.prototype.play = () => Promise.reject(new DOMException("", "NotAllowedError"));
  document.addEventListener("click", ({ target }) => {
    if (target.innerText === "Turn on the sound") HTMLMediaElement.prototype.play = play;
  }, true);
}"""


async def test_a_muted_microphone_reaches_nobody_and_another_one_can_be_chosen(
    visit: Visit, house: House, voice: Path
) -> None:
    ada = await visit(microphone=voice)
    async with ada.page.expect_response("**/api/token") as response:
        await ada.start()
    told = await (await response.value).json()
    mute = ada.button("Mute")
    server = house.server
    async with listening(server, told["room_name"], told["participant_identity"]) as listener:
        await expect(mute).to_have_attribute("aria-pressed", "false")
        await listener.hears_speech()

        await mute.click()
        await expect(mute).to_have_attribute("aria-pressed", "true")
        await asyncio.wait_for(listener.muted.wait(), 5)
        await expect(ada.page.get_by_text("Your microphone is off.")).to_be_visible()
        await listener.hears_silence(LONGEST_PAUSE)

        await mute.click()
        await expect(mute).to_have_attribute("aria-pressed", "false")
        await listener.hears_speech()

        microphones = ada.page.get_by_label("Microphone", exact=True)
        await expect(microphones.get_by_role("option").nth(1)).to_be_attached()  # the page has listed the devices
        names = await microphones.get_by_role("option").all_inner_texts()
        await microphones.select_option(label=names[-1])
        await listener.hears_speech()
        await expect(microphones.get_by_role("option", selected=True)).to_have_text(names[-1])


async def test_a_reload_brings_the_same_participant_back_to_the_same_conversation(visit: Visit) -> None:
    ada = await visit()
    told = await ada.joins_to_type()
    await ada.is_asked("yourself")
    await ada.types("I repair old clocks and sell them on the market.")
    await ada.is_asked("proud")

    await ada.page.reload()
    await expect(ada.log).to_contain_text("old clocks")
    await ada.types("A church clock that had not struck the hour for thirty years.")
    await ada.is_asked("went wrong")

    before, after = ada.token_requests
    assert before["participant_identity"] == after["participant_identity"] == told["participant_identity"]
    assert "room_name" not in before
    assert after["room_name"] == told["room_name"]


async def test_sound_that_the_browser_holds_back_is_turned_on_by_a_button(visit: Visit) -> None:
    ada = await visit()
    await ada.page.evaluate(HOLD_SOUND_BACK)
    await ada.join_to_type()
    sound = ada.button("Turn on the sound")
    await expect(sound).to_be_visible()
    await ada.screenshot("10-sound")
    await sound.click()
    await expect(sound).to_be_hidden()


async def test_the_interview_is_open_in_one_tab_at_a_time(visit: Visit) -> None:
    ada = await visit()
    await ada.join_to_type()
    await ada.sees_status("The interviewer is listening")

    async with ada.page.context.expect_page() as opened:
        await ada.page.evaluate("open(location.href)")
    other = Visitor(await opened.value, ada.address)
    await expect(ada.page.get_by_role("alert")).to_contain_text("The interview went on in another tab")
    await other.sees_status("The interviewer is listening")

    await ada.button("Use this tab").click()
    await ada.sees_status("The interviewer is listening")
    await expect(other.page.get_by_role("alert")).to_contain_text("another tab")
    assert other.problems == []


async def test_a_refused_microphone_is_said_in_the_lobby_and_typing_remains(visit: Visit) -> None:
    ada = await visit()
    await ada.page.evaluate(REFUSE_MICROPHONE)
    await ada.start()
    await expect(ada.page.get_by_role("alert")).to_contain_text("does not let this page use the microphone")
    await ada.join_to_type()
    await ada.sees_status("The interviewer is listening")


async def test_a_microphone_that_fails_later_can_be_tried_again_or_replaced_by_typing(visit: Visit) -> None:
    ada = await visit()
    await ada.join_to_type()
    await ada.sees_status("The interviewer is listening")
    await ada.page.evaluate(REFUSE_MICROPHONE)
    await ada.button("Mute").click()
    await expect(ada.page.get_by_role("alert")).to_contain_text("The microphone cannot be used")
    await ada.button("Type instead").click()
    await ada.sees_status("The interviewer is listening")


async def test_a_microphone_that_is_unplugged_is_said_and_used_again_when_it_is_back(
    visit: Visit, house: House, voice: Path
) -> None:
    ada = await visit(microphone=voice)
    await ada.page.add_init_script(PULL_THE_PLUG)
    await ada.page.reload()
    async with ada.page.expect_response("**/api/token") as response:
        await ada.start()
    told = await (await response.value).json()
    await expect(ada.button("Mute")).to_have_attribute("aria-pressed", "false")
    await ada.page.evaluate("plug(false)")
    alert = ada.page.get_by_role("alert")
    await expect(alert).to_contain_text("The microphone cannot be used")
    assert await ada.barriers() == []
    await ada.button("Try again").click()
    await expect(alert).to_contain_text("The microphone cannot be used")
    await ada.page.evaluate("plug(true)")
    await ada.button("Try again").click()
    await expect(alert).to_be_hidden()
    async with listening(house.server, told["room_name"], told["participant_identity"]) as listener:
        await listener.hears_speech()
    ada.problems.clear()  # livekit-client's own, about the device that was gone


async def test_a_server_out_of_reach_is_told_without_its_token_and_used_when_it_is_back(visit: Visit) -> None:
    ada = await visit()
    spoken: list[str] = []
    ada.page.on("console", lambda message: spoken.append(message.text))

    async def hang_up(websocket: WebSocketRoute) -> None:
        await websocket.close(code=1011)

    def pass_on(websocket: WebSocketRoute) -> None:
        websocket.connect_to_server()

    await ada.page.route_web_socket("**/rtc/**", hang_up)
    told = await ada.joins_to_type()
    alert = ada.page.get_by_role("alert")
    await expect(alert).to_contain_text("No connection to the interview")
    await expect(ada.button("Try again")).to_be_visible()
    await ada.screenshot("12-out-of-reach")
    shown = await ada.page.content()
    assert told["participant_token"] not in "".join([shown, *spoken])

    await ada.page.route_web_socket("**/rtc/**", pass_on)
    await ada.sees_status("The interviewer is listening")


async def test_a_control_plane_that_is_down_when_the_page_loads_is_asked_again(visit: Visit) -> None:
    ada = await visit()
    await ada.page.route("**/api/**", lambda route: route.abort("connectionrefused"))
    await ada.join_to_type()
    await expect(ada.page.get_by_role("alert")).to_contain_text("No connection to the interview")
    await ada.page.unroute("**/api/**")
    await ada.sees_status("The interviewer is listening")
    ada.problems.clear()  # Chromium's own, about the requests that failed


async def test_a_token_that_is_not_good_any_more_is_renewed_once_and_then_said(visit: Visit, house: House) -> None:
    ada = await visit()
    spoilt = [0]

    async def spoil(route: Route) -> None:
        answer = await route.fetch()
        spoilt[0] += 1
        body = await answer.json()
        await route.fulfill(response=answer, json=body | {"participant_token": house.expired_token(body)})

    await ada.page.route("**/api/token", spoil)
    await ada.join_to_type()
    await expect(ada.page.get_by_role("alert")).to_contain_text("You could not be let in")
    assert spoilt == [2]
    await ada.page.unroute("**/api/token")
    await ada.button("Try again").click()
    await ada.sees_status("The interviewer is listening")
    ada.problems.clear()  # Chromium's own, about the answers 401
