/** Begins sessions, and comes back to the one that was going on, or has ended, when the page was loaded again. */
import {
  controlPlane,
  createSession,
  type Microphone,
  type Session,
  tabIdentity,
  tokenEndpoint,
} from "@roomkeeper/react";
import { transcript } from "@roomkeeper/react/transcript";
import { RoomEvent } from "livekit-client";
import { recallVisit, rememberVisit, type Visit } from "./memory";

export interface Guest {
  readonly name: string;
  readonly microphone: Microphone;
}

/** An invitation is in the part of the address that no server and no log gets to see. */
const invite = new URLSearchParams(location.hash.slice(1)).get("invite");
const tokens = tokenEndpoint("/api/token", invite);
const control = controlPlane("/api");

/** Join a new room. */
export function begin(guest: Guest): Session {
  return sessionFor(guest, null);
}

/** The session that this tab was in, if it was in one. */
export function resume(): Session | null {
  const visit = recallVisit();
  return visit === null ? null : sessionFor(visit, visit.room);
}

/** Forget the session: the next one begins in the lobby. */
export function forgetVisit(): void {
  rememberVisit(null);
}

function sessionFor({ name, microphone }: Guest, room: string | null): Session {
  const session = createSession({
    join: { tokens, identity: tabIdentity(sessionStorage), name, room, microphone },
    control,
    transcript: transcript(sessionStorage),
  });
  let known: Visit | null = null;
  const remember = () => {
    const model = session.snapshot();
    const on = model.microphone === "on" || (model.link.is === "connecting" && microphone.on);
    if (model.room === null || (known?.room === model.room && known.microphone.on === on)) return;
    known = { room: model.room, name, microphone: { ...microphone, on } };
    rememberVisit(known);
  };
  session.subscribe(remember);
  session.room.on(RoomEvent.ConnectionQualityChanged, (quality, { isLocal }) => {
    if (isLocal) session.tell({ type: "QualityChanged", quality });
  });
  return session;
}
