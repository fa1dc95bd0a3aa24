/** LiveKit's events in the words of the model. */
import {
  ConnectionQuality,
  type Participant,
  ParticipantKind,
  type RemoteParticipant,
  type Room,
  RoomEvent,
  type TextStreamReader,
} from "livekit-client";
import type { AgentActivity, Happened } from "./model";
import { parseRecord, RECORD_KEY, recordInMetadata } from "./record";

const TRANSCRIPTION_TOPIC = "lk.transcription";
export const CHAT_TOPIC = "lk.chat";
const ACTIVITIES: readonly AgentActivity[] = ["listening", "thinking", "speaking"];

type Tell = (happened: Happened) => void;

/** Tell everything that happens in the room from now on; the room is this listener's own and dies with it. */
export function listen(room: Room, tell: Tell, clock: () => number): void {
  const lookAround = () => {
    tellRecords(room, tell, clock());
    tellAgent(room, tell, clock());
  };
  room
    .on(RoomEvent.Connected, () => {
      tell({ type: "Connected", at: clock() });
      lookAround();
    })
    .on(RoomEvent.SignalReconnecting, () => tell({ type: "ConnectionInterrupted", at: clock() }))
    .on(RoomEvent.Reconnecting, () => tell({ type: "ConnectionInterrupted", at: clock() }))
    .on(RoomEvent.Reconnected, () => {
      tell({ type: "ConnectionRestored", at: clock() });
      lookAround();
    })
    .on(RoomEvent.Disconnected, (reason) => {
      // Events are held back while the client reconnects, and lost when it gives up: look again.
      tellRecords(room, tell, clock());
      tell({ type: "Disconnected", at: clock(), reason });
    })
    .on(RoomEvent.RoomMetadataChanged, lookAround)
    .on(RoomEvent.ParticipantConnected, lookAround)
    .on(RoomEvent.ParticipantDisconnected, lookAround)
    .on(RoomEvent.ParticipantAttributesChanged, lookAround)
    .on(RoomEvent.DataReceived, (payload, participant, _kind, topic) => {
      if (topic !== RECORD_KEY || (participant !== undefined && !isAgent(participant))) return;
      tellRecord(tell, clock(), new TextDecoder().decode(payload), participant);
    })
    .on(RoomEvent.AudioPlaybackStatusChanged, () => tell({ type: "PlaybackChanged", allowed: room.canPlaybackAudio }))
    .on(RoomEvent.ConnectionQualityChanged, (quality, participant) => {
      if (!participant.isLocal) return;
      tell({ type: "QualityChanged", weak: quality === ConnectionQuality.Poor || quality === ConnectionQuality.Lost });
    });
  const tellMicrophone = (_: unknown, participant: Participant) => {
    if (participant.isLocal) tell({ type: "MicrophoneChanged", on: participant.isMicrophoneEnabled });
  };
  room
    .on(RoomEvent.TrackMuted, tellMicrophone)
    .on(RoomEvent.TrackUnmuted, tellMicrophone)
    .on(RoomEvent.LocalTrackPublished, tellMicrophone)
    .on(RoomEvent.MediaDevicesError, () => tell({ type: "MicrophoneFailed" }));
  room.registerTextStreamHandler(TRANSCRIPTION_TOPIC, (reader, { identity }) => {
    void tellLine(reader, identity === room.localParticipant.identity ? "user" : "agent", tell, clock);
  });
  room.registerTextStreamHandler(CHAT_TOPIC, (reader) => void tellLine(reader, "agent", tell, clock));
}

/** The agent in charge: avatars and the like that publish on its behalf do not count, and the newest one rules. */
export function agentIn(room: Room): RemoteParticipant | undefined {
  return [...room.remoteParticipants.values()]
    .filter(isAgent)
    .toSorted((a, b) => (b.joinedAt?.getTime() ?? 0) - (a.joinedAt?.getTime() ?? 0))[0];
}

function isAgent(participant: Participant): boolean {
  return participant.kind === ParticipantKind.AGENT && participant.attributes["lk.publish_on_behalf"] === undefined;
}

function tellRecords(room: Room, tell: Tell, at: number): void {
  const record = recordInMetadata(room.metadata);
  if (record !== null) tell({ type: "RecordSeen", at, record: { ...record, provisional: false }, writer: "" });
  const agent = agentIn(room);
  const attribute = agent?.attributes[RECORD_KEY];
  if (agent !== undefined && attribute !== undefined) tellRecord(tell, at, attribute, agent);
}

/** Whoever is in the room speaks provisionally; the server itself, which is no participant, for the control plane. */
function tellRecord(tell: Tell, at: number, text: string, from: RemoteParticipant | undefined): void {
  const record = parseRecord(text);
  if (record === null) return;
  tell({
    type: "RecordSeen",
    at,
    record: { ...record, provisional: from !== undefined },
    writer: from?.sid ?? "",
  });
}

function tellAgent(room: Room, tell: Tell, at: number): void {
  const agent = agentIn(room);
  if (agent === undefined) {
    tell({ type: "AgentLeft", at });
    return;
  }
  const attribute = agent.attributes["lk.agent.state"];
  // An agent that publishes no state has no other than being there.
  const activity = ACTIVITIES.find((each) => each === attribute);
  tell({
    type: "AgentSeen",
    at,
    identity: agent.identity,
    activity: activity ?? (attribute === "initializing" ? "initializing" : "listening"),
  });
}

/**
 * A transcription comes as text streams: the agent's as one stream that grows, the user's as one stream for each
 * correction, all with the segment's id. The mark that a segment is final comes with the end of its last stream.
 */
async function tellLine(reader: TextStreamReader, speaker: "user" | "agent", tell: Tell, clock: () => number) {
  const { info } = reader;
  const segment = info.attributes?.["lk.segment_id"];
  const id = segment ?? info.id;
  const typed = info.topic === CHAT_TOPIC;
  let text = "";
  const say = (final: boolean) => tell({ type: "LineChanged", at: clock(), line: { id, speaker, text, final, typed } });
  try {
    for await (const chunk of reader) {
      text += chunk;
      say(false);
    }
  } catch {
    // The sender vanished in the middle of a line: what came is all there will ever be.
    say(true);
    return;
  }
  if (segment === undefined || info.attributes?.["lk.transcription_final"] === "true") say(true);
}
