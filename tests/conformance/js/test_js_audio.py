"""Audio between two pages with livekit-client, recognised by its tone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from livekit.protocol.rtc import RequestResponse

from tests.conformance.js.lab import HUM_HZ, MICROPHONE_HZ

if TYPE_CHECKING:
    from tests.conformance.js.lab import Tab
    from tests.conformance.support.clients import SignalPath

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_two_pages_hear_each_other(ann: Tab, bob: Tab, room: str, path: SignalPath) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    await asyncio.gather(ann.run("lab.speak()"), bob.run("hz => lab.hum(hz)", HUM_HZ))
    await asyncio.gather(ann.hears("bob", HUM_HZ), bob.hears("ann", MICROPHONE_HZ))


async def test_a_track_published_before_the_other_joined_is_heard(
    ann: Tab, bob: Tab, room: str, path: SignalPath
) -> None:
    await ann.join(room, "ann", path=path)
    await ann.run("lab.speak()")
    await bob.join(room, "bob", path=path)
    await bob.hears("ann", MICROPHONE_HZ)


async def test_mute_is_seen_and_silences_and_unmute_sounds_again(
    ann: Tab, bob: Tab, room: str, path: SignalPath
) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    await ann.run("lab.speak()")
    await bob.hears("ann", MICROPHONE_HZ)
    await ann.run("lab.room.localParticipant.setMicrophoneEnabled(false)")
    await bob.until("trackMuted", None, "ann")
    await bob.hears("ann", 0)
    await ann.run("lab.speak()")
    await bob.until("trackUnmuted", None, "ann")
    await bob.hears("ann", MICROPHONE_HZ)
    assert "trackUnsubscribed" not in await bob.names()


async def test_an_unpublished_track_goes_and_a_republished_one_is_heard(
    ann: Tab, bob: Tab, room: str, path: SignalPath
) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    first = await ann.run("hz => lab.hum(hz)", HUM_HZ)
    await bob.hears("ann", HUM_HZ)
    await ann.run(
        "sid => lab.room.localParticipant.unpublishTrack(lab.room.localParticipant.trackPublications.get(sid).track)",
        first,
    )
    await bob.until("trackUnpublished", first, "ann")
    since = await bob.mark()
    second = await ann.run("hz => lab.hum(hz)", HUM_HZ / 2)
    assert second != first
    await bob.until("trackSubscribed", "audio", second, "ann", since=since)
    await bob.hears("ann", HUM_HZ / 2)


@pytest.mark.improvement
async def test_a_video_is_refused_with_a_clear_answer_and_breaks_nothing(
    ann: Tab, bob: Tab, room: str, path: SignalPath
) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    await ann.run("lab.speak()")
    await bob.hears("ann", MICROPHONE_HZ)
    marks = await ann.mark(), await bob.mark()
    await ann.run("""void lab.room.engine.on('signalRequestResponse', ({ reason, message }) =>
      lab.record('refused', reason, message))""")
    await ann.run(
        "void lab.show().catch(() => {})"
    )  # the SDK reads the refusal of data tracks only, and gives up in 10 s
    reason, message = await ann.until("refused")
    assert reason == RequestResponse.UNSUPPORTED_TYPE
    assert "video" in message
    await bob.run("hz => lab.hum(hz)", HUM_HZ)
    await asyncio.gather(ann.hears("bob", HUM_HZ), bob.hears("ann", MICROPHONE_HZ))
    assert await ann.names(marks[0]) == [
        "refused",
        "trackPublished",
        "trackSubscribed",
        "trackSubscriptionStatusChanged",
    ]
    assert await bob.names(marks[1]) == ["localTrackPublished", "localTrackSubscribed"]
