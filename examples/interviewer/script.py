"""What the scripted interviewer says next: one pure function over the conversation so far.

Rules of this file. `reply` is told what was said and answers what to say; it keeps nothing between two calls, so a
fresh process that is given the same conversation goes on where a dead one stopped. Where the interview stands is read
off the interviewer's own lines: a question counts as asked once `ASKED` of its words were heard, so one that was cut
off is asked again, and one that was answered never is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from .intent import Intent, intent, words

if TYPE_CHECKING:
    from collections.abc import Sequence

GREETING = "Hello, and welcome. I am a scripted interviewer, and I have four short questions for you."
ACKNOWLEDGEMENTS = (
    "Thank you.",
    "I see, thank you.",
    "That is good to know.",
    "Thank you for telling me that.",
)
SKIPPED = "That is all right."
MOVING_ON = "Let us go on."
REPEATED = "Of course."
TAKE_YOUR_TIME = "Of course, take your time."
GO_ON = "Please go on, I am listening."
CHECK_INS = (
    "Are you still there? Take your time.",
    "I am still here. Shall I repeat the question?",
    "I cannot hear you. If you can hear me, please say something.",
)
ALL_ASKED = "That was my last question."
STOPPED = "Of course, we can stop here."
TIME_IS_UP = "I am afraid our time is up."
RESUMED = "Sorry, I was gone for a moment."
RETURNED = "Good to have you back."
GOODBYE = "Thank you very much for your time, and goodbye!"

ASKED = 0.6
"""Share of a line's words, from its beginning, after which the listener knows it."""
SHORT = 6
"""An answer of fewer words gets one follow-up question."""
PATIENCE = 5
"""Lines of ours about one question, after which any remark counts as its answer."""
MAX_LINES = 80
"""The interview ends at this many lines, whoever said them."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question and what to ask when the answer is short."""

    text: str
    follow_up: str


QUESTIONS = (
    Question(
        "To begin with, could you tell me a little about yourself?",
        "Would you like to add something, for example what you do on an ordinary day?",
    ),
    Question(
        "What is a piece of work that you are proud of?",
        "What made it go so well?",
    ),
    Question(
        "Now tell me about something that went wrong, and what you did about it.",
        "And what would you do differently today?",
    ),
    Question(
        "My last question: which skill would you like to learn next, and why?",
        "How would you go about learning it?",
    ),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One remark of the conversation; of an interrupted one only the words that were heard."""

    speaker: Literal["interviewer", "candidate"]
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What to say next; with `end`, the last words before `end_interview` is called with that detail."""

    text: str
    end: str | None = None


def heard(line: str, remark: str) -> float:
    """Which share of a scripted line, from its beginning, a remark contains."""
    script, said = words(line), words(remark)
    longest = 0
    for start in range(len(said)):
        run = 0
        while run < len(script) and start + run < len(said) and script[run] == said[start + run]:
            run += 1
        longest = max(longest, run)
    return longest / len(script)


@dataclass(slots=True)
class _Standing:
    """Where the interview stands, read line by line."""

    greeted: bool = False
    """The greeting was heard."""
    asking: int | None = None
    """The question that waits for its answer."""
    settled: set[int] = field(default_factory=set)
    """Questions answered or skipped."""
    followed_up: set[int] = field(default_factory=set)
    """Questions whose follow-up was asked."""
    answer: int = 0
    """Words of the answer so far."""
    prompts: int = 0
    """Lines of ours since the question was first asked."""
    check_ins: int = 0
    """Lines of ours since the candidate last spoke."""

    def read(self, line: Line) -> None:
        if line.speaker == "interviewer":
            self._read_ours(line.text)
        else:
            self._read_theirs(line.text)

    def _read_ours(self, text: str) -> None:
        self.check_ins += 1
        self.prompts += 1
        self.greeted = self.greeted or heard(GREETING, text) >= ASKED
        for number, question in enumerate(QUESTIONS):
            if heard(question.text, text) >= ASKED and number != self.asking and number not in self.settled:
                self.asking, self.answer, self.prompts = number, 0, 1
            if heard(question.follow_up, text) >= ASKED:
                self.followed_up.add(number)

    def _read_theirs(self, text: str) -> None:
        self.check_ins = 0
        if self.asking is None or self.asking in self.settled:
            return
        match intent(text):
            case Intent.SKIP:
                self.settled.add(self.asking)
            case Intent.ANSWER:
                self.answer += len(words(text))
                if self.answer >= SHORT or self.asking in self.followed_up:
                    self.settled.add(self.asking)
            case Intent.REPEAT | Intent.WAIT | Intent.NOTHING | Intent.STOP:
                if self.prompts >= PATIENCE:
                    self.settled.add(self.asking)

    @property
    def waiting(self) -> int | None:
        """The question that was asked and not answered yet."""
        return None if self.asking in self.settled else self.asking

    @property
    def following(self) -> int | None:
        """The first question that is neither answered nor waiting for its answer."""
        return next((n for n in range(len(QUESTIONS)) if n not in self.settled and n != self.waiting), None)


def reply(conversation: Sequence[Line]) -> Reply:
    """The next line of the interviewer.

    Args:
        conversation: Everything said so far, in order. When its last line is the interviewer's own, the candidate
            has been silent: the reply is a check-in.
    """
    standing = _Standing()
    for line in conversation:
        standing.read(line)

    if not conversation:
        return _go_on_with(standing, GREETING)
    if len(conversation) >= MAX_LINES:
        return Reply(TIME_IS_UP, end="the time is up")
    last = conversation[-1]
    if last.speaker == "interviewer":
        if standing.waiting is None:
            return _go_on_with(standing, "")
        return Reply(CHECK_INS[min(standing.check_ins, len(CHECK_INS)) - 1])
    return _answer(standing, last.text)


def where(conversation: Sequence[Line]) -> str:
    """What to say to somebody who was away for a moment: the question that waits for its answer, or the next one."""
    standing = _Standing()
    for line in conversation:
        standing.read(line)
    number = standing.waiting if standing.waiting is not None else standing.following
    return QUESTIONS[number].text if number is not None else ALL_ASKED


def _answer(standing: _Standing, remark: str) -> Reply:
    """React to what the candidate just said."""
    waiting = standing.waiting
    match intent(remark):
        case Intent.STOP:
            return Reply(STOPPED, end="the candidate asked to stop")
        case _ if standing.asking is None and not standing.greeted:
            return _go_on_with(standing, GREETING)
        case Intent.SKIP if waiting is None:
            return _go_on_with(standing, SKIPPED)
        case Intent.ANSWER if waiting is not None:
            return Reply(QUESTIONS[waiting].follow_up)
        case Intent.ANSWER:
            return _go_on_with(standing, _acknowledgement(standing))
        case Intent.REPEAT if waiting is None:
            return _go_on_with(standing, REPEATED)
        case _ if waiting is None:
            return _go_on_with(standing, MOVING_ON)
        case Intent.WAIT:
            return Reply(TAKE_YOUR_TIME)
        case Intent.NOTHING:
            return Reply(GO_ON)
        case _:
            return Reply(f"{REPEATED} {QUESTIONS[waiting].text}")


def _acknowledgement(standing: _Standing) -> str:
    return ACKNOWLEDGEMENTS[len(standing.settled) % len(ACKNOWLEDGEMENTS)]


def _go_on_with(standing: _Standing, opening: str) -> Reply:
    """Ask the next question, or end when there is none."""
    if standing.following is None:
        return Reply(f"{opening} {ALL_ASKED}".strip(), end="all questions asked")
    return Reply(f"{opening} {QUESTIONS[standing.following].text}".strip())
