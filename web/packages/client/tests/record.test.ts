import { expect, test } from "vitest";
import { later, parseRecord, recordInMetadata, type SessionRecord } from "../src/record";

const whole = {
  v: 1,
  session: "S_1",
  seq: 3,
  state: "ended",
  since: "2026-01-01T00:00:00Z",
  now: "2026-01-01T00:00:00Z",
  until: null,
  reason: "completed",
  by: "agent",
  message: "Thank you!",
  detail: null,
};

test("a record is read from text, from a value and from shared metadata", () => {
  const { v, ...rest } = whole;
  const expected = { ...rest, provisional: false };
  expect(parseRecord(JSON.stringify(whole))).toEqual(expected);
  expect(parseRecord(whole)).toEqual(expected);
  expect(recordInMetadata(JSON.stringify({ theirs: 1, roomkeeper: whole }))).toEqual(expected);
});

test("an agent's own record says so", () => {
  expect(parseRecord({ ...whole, provisional: true })?.provisional).toBe(true);
});

test.each([
  ["no JSON", "{"],
  ["empty", ""],
  ["a number", "1"],
  ["an array", "[]"],
  ["null", "null"],
  ["a later version", { ...whole, v: 2 }],
  ["no session", { ...whole, session: undefined }],
  ["a sequence number in words", { ...whole, seq: "3" }],
  ["an unknown state", { ...whole, state: "toString" }],
])("%s is no record", (_, raw) => {
  expect(parseRecord(raw)).toBeNull();
});

test.each([[undefined], [""], ["plain words"], ["[]"], ['{"roomkeeper":7}']])("metadata %j holds no record", (raw) => {
  expect(recordInMetadata(raw)).toBeNull();
});

test("only a later record of the same session takes the place of another, and none that of an end", () => {
  const record = (more: Partial<SessionRecord>) => ({ ...(parseRecord(whole) as SessionRecord), ...more });
  const live = record({ state: "live", seq: 5 });
  expect(later(null, live)).toBe(live);
  expect(later(live, record({ state: "holding", seq: 4 }))).toBe(live);
  expect(later(live, record({ state: "holding", seq: 5 }))).toBe(live);
  expect(later(live, record({ session: "S_2", seq: 9 }))).toBe(live);
  const ended = record({ seq: 6 });
  expect(later(live, ended)).toBe(ended);
  expect(later(ended, record({ state: "live", seq: 7 }))).toBe(ended);
});
