/** LiveKit's events in the words of the model. */
import {
  type Participant,
  type RemoteParticipant,
  type Room,
  RoomEvent,
  type RoomEventCallbacks,
  Track,
  TrackEvent,
  type TrackPublication,
} from "livekit-client";
import { sidOf } from "./engine.js";
import { objectIn } from "./json.js";
import type { AgentActivity, Tell } from "./model.js";
import { parseRecord, RECORD_KEY } from "./record.js";

const ACTIVITIES: readonly (AgentActivity | "initializing")[] = ["listening", "thinking", "speaking", "initializing"];

/** Tell everything that happens in the room from now on, and what has happened by now. Returns how to stop. */
export function listen(room: Room, tell: Tell): () => void {
  const unlisten: (() => void)[] = [];
  const on = <E extends keyof RoomEventCallbacks>(callback: RoomEventCallbacks[E], ...events: E[]) => {
    for (const event of events) {
      room.on(event, callback);
      unlisten.push(() => room.off(event, callback));
    }
  };
  const enters = (type: "Connected" | "ConnectionRestored") => () => {
    tell({ type, sid: sidOf(room) });
    look(room, tell);
  };
  // Whether the device was unplugged, or its permission withdrawn: livekit-client takes another one, or else mutes.
  let gone = false;
  const microphone = ({ source }: TrackPublication, { isLocal, isMicrophoneEnabled: on }: Participant) => {
    if (!isLocal || source !== Track.Source.Microphone) return;
    tell(gone && !on ? { type: "MicrophoneFailed" } : { type: "MicrophoneChanged", on });
    gone = false;
  };
  on(enters("Connected"), RoomEvent.Connected);
  on(enters("ConnectionRestored"), RoomEvent.Reconnected);
  on(() => tell({ type: "ConnectionInterrupted" }), RoomEvent.SignalReconnecting, RoomEvent.Reconnecting);
  on((reason) => {
    // Events are held back while the client reconnects, and lost when it gives up: look again.
    lookAtRecords(room, tell);
    tell({ type: "Disconnected", reason });
  }, RoomEvent.Disconnected);
  on(() => look(room, tell, true), RoomEvent.RoomMetadataChanged);
  on(
    () => look(room, tell),
    RoomEvent.ParticipantConnected,
    RoomEvent.ParticipantDisconnected,
    RoomEvent.ParticipantAttributesChanged,
    RoomEvent.AudioPlaybackStatusChanged,
  );
  on((payload, participant, _kind, topic) => {
    if (topic !== RECORD_KEY || (participant && !isAgent(participant))) return;
    tellRecord(tell, new TextDecoder().decode(payload), participant);
  }, RoomEvent.DataReceived);
  // Not when it is unpublished: livekit-client does that with every connection that ends, which is no wish of the user's.
  on(microphone, RoomEvent.TrackMuted, RoomEvent.TrackUnmuted, RoomEvent.LocalTrackPublished);
  on(({ source, track }) => {
    if (source !== Track.Source.Microphone) return;
    track?.on(TrackEvent.Ended, () => {
      gone = true;
    });
    track?.on(TrackEvent.Restarted, () => {
      gone = false;
    });
  }, RoomEvent.LocalTrackPublished);
  on((_, kind) => kind === "audioinput" && tell({ type: "MicrophoneFailed" }), RoomEvent.MediaDevicesError);
  if (room.state === "connected") {
    enters("Connected")();
    tell({ type: "MicrophoneChanged", on: room.localParticipant.isMicrophoneEnabled });
  }
  return () => {
    for (const each of unlisten) each();
  };
}

/**
 * Tell what is to be seen in the room now. After a full reconnect livekit-client 2.23 may hold events back until the next
 * one, while the room itself is up to date: so look once in a while, too.
 *
 * @param fresh - Whether the room's record was written just now.
 */
export function look(room: Room, tell: Tell, fresh?: boolean): void {
  lookAtRecords(room, tell, fresh);
  const agent = agentIn(room);
  if (agent) {
    const attribute = agent.attributes["lk.agent.state"];
    // An agent that publishes no state has no other than being there.
    const activity = ACTIVITIES.find((each) => each === attribute) ?? "listening";
    tell({ type: "AgentSeen", identity: agent.identity, activity });
  } else tell({ type: "AgentLeft" });
  tell({ type: "PlaybackChanged", allowed: room.canPlaybackAudio });
  const sid = sidOf(room);
  if (sid) tell({ type: "RoomSeen", sid });
}

/** The agent in charge: avatars and the like that publish on its behalf do not count, and the newest one rules. */
export function agentIn(room: Room): RemoteParticipant | undefined {
  const joined = ({ joinedAt }: Participant) => Number(joinedAt ?? 0);
  return [...room.remoteParticipants.values()].filter(isAgent).toSorted((a, b) => joined(b) - joined(a))[0];
}

function isAgent({ isAgent: is, attributes }: Participant): boolean {
  return is && !attributes["lk.publish_on_behalf"];
}

function lookAtRecords(room: Room, tell: Tell, fresh = false): void {
  tellRecord(tell, objectIn(room.metadata)[RECORD_KEY], undefined, fresh);
  const agent = agentIn(room);
  if (agent) tellRecord(tell, agent.attributes[RECORD_KEY], agent);
}

/** Whoever is in the room speaks provisionally; the server itself, which is no participant, for the control plane. */
function tellRecord(tell: Tell, raw: unknown, from: RemoteParticipant | undefined, fresh = !from): void {
  const record = parseRecord(raw);
  if (record) tell({ type: "RecordSeen", record: { ...record, provisional: !!from }, writer: from?.sid ?? "", fresh });
}
