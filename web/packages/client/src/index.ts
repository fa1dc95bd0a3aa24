export type { Guest } from "./access";
export { type ControlPlane, controlPlane, type EndAnswer, type Evidence, type Standing } from "./control";
export type { Author, Outcome, State } from "./generated";
export { tabIdentity } from "./identity";
export type {
  AgentActivity,
  ConnectFailure,
  Ended,
  Happened,
  Line,
  Model,
  Obstacle,
  Quality,
  Speaker,
  Tell,
  View,
} from "./model";
export { INITIAL } from "./model";
export type { Page, PageEvent } from "./page";
export { parseRecord, RECORD_KEY, type SessionRecord } from "./record";
export { reduce, replay } from "./reduce";
export { agentIn } from "./room-events";
export { createSession, type Inside, type Microphone, type Session, type SessionOptions } from "./session";
export { createStore, type Store } from "./store";
export { type TokenAnswer, type TokenRequest, type TokenSource, tokenEndpoint } from "./token";
