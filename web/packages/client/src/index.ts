export type { AgentActivity, ConnectFailure, Ended, Happened, Model, Obstacle, View } from "./model";
export { INITIAL } from "./model";
export { type Author, type Outcome, REASONS, type Reason } from "./reasons";
export { parseRecord, RECORD_KEY, type RecordState, type SessionRecord } from "./record";
export { reduce, replay } from "./reduce";
export { agentIn } from "./room-events";
export { Session, type SessionOptions } from "./session";
export { type TokenAnswer, type TokenRequest, type TokenSource, tokenEndpoint } from "./token";
export { countAnswers, type Line, type Speaker } from "./transcript";
