"""Signal messages that the room server sends on its own account."""

from __future__ import annotations

from livekit.protocol import models, rtc

Answer = rtc.RequestResponse


def participant_update(infos: list[models.ParticipantInfo]) -> rtc.SignalResponse:
    """Returns the news of these participants."""
    return rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=infos))


def leave_message(
    reason: models.DisconnectReason,
    action: rtc.LeaveRequest.Action = rtc.LeaveRequest.DISCONNECT,
) -> rtc.SignalResponse:
    """Returns the Leave that tells a client to go, resume or reconnect."""
    return rtc.SignalResponse(
        leave=rtc.LeaveRequest(can_reconnect=action != rtc.LeaveRequest.DISCONNECT, reason=reason, action=action)
    )


def request_answer(
    reason: rtc.RequestResponse.Reason,
    message: str,
    *,
    add_track: rtc.AddTrackRequest | None = None,
    mute: rtc.MuteTrackRequest | None = None,
    update_metadata: rtc.UpdateParticipantMetadata | None = None,
) -> rtc.SignalResponse:
    """Returns the answer to a request, which is repeated in it."""
    answer = rtc.RequestResponse(
        request_id=update_metadata.request_id if update_metadata is not None else 0,
        reason=reason,
        message=message,
        add_track=add_track,
        mute=mute,
        update_metadata=update_metadata,
    )
    return rtc.SignalResponse(request_response=answer)
