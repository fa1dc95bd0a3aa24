export { type Author, type Outcome, REASONS, type Reason, type State } from "./generated";
export type { AgentActivity, ConnectFailure, Ended, Happened, Model, Obstacle, View } from "./model";
export { INITIAL } from "./model";
export { parseRecord, RECORD_KEY, type SessionRecord } from "./record";
export { reduce, replay } from "./reduce";
export { agentIn } from "./room-events";
export { Session, type SessionOptions } from "./session";
export { type TokenAnswer, type TokenRequest, type TokenSource, tokenEndpoint } from "./token";
export { countAnswers, type Line, type Speaker } from "./transcript";
