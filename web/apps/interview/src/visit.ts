/**
 * Begins sessions, and comes back to the one that was going on, or has ended, when the page was loaded again. What an
 * invitation leads to is asked before anybody prepares for it.
 */
import {
  controlPlane,
  createSession,
  type Microphone,
  type Model,
  type Session,
  type TokenSource,
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

const NOBODY: Guest = { name: "", microphone: { on: false, deviceId: null } };

/** An invitation is in the part of the address that no server and no log gets to see. */
const invite = new URLSearchParams(location.hash.slice(1)).get("invite");
export const isInvited = invite !== null;
const tokens = tokenEndpoint("/api/token", invite);
const control = controlPlane("/api");

/** Join a new room. */
export function begin(guest: Guest): Session {
  return sessionFor(guest, null);
}

/**
 * What the page begins with: the session that this tab was in, or the one that is over; the lobby; or nothing, since the
 * invitation is not good any more. A token is asked for, which by itself makes no room and calls no agent.
 */
export async function arrive(): Promise<Session | "lobby" | "refused"> {
  const visit = recallVisit();
  if (visit?.invite === invite) return sessionFor(visit, visit.room);
  if (invite === null) return "lobby";
  const answer = await tokens({ identity: tabIdentity(sessionStorage), name: "", room: null });
  if (answer.is === "refused") return answer.is;
  return answer.is === "ended" ? sessionFor(NOBODY, null, () => Promise.resolve(answer)) : "lobby";
}

/** Forget the session: the next one begins in the lobby. */
export function forgetVisit(): void {
  rememberVisit(null);
}

function sessionFor({ name, microphone }: Guest, room: string | null, source: TokenSource = tokens): Session {
  const session = createSession({
    join: { tokens: source, identity: tabIdentity(sessionStorage), name, room, microphone },
    control,
    transcript: transcript(sessionStorage),
  });
  let known: Visit | null = null;
  let { on } = microphone; // as it is wanted, until it is, or the user changes that
  const remember = (model: Model, before: Model) => {
    if (model.microphone !== before.microphone) on = model.microphone === "on";
    if (model.room === null || (known?.room === model.room && known.microphone.on === on)) return;
    known = { invite, room: model.room, name, microphone: { ...microphone, on } };
    rememberVisit(known);
  };
  session.subscribe(remember);
  session.room.on(RoomEvent.ConnectionQualityChanged, (quality, { isLocal }) => {
    if (isLocal) session.tell({ type: "QualityChanged", quality });
  });
  return session;
}
