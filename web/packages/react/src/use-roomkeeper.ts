/** The hook: what to show, as one union, and what the user can do about it. */
import { useMaybeRoomContext } from "@livekit/components-react";
import type { Ended, Model, Session, View } from "@roomkeeper/client";
import type { Room } from "livekit-client";
import { createContext, useContext, useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { sessionIn } from "./shared.js";

type Blocked = Extract<View, { state: "blocked" }>;

export interface Callbacks {
  /** Called once, when the session has ended: the place for what `onDisconnected` does today. */
  readonly onEnded?: ((ended: Ended) => void) | undefined;
  /** Called each time the page cannot go on without its user. */
  readonly onBlocked?: ((blocked: Blocked & { retry(): Promise<void> }) => void) | undefined;
}

export interface RoomkeeperOptions extends Callbacks {
  /** The room to watch; that of the surrounding `LiveKitRoom`, `SessionProvider` or `RoomContext` if left out. */
  readonly room?: Room | undefined;
  /** Where the control plane's calls begin; for a room that is not in a `RoomkeeperRoom`. */
  readonly api?: string | undefined;
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
  const callbacks = useRef<Callbacks>({});
  const shown: Roomkeeper = useMemo(() => {
    const { end, retry } = session;
    return view.state === "blocked" ? { ...view, end, retry } : { ...view, end };
  }, [view, session]);
  useEffect(() => {
    callbacks.current = { onEnded, onBlocked };
  });
  useEffect(() => {
    if (session.snapshot().view !== view) return; // opened anew meanwhile: that was the end of another conversation
    if (shown.state === "ended") callbacks.current.onEnded?.(shown);
    if (shown.state === "blocked") callbacks.current.onBlocked?.(shown);
  }, [shown, view, session]);
  return shown;
}

/** Everything that is known of a session: transcript, times, connection quality. */
export function useModel({ subscribe, snapshot }: Session): Model {
  return useSyncExternalStore(subscribe, snapshot, snapshot);
}

/** The session of the surrounding room, for its actions. */
export function useKeptSession(room?: Room, api = "/api"): Session {
  const kept = useContext(RoomkeeperContext);
  const around = useMaybeRoomContext();
  const livekit = room ?? around;
  const session = livekit && livekit !== kept?.room ? sessionIn(livekit, api) : kept;
  if (!session) throw new Error("useRoomkeeper needs a LiveKit room around it.");
  useOpen(session === kept ? null : session);
  return session;
}

/** Keep a session open while the component is there. */
export function useOpen(session: Session | null): void {
  useEffect(() => {
    session?.open();
    return session?.close;
  }, [session]);
}
