"""Which language model interviews: the script, or any that speaks OpenAI's API."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from .scripted_llm import ScriptedLLM

if TYPE_CHECKING:
    from types import ModuleType

    from livekit.agents import llm

MODEL = "INTERVIEWER_LLM_MODEL"
"""The environment variable that chooses a model; OPENAI_API_KEY alone must not send anybody's voice away."""
_PLUGIN = "livekit.plugins.openai"


def openai_plugin() -> ModuleType | None:
    """LiveKit's plugin for OpenAI's API, or None when the script interviews.

    Raises:
        SystemExit: A model is chosen and the plugin is not installed.
    """
    if not os.environ.get(MODEL):
        return None
    try:
        return importlib.import_module(_PLUGIN)
    except ModuleNotFoundError as error:
        raise SystemExit(f"{MODEL} needs LiveKit's OpenAI plugin: pip install 'livekit-agents[openai]'") from error


def language_model() -> llm.LLM[str]:
    """The chosen model; it takes its key and address from OPENAI_API_KEY and OPENAI_BASE_URL."""
    plugin = openai_plugin()
    if plugin is None:
        return ScriptedLLM()
    model: llm.LLM[str] = plugin.LLM(model=os.environ[MODEL])
    return model
