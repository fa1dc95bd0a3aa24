"""Who speaks, and how good the connections are: told to those who hear it, when it changes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit.protocol import models, rtc

from roomkeeper.sfu.effects import Signal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roomkeeper.sfu.participant import Participant
    from roomkeeper.sfu.room import Room


def speakers(room: Room, levels: Mapping[str, float]) -> list[Signal]:
    """Tells who speaks how loud.

    Args:
        room: Where they speak; keeps the levels for the next comparison.
        levels: `PA_` sid → linear level in eighths, for those who speak now.
    """
    now = {sid: level for sid, level in levels.items() if sid in room.participants}
    before, room.speaking = room.speaking, now
    changed = [
        models.SpeakerInfo(sid=sid, level=level, active=True) for sid, level in now.items() if before.get(sid) != level
    ]
    changed += [models.SpeakerInfo(sid=sid) for sid in before if sid not in now]
    return announce(room, changed)


def announce(room: Room, changed: Sequence[models.SpeakerInfo]) -> list[Signal]:
    """Tells changed speakers to those who hear them."""
    told: list[Signal] = []
    for listener in room.present() if changed else []:
        heard = [info for info in changed if _hears(room, listener, info.sid)]
        if heard:
            message = rtc.SignalResponse(speakers_changed=rtc.SpeakersChanged(speakers=heard))
            told.append(Signal(listener.sid, message))
    return told


def qualities(room: Room, measured: Mapping[str, tuple[models.ConnectionQuality, float]]) -> list[Signal]:
    """Tells connection qualities to everybody who has not been told them, and sees the participant.

    Args:
        room: Whose connections were measured.
        measured: `PA_` sid → quality, and score from 0 to 5.
    """
    told: list[Signal] = []
    for listener in room.present():
        news = [
            rtc.ConnectionQualityInfo(participant_sid=sid, quality=quality, score=score)
            for sid, (quality, score) in measured.items()
            if listener.told_quality.get(sid) != quality and _hears(room, listener, sid)
        ]
        if news:
            listener.told_quality |= {info.participant_sid: info.quality for info in news}
            message = rtc.SignalResponse(connection_quality=rtc.ConnectionQualityUpdate(updates=news))
            told.append(Signal(listener.sid, message))
        listener.told_quality = {sid: known for sid, known in listener.told_quality.items() if sid in measured}
    return told


def _hears(room: Room, listener: Participant, sid: str) -> bool:
    if listener.sid == sid:
        return True
    speaker = room.participants.get(sid)
    return speaker is not None and any(track.info.sid in listener.subscribed for track in speaker.live_tracks())
