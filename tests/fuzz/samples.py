"""What clients, workers and applications really send; the attackers injure it."""

from __future__ import annotations

import json

from livekit.protocol import agent, agent_dispatch, models, room, rtc

OFFER = "\r\n".join(
    [
        "v=0",
        "o=- 1 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0 1 2",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 63",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        "a=sendonly",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:0123456789abcdefghijkl",
        "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
        "a=setup:actpass",
        "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=rtpmap:63 red/48000/2",
        "a=msid:- mic",
        "a=ssrc:1234 cname:x",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 0.0.0.0",
        "a=mid:1",
        "a=recvonly",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:0123456789abcdefghijkl",
        "a=rtpmap:111 opus/48000/2",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=mid:2",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:0123456789abcdefghijkl",
        "a=sctp-port:5000",
        "",
    ]
)

REQUESTS = [
    rtc.SignalRequest(offer=rtc.SessionDescription(type="offer", sdp=OFFER, id=1)),
    rtc.SignalRequest(answer=rtc.SessionDescription(type="answer", sdp=OFFER.replace("actpass", "active"), id=1)),
    rtc.SignalRequest(
        trickle=rtc.TrickleRequest(candidateInit='{"candidate":"candidate:1 1 udp 1 127.0.0.1 9 typ host"}')
    ),
    rtc.SignalRequest(
        add_track=rtc.AddTrackRequest(
            cid="mic", name="mic", type=models.TrackType.AUDIO, source=models.TrackSource.MICROPHONE
        )
    ),
    rtc.SignalRequest(add_track=rtc.AddTrackRequest(cid="cam", type=models.TrackType.VIDEO, width=640, height=480)),
    rtc.SignalRequest(mute=rtc.MuteTrackRequest(sid="TR_1", muted=True)),
    rtc.SignalRequest(
        subscription=rtc.UpdateSubscription(
            track_sids=["TR_1"],
            subscribe=True,
            participant_tracks=[models.ParticipantTracks(participant_sid="PA_1", track_sids=["TR_2"])],
        )
    ),
    rtc.SignalRequest(track_setting=rtc.UpdateTrackSettings(track_sids=["TR_1"], disabled=True)),
    rtc.SignalRequest(
        subscription_permission=rtc.SubscriptionPermission(
            track_permissions=[rtc.TrackPermission(participant_identity="x", track_sids=["TR_1"])]
        )
    ),
    rtc.SignalRequest(
        sync_state=rtc.SyncState(
            answer=rtc.SessionDescription(type="answer", sdp=OFFER),
            subscription=rtc.UpdateSubscription(track_sids=["TR_1"]),
            track_sids_disabled=["TR_1"],
        )
    ),
    rtc.SignalRequest(simulate=rtc.SimulateScenario(speaker_update=1)),
    rtc.SignalRequest(ping=1),
    rtc.SignalRequest(ping_req=rtc.Ping(timestamp=1, rtt=2)),
    rtc.SignalRequest(
        update_metadata=rtc.UpdateParticipantMetadata(name="n", metadata="m", attributes={"a": "b"}, request_id=3)
    ),
    rtc.SignalRequest(
        update_audio_track=rtc.UpdateLocalAudioTrack(track_sid="TR_1", features=[models.AudioTrackFeature.TF_NO_DTX])
    ),
    rtc.SignalRequest(publish_data_track_request=rtc.PublishDataTrackRequest(pub_handle=1, name="d")),
]
SIGNAL_FRAMES = [request.SerializeToString() for request in REQUESTS]

JOIN_REQUEST = rtc.JoinRequest(
    client_info=models.ClientInfo(sdk=models.ClientInfo.JS, protocol=16, version="2.0"),
    connection_settings=rtc.ConnectionSettings(auto_subscribe=True),
    add_track_requests=[REQUESTS[3].add_track],
    publisher_offer=REQUESTS[0].offer,
    participant_attributes={"a": "b"},
)

