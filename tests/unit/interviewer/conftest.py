"""Loaded models, recorded voices and a way to make others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from examples.interviewer.espeak import Espeak
from examples.interviewer.stt import Recognizer
from tests.unit.interviewer.voices import Voice, recorded, synthesized

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def recognizer() -> Recognizer:
    return Recognizer()


@pytest.fixture(scope="session")
def espeak() -> Espeak:
    return Espeak()


@pytest.fixture(scope="session")
def dickens() -> Voice:
    """A woman reads the beginning of a novel, slowly: "It was the best of times …", 44 seconds."""
    return recorded("two_cities.wav")


@pytest.fixture
def say(espeak: Espeak) -> Callable[[str], Voice]:
    """Say something with the demonstration voice."""
    return lambda text: synthesized(espeak, text)
