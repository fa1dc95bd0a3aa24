import { describe, expect, test } from "vitest";
import { SseReader } from "../src/sse";

const STREAM = ': hello\n\nid: 7\nevent: session.live\ndata: {"a":\ndata: 1}\n\ndata:x\r\n\r\nid: 9\nevent: ping\n\n';

describe("a stream of server-sent events", () => {
  test("is the same however it is cut", () => {
    const whole = new SseReader().read(STREAM);
    expect(whole).toEqual([
      { id: "7", event: "session.live", data: '{"a":\n1}' },
      { id: "7", event: "message", data: "x" },
      { id: "9", event: "ping", data: "" },
    ]);
    for (let size = 1; size < 12; size += 1) {
      const reader = new SseReader();
      const pieces = STREAM.match(new RegExp(`[\\s\\S]{1,${size}}`, "g")) ?? [];
      expect(pieces.flatMap((piece) => reader.read(piece))).toEqual(whole);
    }
  });

  test("gives nothing for an event that is cut off", () => {
    expect(new SseReader().read("data: half")).toEqual([]);
  });
});