DATA_PACKETS = [
    packet.SerializeToString()
    for packet in (
        models.DataPacket(user=models.UserPacket(payload=b"hello", topic="t"), sequence=1),
        models.DataPacket(destination_identities=["x"], rpc_request=models.RpcRequest(id="1", method="m", payload="p")),
        models.DataPacket(rpc_ack=models.RpcAck(request_id="1")),
        models.DataPacket(rpc_response=models.RpcResponse(request_id="1", error=models.RpcError(code=1, message="e"))),
        models.DataPacket(stream_header=models.DataStream.Header(stream_id="s", topic="t", total_length=3)),
        models.DataPacket(stream_chunk=models.DataStream.Chunk(stream_id="s", content=b"abc")),
        models.DataPacket(transcription=models.Transcription(track_id="TR_1")),
        models.DataPacket(speaker=models.ActiveSpeakerUpdate()),
    )
]

WORKER_FRAMES = [
    message.SerializeToString()
    for message in (
        agent.WorkerMessage(
            register=agent.RegisterWorkerRequest(type=agent.JobType.JT_ROOM, agent_name="fuzz", version="1")
        ),
        agent.WorkerMessage(
            availability=agent.AvailabilityResponse(job_id="AJ_1", available=True, participant_identity="i")
        ),
        agent.WorkerMessage(update_worker=agent.UpdateWorkerStatus(status=agent.WorkerStatus.WS_AVAILABLE, load=0.5)),
        agent.WorkerMessage(
            update_job=agent.UpdateJobStatus(job_id="AJ_1", status=agent.JobStatus.JS_FAILED, error="e")
        ),
        agent.WorkerMessage(ping=agent.WorkerPing(timestamp=1)),
        agent.WorkerMessage(
            simulate_job=agent.SimulateJobRequest(type=agent.JobType.JT_ROOM, room=models.Room(name="fuzz-sim"))
        ),
        agent.WorkerMessage(migrate_job=agent.MigrateJobRequest(job_ids=["AJ_1"])),
    )
]

ROOM = "fuzz-api"
TWIRP_CALLS = {
    "RoomService/CreateRoom": room.CreateRoomRequest(name=ROOM, empty_timeout=1, departure_timeout=1, metadata="{}"),
    "RoomService/ListRooms": room.ListRoomsRequest(names=[ROOM]),
    "RoomService/DeleteRoom": room.DeleteRoomRequest(room=ROOM),
    "RoomService/ListParticipants": room.ListParticipantsRequest(room=ROOM),
    "RoomService/GetParticipant": room.RoomParticipantIdentity(room=ROOM, identity="x"),
    "RoomService/RemoveParticipant": room.RoomParticipantIdentity(room=ROOM, identity="x"),
    "RoomService/MutePublishedTrack": room.MuteRoomTrackRequest(room=ROOM, identity="x", track_sid="TR_1", muted=True),
    "RoomService/UpdateParticipant": room.UpdateParticipantRequest(
        room=ROOM, identity="x", metadata="m", attributes={"a": "b"}, permission=models.ParticipantPermission()
    ),
    "RoomService/UpdateSubscriptions": room.UpdateSubscriptionsRequest(room=ROOM, identity="x", track_sids=["TR_1"]),
    "RoomService/SendData": room.SendDataRequest(room=ROOM, data=b"x", destination_identities=["x"], nonce=b"n" * 16),
    "RoomService/UpdateRoomMetadata": room.UpdateRoomMetadataRequest(room=ROOM, metadata="m"),
    "AgentDispatchService/CreateDispatch": agent_dispatch.CreateAgentDispatchRequest(room=ROOM, agent_name="nobody"),
    "AgentDispatchService/ListDispatch": agent_dispatch.ListAgentDispatchRequest(room=ROOM),
    "AgentDispatchService/DeleteDispatch": agent_dispatch.DeleteAgentDispatchRequest(room=ROOM, dispatch_id="AD_1"),
}

JSON_BODIES = [
    json.dumps(body).encode()
    for body in (
        {"name": ROOM, "emptyTimeout": 1, "agents": [{"agentName": "nobody"}]},
        {"room": ROOM, "identity": "x", "permission": {"canPublish": True}},
        {"room": ROOM, "data": "aGVsbG8=", "kind": "RELIABLE", "destination_identities": ["x"]},
        {"names": [], "unknown": {"deep": [[[[1]]]]}},
    )
]
