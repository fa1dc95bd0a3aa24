/** What has to have happened for each state to be shown. */
import type { Happened, Line, SessionRecord } from "@roomkeeper/react";
import { MESSAGES } from "@roomkeeper/react/en";

const NOW = Date.now();
const at = NOW - 72_000;
const since = new Date(NOW - 7_000).toISOString();

const record = (state: SessionRecord["state"], more: Partial<SessionRecord> = {}): Happened => ({
  type: "RecordSeen",
  at: NOW,
  writer: "",
  fresh: false,
  record: {
    session: "S_story",
    seq: 1,
    state,
    since,
    now: null,
    until: null,
    reason: null,
    by: null,
    message: null,
    detail: null,
    provisional: false,
    ...more,
  },
});
const agent = (activity: "listening" | "thinking" | "speaking"): Happened => ({
  type: "AgentSeen",
  at,
  identity: "agent",
  activity,
});
const lines: Line[] = [
  ["agent", "Welcome! Could you tell me a little about yourself, and what you do?"],
  ["user", "I repair old clocks and sell them on the market."],
  ["agent", "I see, thank you. Which one are you most proud of?"],
  ["user", "A church clock that had not struck the hour for thirty years."],
].map(([speaker, text = ""], index) => ({
  id: `${index}`,
  speaker: speaker as Line["speaker"],
  text,
  final: true,
  typed: false,
}));
const connected: Happened[] = [{ type: "Connected", at, sid: "RM_story" }];
const talk: Happened[] = [
  ...connected,
  agent("listening"),
  { type: "LinesChanged", at, lines },
  { type: "QualityChanged", at, quality: "good" },
];
const until = new Date(at + 300_000).toISOString();
const soon = new Date(NOW + 60_000).toISOString();

export const STORIES: Readonly<Record<string, readonly Happened[]>> = {
  connecting: [],
  waiting: connected,
  "waiting-again": [...talk, { type: "AgentLeft", at: NOW }],
  listening: talk,
  thinking: [...talk, agent("thinking")],
  speaking: [...talk, agent("speaking")],
  muted: [...talk, { type: "MicrophoneChanged", at, on: true }, { type: "MicrophoneChanged", at, on: false }],
  "no-sound": [...talk, { type: "PlaybackChanged", at, allowed: false }],
  "weak-connection": [...talk, { type: "QualityChanged", at, quality: "poor" }],
  "time-limit": [...talk, record("live", { until })],
  "time-nearly-up": [...talk, record("live", { until: soon })],
  reconnecting: [...talk, { type: "ConnectionInterrupted", at: NOW - 12_000 }],
  offline: [...talk, { type: "NetworkChanged", at: NOW, online: false }],
  recovering: [...talk, { type: "AgentLeft", at: NOW }, record("recovering")],
  holding: [...talk, record("holding", { until })],
  ending: [...talk, record("ending", { reason: "completed" })],
  "blocked-microphone": [...talk, { type: "MicrophoneFailed", at }],
  "blocked-duplicate_tab": [...talk, { type: "Disconnected", at: NOW, reason: 2 }],
  "blocked-token": [{ type: "ConnectionFailed", at: NOW, failure: "token" }],
  "blocked-server": [{ type: "ConnectionFailed", at: NOW, failure: "server" }],
  "ended-unexplained": [
    ...talk,
    { type: "Disconnected", at: NOW, reason: 5 },
    { type: "NothingKnown", at: NOW, kept: false },
  ],
  ...Object.fromEntries(
    Object.entries(MESSAGES).map(([reason, message]) => [
      `ended-${reason}`,
      [...talk, record("ended", { reason, message })],
    ]),
  ),
};
