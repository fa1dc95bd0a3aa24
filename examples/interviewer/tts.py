"""Text to speech for livekit-agents: espeak-ng, offline. A demonstration voice, not a pleasant one."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from livekit.agents import APIError, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions

from .espeak import VOICE, Espeak, EspeakError

if TYPE_CHECKING:
    from livekit.agents.tts import AudioEmitter

_NOTHING_TO_SAY = bytes(2205)
"""50 ms of silence: livekit-agents takes a text without audio for a failure, but "…" has none."""


class EspeakTTS(tts.TTS[str]):
    """Espeak as a voice; livekit-agents hands it one sentence at a time, so the first is heard at once.

    Args:
        espeak: The synthesizer, loaded.
    """

    def __init__(self, espeak: Espeak) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False), sample_rate=espeak.sample_rate, num_channels=1
        )
        self._espeak = espeak

    @property
    def model(self) -> str:
        """The name that metrics and reports show."""
        return VOICE

    @property
    def provider(self) -> str:
        """The name that metrics and reports show."""
        return "espeak-ng"

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Begin to speak a text."""
        return _EspeakStream(tts=self, input_text=text, conn_options=conn_options, espeak=self._espeak)


class _EspeakStream(tts.ChunkedStream):
    def __init__(self, *, tts: EspeakTTS, input_text: str, conn_options: APIConnectOptions, espeak: Espeak) -> None:
        super().__init__(tts=tts, input_text=input_text, conn_options=conn_options)
        self._espeak = espeak

    async def _run(self, output_emitter: AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=utils.shortuuid("espeak_"),
            sample_rate=self._espeak.sample_rate,
            num_channels=1,
            mime_type="audio/pcm",
        )
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        abandoned = threading.Event()

        def listen(chunk: bytes) -> bool:
            loop.call_soon_threadsafe(chunks.put_nowait, chunk)
            return not abandoned.is_set()

        synthesis = loop.run_in_executor(None, self._espeak.synthesize, self._input_text, listen)
        synthesis.add_done_callback(lambda _: chunks.put_nowait(None))
        silent = True
        try:
            while (chunk := await chunks.get()) is not None:
                output_emitter.push(chunk)
                silent = False
            await synthesis
        except EspeakError as error:
            raise APIError(str(error), retryable=False) from error
        finally:
            abandoned.set()
        if silent:
            output_emitter.push(_NOTHING_TO_SAY)
        output_emitter.flush()
