"""A whole interview in front of the page, by a recorded human voice and by keyboard."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.microphone import WORDS, write_voice
from tests.browser.visitor import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.home import Visit

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

GREETING = 16.0
"""Seconds of silence in the microphone while the interviewer greets and asks."""
ANSWERS = (
    "I built a small bridge over the stream behind our house.",
    "Once I forgot to order the wood, so I asked the neighbours for theirs.",
    "I would like to learn to weld, because then I can build with steel.",
)


async def test_a_spoken_answer_is_written_down_answered_aloud_and_the_interview_ends_with_its_reason(
    visit: Visit, tmp_path: Path
) -> None:
    recording = tmp_path / "microphone.wav"
    write_voice(recording, before=GREETING, after=300)
    ada = await visit(microphone=recording)
    await ada.screenshot("1-lobby")
    await ada.start()

    await ada.sees_status("The interviewer is speaking")
    await expect(ada.said("agent").first).to_contain_text("welcome")
    assert await ada.heard() > 0
    await ada.screenshot("2-greeting")

    await expect(ada.said("user").first).to_be_visible(timeout=2 * PATIENCE)
    asked = await ada.heard()  # the interviewer has asked, and listens
    await ada.screenshot("3-answering")
    await expect(ada.log).to_contain_text(re.compile(r"fail better|try again", re.IGNORECASE))
    written = set(re.findall(r"[a-z]+", " ".join(await ada.said("user").all_inner_texts()).lower()))
    assert len(written & WORDS) >= 6, written

    await ada.is_asked("proud")
    assert await ada.heard() > 1.2 * asked  # the answer is another sentence or two

    for answer in ANSWERS:
        await ada.types(answer)
    await ada.screenshot("4-goodbye")
    await ada.sees_end("completed", re.compile("complete"))
    answers = ada.page.get_by_role("definition").last
    assert int(await answers.inner_text()) >= len(ANSWERS) + 1
    await ada.screenshot("5-end")

    await ada.page.get_by_text("Read the transcript").click()
    await expect(ada.log).to_contain_text("goodbye")
    await ada.button("Start a new interview").click()
    await expect(ada.button("Start the interview")).to_be_visible()


async def test_an_interview_needs_nothing_but_the_keyboard(visit: Visit) -> None:
    ada = await visit()
    keyboard = ada.page.keyboard
    name = ada.page.get_by_label("Your name")
    await expect(name).to_be_visible()  # a Tab before that goes nowhere
    await keyboard.press("Tab")
    await expect(name).to_be_focused()
    await keyboard.type("Ada")
    for _ in range(3):
        await keyboard.press("Tab")
    await expect(ada.button("Join without a microphone and type")).to_be_focused()
    await keyboard.press("Enter")
    await expect(ada.page.get_by_role("heading", level=1)).to_be_focused()

    await ada.is_asked("yourself")
    field = ada.page.get_by_label("Type an answer")
    for _ in range(5):  # past mute, speaker, end and transcript
        await keyboard.press("Tab")
    await expect(field).to_be_focused()
    await keyboard.type("I repair old clocks and sell them on the market.")
    await keyboard.press("Enter")
    await expect(ada.log).to_contain_text("old clocks")
    await expect(field).to_have_value("")

    await keyboard.press("Shift+Tab")
    await keyboard.press("Shift+Tab")
    await expect(ada.button("End the interview")).to_be_focused()
    await keyboard.press("Enter")
    await expect(ada.button("Keep going")).to_be_focused()
    await keyboard.press("Escape")
    await expect(ada.button("End the interview")).to_be_focused()
    await keyboard.press("Enter")
    await keyboard.press("Tab")
    await expect(ada.button("End now")).to_be_focused()
    await keyboard.press("Enter")
    await ada.sees_end("user_ended", "You ended the interview.")


async def test_the_lobby_says_what_it_needs_in_the_language_of_its_visitor(visit: Visit) -> None:
    ada = await visit(dark=True, phone=True)
    await ada.button("Test your microphone").click()
    await expect(ada.page.get_by_role("img", name="Microphone level")).to_be_visible()
    assert await ada.barriers() == []
    await ada.page.emulate_media(color_scheme="light")
    assert await ada.barriers() == []
    await ada.screenshot("6-lobby-phone")

    await ada.page.goto(f"{ada.address}?lang=de")
    await expect(ada.button("Interview beginnen")).to_be_visible()
    await expect(ada.page.locator("html")).to_have_attribute("lang", "de")
    assert await ada.barriers() == []
