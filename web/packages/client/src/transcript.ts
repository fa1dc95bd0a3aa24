/**
 * The conversation in writing, for pages that show it: what was said and typed, by whom, in the order in which each began;
 * kept in a tab's memory, so that loading the page again changes nothing for its user.
 */
import type { TextStreamReader } from "livekit-client";
import type { Line, Model, Speaker } from "./model.js";
import type { Inside, Session } from "./session.js";

const TRANSCRIPTION_TOPIC = "lk.transcription";
const CHAT_TOPIC = "lk.chat";

/** Keeps what is known of one room; `sessionStorage` is such a place. */
export type Memory = Pick<Storage, "getItem" | "setItem">;

/**
 * Write down what is said. It takes LiveKit's streams of transcription and chat, each of which has one taker: no other
 * component in the room may show them then.
 */
export function transcript(memory: Memory | null = null): (inside: Inside) => () => void {
  return (inside) => {
    const { room, subscribe, tell, latest } = inside;
    const keep = () => memory && remember(memory, latest());
    const known = memory && recall(memory, latest().room);
    if (known) tell({ type: "Recalled", known });
    room.registerTextStreamHandler(TRANSCRIPTION_TOPIC, (reader, { identity }) => {
      void writeLine(reader, identity === room.localParticipant.identity ? "user" : "agent", inside);
    });
    room.registerTextStreamHandler(CHAT_TOPIC, (reader) => void writeLine(reader, "agent", inside));
    const away = new AbortController();
    // Also what is just being said.
    globalThis.addEventListener?.("pagehide", keep, { signal: away.signal });
    const unsubscribe = subscribe((model, before) => {
      // What an agent was hearing or saying when it went will not grow any more.
      if (before.agent && !model.agent) tell({ type: "LinesChanged", lines: finished(latest().lines) });
      const said = model.lines !== before.lines && model.lines.at(-1)?.final;
      if (said || (["sid", "session", "liveAt", "endedAt"] as const).some((key) => model[key] !== before[key])) keep();
    });
    return () => {
      unsubscribe();
      away.abort();
      room.unregisterTextStreamHandler(TRANSCRIPTION_TOPIC);
      room.unregisterTextStreamHandler(CHAT_TOPIC);
    };
  };
}

/** Say something in writing. Resolves to whether it was sent; never rejects. */
export async function say({ room, tell, snapshot }: Session, text: string): Promise<boolean> {
  try {
    const { id } = await room.localParticipant.sendText(text, { topic: CHAT_TOPIC });
    const line: Line = { id, speaker: "user", text, final: true, typed: true };
    tell({ type: "LinesChanged", lines: withLine(snapshot().lines, line) });
    return true;
  } catch {
    return false;
  }
}

/** Replace the line of the same id, or append. */
export function withLine(lines: readonly Line[], line: Line): readonly Line[] {
  const index = lines.findIndex(({ id }) => id === line.id);
  const known = lines[index];
  const says = line.text.trim() !== "";
  if (known === undefined) return says ? [...lines, line] : lines;
  if (known.final && !line.final) return lines; // a guess that was overtaken by the result
  // A corrected recognition may turn out to have been no speech at all.
  return says || !line.final ? lines.with(index, line) : lines.toSpliced(index, 1);
}

/**
 * A whole sentence, or more than one. What the agent began to say while the user was still speaking stays a fragment:
 * no question was asked, so what follows is still the same answer.
 */
const WHOLE = /^.{24,}\p{Sentence_Terminal}\P{Letter}*$/su;

/** How many times the user took the turn after the agent had said something whole. */
export function countAnswers(lines: readonly Line[]): number {
  let answers = 0;
  let asked = false;
  for (const { speaker, text } of lines) {
    if (speaker === "agent") asked ||= WHOLE.test(text);
    else if (asked) {
      answers += 1;
      asked = false;
    }
  }
  return answers;
}

/**
 * A transcription comes as text streams: the agent's as one stream that grows, the user's as one stream for each
 * correction, all with the segment's id. The mark that a segment is final comes with the end of its last stream.
 */
async function writeLine(reader: TextStreamReader, speaker: Speaker, { tell, latest }: Inside): Promise<void> {
  const { info } = reader;
  const segment = info.attributes?.["lk.segment_id"];
  const id = segment ?? info.id;
  const typed = info.topic === CHAT_TOPIC;
  let text = "";
  const write = (final: boolean) =>
    tell({ type: "LinesChanged", lines: withLine(latest().lines, { id, speaker, text, final, typed }) });
  try {
    for await (const chunk of reader) {
      text += chunk;
      write(false);
    }
  } catch {
    // The sender vanished in the middle of a line: what came is all there will ever be.
    write(true);
    return;
  }
  if (segment === undefined || info.attributes?.["lk.transcription_final"] === "true") write(true);
}

const finished = (lines: readonly Line[]) => lines.map((line) => ({ ...line, final: true }));

const key = (room: string) => `roomkeeper.room.${room}`;

function remember(memory: Memory, { room, sid, session, lines, liveAt, endedAt, view }: Model): void {
  if (room === null) return;
  // An end is final, so that nobody need be asked again.
  const known: Partial<Model> = {
    sid,
    session,
    lines,
    liveAt,
    ...(endedAt !== null && { endedAt, view }),
  };
  try {
    memory.setItem(key(room), JSON.stringify(known));
  } catch {
    // Full or forbidden: then a reload begins with an empty transcript.
  }
}

function recall(memory: Memory, room: string | null): Partial<Model> | null {
  try {
    const known: Partial<Model> | null = JSON.parse((room !== null && memory.getItem(key(room))) || "null");
    return known && { ...known, lines: finished(known.lines ?? []) }; // what was growing will not any more
  } catch {
    return null;
  }
}
