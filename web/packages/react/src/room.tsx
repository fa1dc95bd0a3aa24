import { RoomContext } from "@livekit/components-react";
import {
  controlPlane,
  createSession,
  type Microphone,
  type Session,
  type SessionOptions,
  type TokenSource,
  tabIdentity,
  tokenEndpoint,
} from "@roomkeeper/client";
import { type ReactNode, useState } from "react";
import { type Callbacks, RoomkeeperContext, useOpen, useRoomkeeper } from "./use-roomkeeper.js";

interface Joining {
  /** The room to join; null for a new one. */
  readonly room: string | null;
  /** Where to ask for tokens, or how. */
  readonly tokens?: string | TokenSource;
  /** The same for each load of the page, or the tab's own. */
  readonly identity?: string;
  readonly name?: string;
  readonly microphone?: Microphone;
  readonly api?: string;
  /** Writes down the conversation; leave it out when LiveKit's components do that. */
  readonly transcript?: SessionOptions["transcript"];
}

export type RoomkeeperRoomProps = Callbacks & { readonly children?: ReactNode } & (
    | Joining
    | { readonly session: Session }
  );

/**
 * Joins a room and stays in it for as long as the session lives. LiveKit's components work inside; what it is given at
 * first counts, later changes need another `key`.
 */
export function RoomkeeperRoom({ children, onEnded, onBlocked, ...props }: RoomkeeperRoomProps) {
  const [session] = useState(() => ("session" in props ? props.session : sessionOf(props)));
  useOpen(session);
  return (
    <RoomContext.Provider value={session.room}>
      <RoomkeeperContext.Provider value={session}>
        <Calling onEnded={onEnded} onBlocked={onBlocked} />
        {children}
      </RoomkeeperContext.Provider>
    </RoomContext.Provider>
  );
}

function Calling(callbacks: Callbacks): null {
  useRoomkeeper(callbacks);
  return null;
}

function sessionOf({
  room,
  tokens = "/api/token",
  identity = tabIdentity(globalThis.sessionStorage),
  name = "",
  microphone = { on: true, deviceId: null },
  api = "/api",
  transcript,
}: Joining) {
  return createSession({
    join: { room, tokens: typeof tokens === "string" ? tokenEndpoint(tokens) : tokens, identity, name, microphone },
    control: controlPlane(api),
    transcript,
  });
}
