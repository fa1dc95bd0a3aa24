"""What a candidate's remark asks for, told by a few words: pure, and no match for a language model."""

from __future__ import annotations

import re
from enum import Enum, auto

LONG = 13
"""A remark of so many words is an answer, whatever it contains."""


class Intent(Enum):
    """What a remark asks for."""

    ANSWER = auto()
    REPEAT = auto()
    SKIP = auto()
    STOP = auto()
    WAIT = auto()
    NOTHING = auto()


_STOP = (
    r"\b(stop|end|finish|quit|leave)( the| this| our)? (interview|conversation|call)\b",
    r"\b(want|need|have|going|got) to (stop|end|finish|leave|go|quit)( now| here| please| this| it)*$",
    r"\b(like to|let us|lets|can we|please) (stop|end|finish)( now| here| please| this| it)*$",
    r"^(please )?stop( now| here| please| it)*$",
    r"\b(good ?bye|bye)\b",
)
_REPEAT = (
    r"\b(repeat|say (that|it) again|come again|pardon|one more time|ask( me)? (that )?again)\b",
    r"\bwhat (was|is) (the|your|that) question\b",
    r"\bwhat did you (say|ask)\b",
    r"\b(didnt|did not|couldnt|could not|cant|cannot) (hear|catch|get|understand)\b",
    r"^(im |i am )?sorry$",
    r"^what$",
)
_SKIP = (
    r"\b(skip|next question|another question|move on|pass on)\b",
    r"\b(dont|do not) (really )?know\b",
    r"\bno (idea|clue)\b",
    r"\b(rather not|prefer not|dont want|do not want|wont|will not)( to)? (say|answer|tell|talk)\b",
    r"^(i )?pass$",
    r"^(im |i am )?not (really )?sure$",
)
_WAIT = (
    r"\b(a|one) (moment|second|minute|sec)\b",
    r"\blet me think\b",
    r"\bgive me (some )?time\b",
    r"^(please )?(wait|hold on|hang on)\b",
)
# In this order: "stop, I did not hear" is a wish to stop.
_PATTERNS = {
    intent: re.compile("|".join(patterns))
    for intent, patterns in (
        (Intent.STOP, _STOP),
        (Intent.REPEAT, _REPEAT),
        (Intent.SKIP, _SKIP),
        (Intent.WAIT, _WAIT),
    )
}
_SOUNDS = r"ah|er|erm|hmm?|huh|uh huh|m+|mm hmm?|mhm|oh|uh|uhm|um|well|so|okay|ok|right|hello|hi|hey|there"
_NODS = r"yeah|yes|yep|sure|i see|got it|good|great|nice|thanks|thank you"
_NOTHING = re.compile(rf"(({_SOUNDS})( |$))*")
_BACKCHANNEL = re.compile(rf"(({_SOUNDS}|{_NODS})( |$))*")


def words(text: str) -> list[str]:
    """The words of a remark: lower case, no punctuation, apostrophes closed up."""
    return re.findall(r"[a-z0-9]+", text.lower().replace("'", "").replace("\N{RIGHT SINGLE QUOTATION MARK}", ""))


def intent(text: str) -> Intent:
    """What a remark asks for."""
    said = words(text)
    remark = " ".join(said)
    if _NOTHING.fullmatch(remark):
        return Intent.NOTHING
    if len(said) >= LONG:
        return Intent.ANSWER
    return next((meaning for meaning, pattern in _PATTERNS.items() if pattern.search(remark)), Intent.ANSWER)


def is_backchannel(text: str) -> bool:
    """Whether a remark only says "I am listening", when it is made while somebody else speaks."""
    return _BACKCHANNEL.fullmatch(" ".join(words(text))) is not None
