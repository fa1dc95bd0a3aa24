"""A participant in a process of its own, to be killed: `python -m tests.conformance.support.client_app URL TOKEN`.

It prints its sid as soon as it has published.
"""

from __future__ import annotations

import asyncio
import sys

from livekit import rtc


async def main(url: str, token: str) -> None:
    """Join, publish silence, stay."""
    room = rtc.Room()
    await room.connect(url, token)
    source = rtc.AudioSource(48_000, 1)
    await room.local_participant.publish_track(rtc.LocalAudioTrack.create_audio_track("silence", source))
    print(room.local_participant.sid, flush=True)  # noqa: T201 - the test waits for it
    while True:
        await source.capture_frame(rtc.AudioFrame(bytes(960 * 2), 48_000, 1, 960))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
