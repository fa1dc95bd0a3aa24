// The conversation, from the lines that agents wrote into the journal. Pure.

import type { JournalEvent } from "./api";

export interface Said {
  readonly key: string;
  readonly at: number;
  readonly role: "user" | "assistant" | "tool" | "note";
  readonly text: string;
  readonly interrupted: boolean;
}

interface Item {
  readonly id?: string;
  readonly type?: string;
  readonly role?: string;
  readonly content?: readonly unknown[];
  readonly interrupted?: boolean;
  readonly name?: string;
  readonly arguments?: string;
  readonly output?: string;
  readonly new_agent_id?: string;
}

/** List what was said and done, in the order in which it reached the journal; a repeated item counts once. */
export function transcriptOf(events: readonly JournalEvent[]): Said[] {
  const said = new Map<string, Said>();
  for (const event of events) {
    if (event.type !== "Noted" || event.what !== "item") continue;
    const item = (event.data as { item?: Item } | undefined)?.item;
    if (!item) continue;
    const line = read(item);
    if (!line) continue;
    const key = item.id ?? `${event.job}/${event.seq}`;
    said.set(`${item.type}/${key}`, {
      key: `${item.type}/${key}`,
      at: typeof event.said_at === "number" ? event.said_at : event.at,
      interrupted: item.interrupted === true,
      ...line,
    });
  }
  return [...said.values()];
}

function read(item: Item): Pick<Said, "role" | "text"> | null {
  switch (item.type) {
    case "message": {
      const text = (item.content ?? []).filter((part) => typeof part === "string").join("\n");
      if (!text || (item.role !== "user" && item.role !== "assistant")) return null;
      return { role: item.role, text };
    }
    case "function_call":
      return { role: "tool", text: `${item.name}(${item.arguments ?? ""})` };
    case "function_call_output":
      return { role: "tool", text: `→ ${item.output ?? ""}` };
    case "agent_handoff":
      return { role: "note", text: `now ${item.new_agent_id ?? "another agent"}` };
    default:
      return null;
  }
}
