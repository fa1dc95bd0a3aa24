/** Begins sessions, and comes back to the one that was going on when the page was loaded again. */
import { Session, tokenEndpoint } from "@roomkeeper/client";
import { identity, recallVisit, rememberVisit } from "./memory";

export interface Guest {
  readonly name: string;
  readonly microphone: { readonly on: boolean; readonly deviceId: string | null };
}

const tokens = tokenEndpoint("/api/token");

/** Join a new room. */
export function begin({ name, microphone }: Guest): Session {
  return connect(new Session({ tokens, identity: identity(), name, room: null, microphone }), { name, microphone });
}

/** The session that this tab was in, if it was in one. */
export function resume(): Session | null {
  const visit = recallVisit();
  if (visit === null) return null;
  const { room, name, microphone, lines, liveAt } = visit;
  const before = { lines: lines.map((line) => ({ ...line, final: true })), liveAt };
  return connect(new Session({ tokens, identity: identity(), name, room, microphone, before }), { name, microphone });
}

function connect(session: Session, { name, microphone }: Guest): Session {
  const remember = () => {
    const { view, room, lines, liveAt } = session.snapshot();
    if (room === null || view.state === "ended") return rememberVisit(null);
    const on = session.room.localParticipant.isMicrophoneEnabled;
    rememberVisit({ room, name, microphone: { ...microphone, on }, lines, liveAt });
  };
  window.addEventListener("pagehide", remember);
  const unsubscribe = session.subscribe(() => {
    if (session.snapshot().view.state !== "ended") return;
    rememberVisit(null);
    window.removeEventListener("pagehide", remember);
    unsubscribe();
  });
  void session.connect();
  return session;
}
