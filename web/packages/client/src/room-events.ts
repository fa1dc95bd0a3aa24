/** LiveKit's events in the words of the model. */
import {
  type LocalTrackPublication,
  type Participant,
  ParticipantKind,
  type RemoteParticipant,
  type Room,
  RoomEvent,
  type RoomEventCallbacks,
  type TextStreamReader,
  Track,
  TrackEvent,
} from "livekit-client";
import { sidOf } from "./engine";
import type { AgentActivity, Happened } from "./model";
import { parseRecord, RECORD_KEY, recordInMetadata } from "./record";

const TRANSCRIPTION_TOPIC = "lk.transcription";
export const CHAT_TOPIC = "lk.chat";
const ACTIVITIES: readonly AgentActivity[] = ["listening", "thinking", "speaking"];

type Tell = (happened: Happened) => void;

export interface ListenOptions {
  /** Whether to take the text streams of the transcript; livekit-client has one taker for each topic. */
  readonly transcript: boolean;
  readonly clock: () => number;
}

/** Tell everything that happens in the room from now on. Returns how to stop. */
export function listen(room: Room, tell: Tell, { transcript, clock }: ListenOptions): () => void {
  const unlisten: (() => void)[] = [];
  const on = <E extends keyof RoomEventCallbacks>(event: E, callback: RoomEventCallbacks[E]) => {
    room.on(event, callback);
    unlisten.push(() => room.off(event, callback));
  };
  const interrupted = () => tell({ type: "ConnectionInterrupted", at: clock() });
  const looked = () => look(room, tell, clock());
  on(RoomEvent.Connected, () => {
    tell({ type: "Connected", at: clock(), sid: sidOf(room) });
    looked();
  });
  on(RoomEvent.SignalReconnecting, interrupted);
  on(RoomEvent.Reconnecting, interrupted);
  on(RoomEvent.Reconnected, () => {
    tell({ type: "ConnectionRestored", at: clock(), sid: sidOf(room) });
    looked();
  });
  on(RoomEvent.Disconnected, (reason) => {
    // Events are held back while the client reconnects, and lost when it gives up: look again.
    lookAtRecords(room, tell, clock());
    tell({ type: "Disconnected", at: clock(), reason });
  });
  on(RoomEvent.RoomMetadataChanged, () => {
    lookAtRecords(room, tell, clock(), true);
    looked();
  });
  on(RoomEvent.ParticipantConnected, looked);
  on(RoomEvent.ParticipantDisconnected, looked);
  on(RoomEvent.ParticipantAttributesChanged, looked);
  on(RoomEvent.AudioPlaybackStatusChanged, looked);
  on(RoomEvent.DataReceived, (payload, participant, _kind, topic) => {
    if (topic !== RECORD_KEY || (participant !== undefined && !isAgent(participant))) return;
    tellRecord(tell, clock(), new TextDecoder().decode(payload), participant);
  });
  on(RoomEvent.ConnectionQualityChanged, (quality, participant) => {
    if (participant.isLocal) tell({ type: "QualityChanged", quality });
  });
  const microphone = (_: unknown, participant: Participant) => {
    if (participant.isLocal) tell({ type: "MicrophoneChanged", on: participant.isMicrophoneEnabled });
  };
  on(RoomEvent.TrackMuted, microphone);
  on(RoomEvent.TrackUnmuted, microphone);
  on(RoomEvent.LocalTrackUnpublished, microphone);
  on(RoomEvent.LocalTrackPublished, (publication: LocalTrackPublication, participant) => {
    microphone(publication, participant);
    if (publication.source !== Track.Source.Microphone) return;
    // The device was unplugged, or its permission withdrawn.
    publication.track?.once(TrackEvent.Ended, () => tell({ type: "MicrophoneFailed" }));
  });
  on(RoomEvent.MediaDevicesError, () => tell({ type: "MicrophoneFailed" }));
  if (transcript) {
    room.registerTextStreamHandler(TRANSCRIPTION_TOPIC, (reader, { identity }) => {
      void tellLine(reader, identity === room.localParticipant.identity ? "user" : "agent", tell, clock);
    });
    room.registerTextStreamHandler(CHAT_TOPIC, (reader) => void tellLine(reader, "agent", tell, clock));
    unlisten.push(() => {
      room.unregisterTextStreamHandler(TRANSCRIPTION_TOPIC);
      room.unregisterTextStreamHandler(CHAT_TOPIC);
    });
  }
  return () => {
    for (const each of unlisten) each();
  };
}

/**
 * Tell what is to be seen in the room now. After a full reconnect livekit-client 2.23 may hold events back until the next
 * one, while the room itself is up to date: so look once in a while, too.
 */
export function look(room: Room, tell: Tell, at: number): void {
  lookAtRecords(room, tell, at);
  lookAtAgent(room, tell, at);
  tell({ type: "PlaybackChanged", allowed: room.canPlaybackAudio });
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

function lookAtRecords(room: Room, tell: Tell, at: number, fresh = false): void {
  const record = recordInMetadata(room.metadata);
  if (record !== null) tell({ type: "RecordSeen", at, record: { ...record, provisional: false }, writer: "", fresh });
  const agent = agentIn(room);
  const attribute = agent?.attributes[RECORD_KEY];
  if (agent !== undefined && attribute !== undefined) tellRecord(tell, at, attribute, agent);
}

/** Whoever is in the room speaks provisionally; the server itself, which is no participant, for the control plane. */
function tellRecord(tell: Tell, at: number, text: string, from: RemoteParticipant | undefined): void {
  const record = parseRecord(text);
  if (record === null) return;
  const provisional = from !== undefined;
  tell({ type: "RecordSeen", at, record: { ...record, provisional }, writer: from?.sid ?? "", fresh: !provisional });
}

function lookAtAgent(room: Room, tell: Tell, at: number): void {
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
