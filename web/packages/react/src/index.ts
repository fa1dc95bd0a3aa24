export type * from "@roomkeeper/client";
export {
  controlPlane,
  countAnswers,
  INITIAL,
  REASONS,
  reduce,
  replay,
  Session,
  Store,
  tabIdentity,
  tokenEndpoint,
} from "@roomkeeper/client";
export { EndButton, EndScreen, SessionStatus } from "./parts";
export { RoomkeeperRoom, type RoomkeeperRoomProps } from "./room";
export { type Roomkeeper, type RoomkeeperOptions, useKeptSession, useModel, useRoomkeeper } from "./use-roomkeeper";
export { STATUS_WORDS, statusOf } from "./words";
