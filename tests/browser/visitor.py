"""Somebody in front of a page: a Chromium with a microphone, and what can be seen and heard there."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from playwright.async_api import expect

if TYPE_CHECKING:
    from playwright.async_api import ConsoleMessage, Error, Locator, Page, Request, WebSocket

REPOSITORY = Path(__file__).parents[2]
SCREENSHOTS = REPOSITORY / "artifacts" / "browser"
AXE = REPOSITORY / "web" / "node_modules" / "axe-core" / "axe.min.js"

PATIENCE = 20_000
"""Milliseconds to wait for the interviewer: its process, its model and its speech share two cores with the browser."""
expect.set_options(timeout=PATIENCE)
HELD_BACK = "The AudioContext was not allowed to start."
"""A warning of Chromium's: livekit-client opens an audio context on connecting, also before the user's first touch."""

# Every peer connection of the page, so that its statistics can be read.
WATCH_CONNECTIONS = """
globalThis.connections = [];
globalThis.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...args) { super(...args); globalThis.connections.push(this); }
};
"""
# What the page shows, each time that this changes; and what LiveKit's own hook says beside it, where a page has that.
RECORD_STATES = """
globalThis.shownStates = [];
globalThis.shownByLiveKit = [];
const note = () => {
  const theirs = document.querySelector("[data-testid=livekit]")?.innerText;
  if (theirs && globalThis.shownByLiveKit.at(-1)?.[0] !== theirs) globalThis.shownByLiveKit.push([theirs, Date.now()]);
  const over = document.querySelector("main.over");
  const state = over ? "ended" : document.querySelector("[role=status]")?.dataset.state
    ?? (document.querySelector("[role=alert]") ? "blocked" : undefined);
  if (state && globalThis.shownStates.at(-1)?.[0] !== state) globalThis.shownStates.push([state, Date.now()]);
};
new MutationObserver(note).observe(document, {
  subtree: true, childList: true, attributes: true, characterData: true,
});
"""
AUDIO_STATISTICS = """
async (type) => {
  let energy = 0;
  let packets = 0;
  for (const connection of globalThis.connections) {
    for (const each of (await connection.getStats()).values()) {
      if (each.type !== type || each.kind !== "audio") continue;
      energy += each.totalAudioEnergy ?? 0;
      packets += each.packetsReceived ?? each.packetsSent ?? 0;
    }
  }
  return { energy, packets };
}
"""
# When sound arrived: every 50 ms in which there was any.
RECORD_SOUNDS = f"""
globalThis.sounds = [];
(async () => {{
  const statistics = {AUDIO_STATISTICS};
  for (let before = 0; ; await new Promise((resolve) => setTimeout(resolve, 50))) {{
    const {{ energy }} = await statistics("inbound-rtp");
    if (energy > before + 1e-6) globalThis.sounds.push(Date.now());
    before = energy;
  }}
}})();
"""


@dataclass
class Visitor:
    """A tab with a page of ours.

    Attributes:
        page: The tab.
        address: Where the page is served.
        problems: Errors and warnings on its console, and errors that nobody caught.
        hosts: Hosts that it spoke to.
        token_requests: What it asked the token endpoint for, in order.
    """

    page: Page
    address: str
    problems: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    token_requests: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", self._on_page_error)
        self.page.on("request", self._on_request)
        self.page.on("websocket", self._on_websocket)

    async def open(self) -> None:
        """Load the page."""
        await self.page.add_init_script(WATCH_CONNECTIONS)
        await self.page.goto(self.address)

    def button(self, name: str) -> Locator:
        """The button of that name."""
        return self.page.get_by_role("button", name=name, exact=True)

    async def start(self, name: str = "Ada") -> None:
        """Join with the microphone."""
        await self.page.get_by_label("Your name").fill(name)
        await self.button("Start the interview").click()

    async def join_to_type(self) -> None:
        """Join without a microphone."""
        await self.button("Join without a microphone and type").click()

    async def joins_to_type(self) -> dict[str, Any]:
        """Join without a microphone; returns what the token endpoint answered."""
        async with self.page.expect_response("**/api/token") as response:
            await self.join_to_type()
        answer: dict[str, Any] = await (await response.value).json()
        return answer

    async def sees_status(self, words: str | re.Pattern[str]) -> None:
        """Wait until the page says this of the conversation."""
        await expect(self.page.get_by_role("status")).to_have_text(words)

    async def is_asked(self, words: str) -> None:
        """Wait until the interviewer has said this and listens."""
        await expect(self.said("agent").last).to_contain_text(words)
        await self.sees_status("The interviewer is listening")

    async def types(self, text: str) -> None:
        """Answer in writing when the interviewer listens, and wait until it reacts."""
        await self.sees_status("The interviewer is listening")
        await self.page.get_by_label("Type an answer").fill(text)
        await self.page.keyboard.press("Enter")
        await expect(self.log).to_contain_text(text)
        await self.sees_status(re.compile("speaking|Ending"))

    @property
    def log(self) -> Locator:
        """What was said, as the page shows it once it is final."""
        return self.page.get_by_role("log")

    def said(self, speaker: str) -> Locator:
        """The words of `user` or `agent`, final or still growing."""
        return self.page.locator(f".said.{speaker} .words")

    async def sees_end(self, reason: str, words: str | re.Pattern[str], *, within: float = 3 * PATIENCE) -> None:
        """Wait for the end screen and the reason on it.

        Args:
            reason: One of the table of reasons; empty if nobody said one.
            words: What the page says of it.
            within: Milliseconds.
        """
        heading = self.page.get_by_role("heading", level=1)
        await expect(heading).to_have_text("The interview is over", timeout=within)
        await expect(heading).to_be_focused()
        await expect(self.page.locator("main")).to_have_attribute("data-reason", reason)
        await expect(self.page.locator(".lead")).to_have_text(words)

    async def heard(self) -> float:
        """The energy of all sound that this browser received so far (squared amplitude times seconds)."""
        return float((await self.page.evaluate(AUDIO_STATISTICS, "inbound-rtp"))["energy"])

    async def record_states(self) -> None:
        """Note every state that the page shows from its next load on, with its time."""
        await self.page.add_init_script(RECORD_STATES)

    async def states(self) -> list[tuple[str, float]]:
        """The states that were shown since, and when: milliseconds since the epoch."""
        shown: list[tuple[str, float]] = await self.page.evaluate("globalThis.shownStates")
        return shown

    async def states_by_livekit(self) -> list[tuple[str, float]]:
        """The same of LiveKit's own hook: its connection's state and its agent's, in its words."""
        shown: list[tuple[str, float]] = await self.page.evaluate("globalThis.shownByLiveKit")
        return shown

    async def record_sounds(self) -> None:
        """Note when there is sound to be heard, from the page's next load on."""
        await self.page.add_init_script(RECORD_SOUNDS)

    async def hears(self, *, after: float) -> float:
        """Wait for a sound later than a time, as recorded; returns when it was, both in seconds since the epoch."""
        sound = "(after) => globalThis.sounds.find((at) => at > after)"
        found = await self.page.wait_for_function(sound, arg=after * 1000)
        return float(await found.json_value()) / 1000

    async def shows(self, state: str, within: float) -> float:
        """Wait until the page shows that state.

        Args:
            state: Of the view.
            within: Seconds.

        Returns:
            The seconds that it took.
        """
        begun = time.monotonic()
        status = self.page.get_by_role("status")
        await expect(status).to_have_attribute("data-state", state, timeout=within * 1000)
        return time.monotonic() - begun

    async def screenshot(self, name: str) -> None:
        """Keep a picture of what is to be seen."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    async def barriers(self) -> list[str]:
        """What keeps people out, as axe finds it by the rules of WCAG 2.2 AA and best practice."""
        # Colours on their way from one to the other have no contrast to speak of.
        await self.page.evaluate("Promise.allSettled(document.getAnimations().map((each) => each.finished))")
        if not await self.page.evaluate("'axe' in globalThis"):
            await self.page.evaluate(AXE.read_text())
        found: dict[str, Any] = await self.page.evaluate("axe.run()")
        violations, undecided = (
            [f"{rule['id']}: {node['html']} {node['failureSummary']}" for rule in found[kind] for node in rule["nodes"]]
            for kind in ("violations", "incomplete")
        )
        # Text in the very colour of its ground axe takes for hidden on purpose; here nothing is.
        return violations + [each for each in undecided if "1:1 contrast" in each]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and HELD_BACK not in message.text:
            self.problems.append(f"{message.type}: {message.text} ({message.location['url']})")

    def _on_page_error(self, error: Error) -> None:
        self.problems.append(f"uncaught: {error}")

    def _on_request(self, request: Request) -> None:
        url = urlsplit(request.url)
        self.hosts.add(url.hostname or request.url)
        if url.path == "/api/token":
            self.token_requests.append(request.post_data_json or {})

    def _on_websocket(self, websocket: WebSocket) -> None:
        self.hosts.add(urlsplit(websocket.url).hostname or websocket.url)
