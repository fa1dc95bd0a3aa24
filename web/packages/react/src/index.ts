import type { Model, Session } from "@roomkeeper/client";
import { useSyncExternalStore } from "react";

/** What is known of a session and what to show, rendered anew whenever that changes. */
export function useRoomkeeper(session: Session): Model {
  return useSyncExternalStore(session.subscribe, session.snapshot);
}
