export type { Guest } from "./access.js";
export { type ControlPlane, controlPlane, type EndAnswer, type Evidence, type Standing } from "./control.js";
export type { Author, Outcome, State } from "./generated.js";
export { tabIdentity } from "./identity.js";
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
} from "./model.js";
export { INITIAL } from "./model.js";
export type { Page, PageEvent } from "./page.js";
export { parseRecord, RECORD_KEY, type SessionRecord } from "./record.js";
export { reduce, replay } from "./reduce.js";
export { agentIn } from "./room-events.js";
export { createSession, type Inside, type Microphone, type Session, type SessionOptions } from "./session.js";
export { createStore, type Store } from "./store.js";
export { type TokenAnswer, type TokenRequest, type TokenSource, tokenEndpoint } from "./token.js";
