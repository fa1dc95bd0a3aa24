/** One pure step: what was known, and what happened, make what is known now. */
import { type Happened, INITIAL, type Model } from "./model";
import { later } from "./record";
import { withLine } from "./transcript";
import { viewOf } from "./view";

type Facts = Omit<Model, "view">;

export function reduce(model: Model, happened: Happened): Model {
  const facts = learn(model, happened);
  if (facts === model) return model;
  // An end is final: facts still arrive (the last words' transcript), but never bring the conversation back.
  if (model.view.state === "ended") return { ...facts, view: model.view, endedAt: model.endedAt };
  const view = viewOf(facts);
  const at = "at" in happened ? happened.at : null;
  return {
    ...facts,
    view: sameView(model.view, view) ? model.view : view,
    liveAt: facts.liveAt ?? (view.state === "live" ? at : null),
    endedAt: view.state === "ended" ? at : null,
  };
}

export function replay(events: Iterable<Happened>): Model {
  let model = INITIAL;
  for (const each of events) model = reduce(model, each);
  return model;
}

function learn(model: Model, happened: Happened): Facts {
  switch (happened.type) {
    case "ConnectionBegun":
      return { ...model, link: { is: "connecting" }, agent: null };
    case "RoomNamed":
      return { ...model, room: happened.room };
    case "Connected":
    case "ConnectionRestored":
      return { ...model, link: { is: "connected" } };
    case "ConnectionFailed":
      return { ...model, link: { is: "failed", failure: happened.failure } };
    case "ConnectionInterrupted":
      // The client goes through two kinds of reconnecting in either order: to the user they are one.
      return model.link.is === "interrupted" ? model : { ...model, link: { is: "interrupted", since: happened.at } };
    case "NetworkChanged":
      return { ...model, offlineSince: happened.online ? null : (model.offlineSince ?? happened.at) };
    case "Disconnected":
      // A connection that was never made ends with an event, too; its failure says more.
      if (model.link.is === "connecting" || model.link.is === "failed") return model;
      return { ...model, link: { is: "disconnected", reason: happened.reason }, agent: null };
    case "RecordSeen":
      return withRecord(model, happened);
    case "AgentSeen": {
      const { identity, activity } = happened;
      if (model.agent?.identity === identity && model.agent.activity === activity) return model;
      return { ...model, agent: { identity, activity }, agentWasHere: true };
    }
    case "AgentLeft":
      return model.agent === null ? model : { ...model, agent: null };
    case "PlaybackChanged":
      return { ...model, playbackAllowed: happened.allowed };
    case "MicrophoneChanged":
      return { ...model, microphone: happened.on ? "on" : "off" };
    case "MicrophoneFailed":
      return { ...model, microphone: "failed" };
    case "TypingChosen":
      return { ...model, microphone: "off" };
    case "QualityChanged":
      return { ...model, weakConnection: happened.weak };
    case "LineChanged":
      return { ...model, lines: withLine(model.lines, happened.line) };
    case "EndRequested":
      return { ...model, endRequested: true };
    default:
      return happened satisfies never;
  }
}

function withRecord(model: Model, { record, writer }: Extract<Happened, { type: "RecordSeen" }>): Facts {
  if (!record.provisional) {
    const now = later(model.record, record);
    return now === model.record ? model : { ...model, record: now };
  }
  // Another agent counts from its own beginning.
  const known = model.provisional?.writer === writer ? model.provisional.record : null;
  const now = later(known, record);
  return now === known ? model : { ...model, provisional: { writer, record: now } };
}

function sameView(a: Model["view"], b: Model["view"]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
