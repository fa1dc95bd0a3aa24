/** The hook: what to show, as one union, and what the user can do about it. */
import { useMaybeRoomContext } from "@livekit/components-react";
import type { Ended, Model, Session, View } from "@roomkeeper/client";
import type { Room } from "livekit-client";
import { createContext, useContext, useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { sessionIn, watch } from "./shared";

type Blocked = Extract<View, { state: "blocked" }>;

export interface RoomkeeperOptions {
  /** Called once, when the session has ended: the place for what `onDisconnected` does today. */
  readonly onEnded?: (ended: Ended) => void;
  /** Called each time the page cannot go on without its user. */
  readonly onBlocked?: (blocked: Blocked & { retry(): Promise<void> }) => void;
  /** The room to watch; that of the surrounding `LiveKitRoom`, `SessionProvider` or `RoomContext` if left out. */
  readonly room?: Room;
  /** Where the control plane's calls begin; for a room that is not in a `RoomkeeperRoom`. */
  readonly api?: string;
}

interface Always {
  /** End the session, or leave it where the policy lets others end it. Never rejects. */
  end(): Promise<void>;
}

/** What to show, told apart by `state`. */
export type Roomkeeper = Always & (Exclude<View, Blocked> | (Blocked & { retry(): Promise<void> }));

/** The session of the surrounding `RoomkeeperRoom`. */
export const RoomkeeperContext = createContext<Session | null>(null);

/** What to show now, rendered anew whenever that changes. */
export function useRoomkeeper({ onEnded, onBlocked, room, api }: RoomkeeperOptions = {}): Roomkeeper {
  const session = useKeptSession(room, api);
  const { view } = useModel(session);
  const callbacks = useRef({ onEnded, onBlocked });
  useEffect(() => {
    callbacks.current = { onEnded, onBlocked };
  });
  useEffect(() => {
    if (view.state === "ended") callbacks.current.onEnded?.(view);
    if (view.state === "blocked") callbacks.current.onBlocked?.({ ...view, retry: session.retry });
  }, [view, session]);
  return useMemo(() => {
    const { end, retry } = session;
    return view.state === "blocked" ? { ...view, end, retry } : { ...view, end };
  }, [view, session]);
}

/** Everything that is known of a session: transcript, times, connection quality. */
export function useModel(session: Session): Model {
  return useSyncExternalStore(session.subscribe, session.snapshot, session.snapshot);
}

/** The session of the surrounding room, for its actions. */
export function useKeptSession(room?: Room, api = "/api"): Session {
  const kept = useContext(RoomkeeperContext);
  const around = useMaybeRoomContext();
  const livekit = room ?? around;
  const theirs = kept !== null && (livekit === undefined || livekit === kept.room) ? null : livekit;
  useEffect(() => (theirs ? watch(theirs, api) : undefined), [theirs, api]);
  if (theirs) return sessionIn(theirs, api);
  if (kept === null) {
    throw new Error(
      "useRoomkeeper needs a room: put it into RoomkeeperRoom, LiveKitRoom or SessionProvider, or give it one.",
    );
  }
  return kept;
}
