export type * from "@roomkeeper/client";
export { controlPlane, createSession, tabIdentity, tokenEndpoint } from "@roomkeeper/client";
export { EndButton, EndScreen, SessionStatus } from "./parts.js";
export { RoomkeeperRoom, type RoomkeeperRoomProps } from "./room.js";
export {
  type Callbacks,
  type Roomkeeper,
  type RoomkeeperOptions,
  useKeptSession,
  useModel,
  useRoomkeeper,
} from "./use-roomkeeper.js";
