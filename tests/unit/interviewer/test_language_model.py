"""Who interviews: the script, unless a model is named."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from examples.interviewer.language_model import MODEL, language_model, openai_plugin
from examples.interviewer.scripted_llm import ScriptedLLM

PLUGIN = "livekit.plugins.openai"


class FakePlugin(ModuleType):
    """LiveKit's plugin, as far as it is used."""

    def LLM(self, **options: Any) -> Any:  # noqa: N802, ANN401 - named by LiveKit
        return SimpleNamespace(**options)


def test_without_a_model_the_script_interviews_even_if_a_key_lies_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MODEL, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-somebody")
    assert openai_plugin() is None
    assert isinstance(language_model(), ScriptedLLM)


def test_a_named_model_is_reached_through_livekits_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODEL, "some-model")
    monkeypatch.setitem(sys.modules, "livekit.plugins", ModuleType("livekit.plugins"))
    monkeypatch.setitem(sys.modules, PLUGIN, FakePlugin(PLUGIN))
    assert language_model().model == "some-model"


def test_a_missing_plugin_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODEL, "some-model")
    monkeypatch.setitem(sys.modules, PLUGIN, None)
    with pytest.raises(SystemExit, match=r"pip install 'livekit-agents\[openai\]'"):
        language_model()
