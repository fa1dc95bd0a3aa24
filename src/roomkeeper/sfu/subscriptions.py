"""Who receives which tracks: pure functions of the participants as they are now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit.protocol import rtc

from roomkeeper.sfu.effects import Signal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from roomkeeper.sfu.participant import Participant


def wanted_tracks(participants: Iterable[Participant], subscriber: Participant) -> list[str]:
    """Returns the sids of all tracks that the subscriber is to receive."""
    if not subscriber.present or not subscriber.permission.can_subscribe:
        return []
    return [
        track_sid
        for publisher, track_sid in _asked_for(participants, subscriber)
        if publisher.admits(subscriber, track_sid)
    ]


def permission_news(participants: Iterable[Participant], subscriber: Participant) -> list[Signal]:
    """Tells a subscriber which tracks it may have, where that is new to it (facts C: "Each first subscription")."""
    if not subscriber.present:
        return []
    news: list[Signal] = []
    known: dict[str, bool] = {}
    for publisher, track_sid in _asked_for(participants, subscriber):
        allowed = subscriber.permission.can_subscribe and publisher.admits(subscriber, track_sid)
        known[track_sid] = allowed
        if subscriber.told_allowed.get(track_sid) != allowed:
            update = rtc.SubscriptionPermissionUpdate(
                participant_sid=publisher.sid, track_sid=track_sid, allowed=allowed
            )
            news.append(Signal(subscriber.sid, rtc.SignalResponse(subscription_permission_update=update)))
    subscriber.told_allowed = known
    return news


def _asked_for(participants: Iterable[Participant], subscriber: Participant) -> list[tuple[Participant, str]]:
    return [
        (publisher, track.info.sid)
        for publisher in participants
        if publisher.sid != subscriber.sid and not publisher.hidden
        for track in publisher.live_tracks()
        if subscriber.wants.get(track.info.sid, subscriber.joiner.auto_subscribe)
    ]
