"""Speech from text with the espeak-ng library of the `espeakng-loader` wheel.

The library keeps its state in globals and is not thread-safe: one lock for the process. Names, constants and the
callback's contract are those of espeak-ng's `speak_lib.h`.
"""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING

import espeakng_loader

if TYPE_CHECKING:
    from collections.abc import Callable

VOICE = "en-us+steph"
"""Of the American voices the one that a speech recogniser misheard least; female, calm."""
RATE = 158
"""Words a minute."""
PITCH = 48
PITCH_RANGE = 62
"""Livelier than espeak's 50, short of sing-song; both from 0 to 100."""

_CHUNK_MS = 60
_LOCK = threading.Lock()

_OK = 0
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_POS_CHARACTER = 1
_CHARS_UTF8 = 1
_PARAMETER_RATE, _PARAMETER_PITCH, _PARAMETER_RANGE = 1, 3, 4
_CONTINUE, _ABORT = 0, 1

_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class EspeakError(Exception):
    """The espeak-ng library refused to work; reinstall the espeakng-loader package."""


class Espeak:
    """The synthesizer, set to one voice.

    Attributes:
        sample_rate: Of the audio it makes, in Hz; samples are 16-bit mono.

    Raises:
        EspeakError: The library or its data cannot be loaded, or it does not know the voice.
    """

    sample_rate: int

    def __init__(self, voice: str = VOICE) -> None:
        with _LOCK:
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
            self.sample_rate = self._library.espeak_Initialize(
                _AUDIO_OUTPUT_SYNCHRONOUS, _CHUNK_MS, espeakng_loader.get_data_path().encode(), _INITIALIZE_DONT_EXIT
            )
            if self.sample_rate <= 0:
                raise EspeakError("its data did not load")
            if self._library.espeak_SetVoiceByName(voice.encode()) != _OK:
                raise EspeakError(f"no voice {voice!r}")
            self._library.espeak_SetParameter(_PARAMETER_RATE, RATE, 0)
            self._library.espeak_SetParameter(_PARAMETER_PITCH, PITCH, 0)
            self._library.espeak_SetParameter(_PARAMETER_RANGE, PITCH_RANGE, 0)

    def synthesize(self, text: str, listen: Callable[[bytes], bool]) -> None:
        """Speak a text, blocking until its last sample.

        Args:
            text: What to say.
            listen: Called with each chunk of audio as soon as it is made; False stops the speech.

        Raises:
            EspeakError: The text could not be synthesized.
        """

        def on_chunk(samples: int | None, count: int, _events: int | None) -> int:
            if samples is None or count <= 0:  # the end of the text comes without samples
                return _CONTINUE
            heard = listen(ctypes.string_at(samples, count * ctypes.sizeof(ctypes.c_short)))
            return _CONTINUE if heard else _ABORT

        callback = _SynthCallback(on_chunk)
        encoded = text.encode()
        with _LOCK:
            self._library.espeak_SetSynthCallback(callback)
            status = self._library.espeak_Synth(
                encoded, len(encoded) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None
            )
        if status != _OK:
            raise EspeakError(f"synthesis failed with {status}")
