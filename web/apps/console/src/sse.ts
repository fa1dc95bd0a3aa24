// Server-sent events from a stream of text (WHATWG HTML, 9.2.6). `EventSource` cannot send a token, so that the stream
// is read with `fetch`, and its format here.

export interface ServerSentEvent {
  /** The last id the server gave, "" before the first. */
  readonly id: string;
  readonly event: string;
  readonly data: string;
}

/** Reads events piece by piece; a piece may end anywhere, even between CR and LF. */
export class SseReader {
  #rest = "";
  #id = "";
  #event = "";
  #data: string[] = [];

  /** Take the next piece; return the events that it completes. */
  read(piece: string): ServerSentEvent[] {
    const text = this.#rest + piece;
    const lines = text.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    const events: ServerSentEvent[] = [];
    for (const line of lines) {
      if (line !== "") this.#take(line);
      else if (this.#data.length > 0 || this.#event !== "") events.push(this.#dispatch());
    }
    return events;
  }

  #dispatch(): ServerSentEvent {
    const event = { id: this.#id, event: this.#event || "message", data: this.#data.join("\n") };
    this.#event = "";
    this.#data = [];
    return event;
  }

  #take(line: string): void {
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment keeps the connection alive
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
  }
}
