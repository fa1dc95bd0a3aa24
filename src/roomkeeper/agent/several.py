"""Who is listened to when several people are in the room.

LiveKit's RoomIO links the first participant for good: another one is never heard, not even while the first is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from livekit import rtc
    from livekit.agents.voice.room_io import RoomOptions

    from roomkeeper.agent.stage import Stage

Listening: TypeAlias = Literal["speaker", "host"]
"""`speaker`: whoever speaks; `host`: the first who came, others only when the host is gone."""


class Several:
    """Links the one who is to be heard.

    Args:
        stage: The session.
        listening: To whom.
        options: The application's: kinds and an identity that it wants to listen to, and no others.
    """

    def __init__(self, stage: Stage, listening: Listening, options: RoomOptions) -> None:
        self._stage = stage
        self._kinds = options.participant_kinds or ()
        self._identity = options.participant_identity or ""
        self._listening = listening
        self._host = ""

    def attach(self) -> None:
        """Begin to follow the room."""
        if self._listening == "speaker":
            self._stage.room.on("active_speakers_changed", self._on_speakers)

    def link(self, participant: rtc.RemoteParticipant | None = None) -> None:
        """Listen to somebody; by default to the host, or whoever is there."""
        present = [each for each in self._stage.counting() if self._may_hear(each)]
        if participant is None:
            participant = next((each for each in present if each.identity == self._host), None)
            participant = participant or next(iter(present), None)
        if participant is None or not self._may_hear(participant):
            return
        if not self._host:
            self._host = participant.identity
        self._stage.link(participant.identity)

    def arrived(self, participant: rtc.RemoteParticipant) -> None:
        """Somebody came: they are listened to if nobody else is, or if they are the host."""
        linked = self._stage.linked
        there = {each.identity for each in self._stage.counting()}
        if linked not in there or participant.identity in {linked, self._host}:
            self.link(participant)

    def left(self, participant: rtc.RemoteParticipant) -> None:
        """Somebody went: if they were listened to, another one is."""
        if self._stage.linked in {None, participant.identity}:
            self.link()

    def _may_hear(self, participant: rtc.RemoteParticipant) -> bool:
        if self._identity and participant.identity != self._identity:
            return False
        return not self._kinds or participant.kind in self._kinds

    def _on_speakers(self, speakers: list[rtc.Participant]) -> None:
        """Follow the voice, but not away from somebody who still speaks."""
        stage = self._stage
        if stage.silence:
            return
        linked = stage.linked
        speaking = {each.identity for each in speakers}
        if linked in speaking:
            return
        people = {each.identity: each for each in stage.counting()}
        voice = next((people[each.identity] for each in speakers if each.identity in people), None)
        if voice is not None:
            self.link(voice)
