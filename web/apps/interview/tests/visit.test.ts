import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Visit } from "../src/memory";

const RECORD = {
  v: 1,
  session: "S_1",
  seq: 9,
  state: "ended",
  reason: "completed",
  by: "agent",
  message: "Thank you!",
};
let memory: Map<string, string>;
let asked: { readonly url: string; readonly init: RequestInit }[];

beforeEach(() => {
  memory = new Map();
  asked = [];
  vi.resetModules();
  vi.stubGlobal("addEventListener", () => undefined);
  vi.stubGlobal("document", { addEventListener: () => undefined });
  vi.stubGlobal("navigator", { onLine: true });
  vi.stubGlobal("sessionStorage", {
    getItem: (key: string) => memory.get(key) ?? null,
    setItem: (key: string, value: string) => void memory.set(key, value),
  });
});
afterEach(() => vi.unstubAllGlobals());

/** Open the page; `answer` is that of whoever is asked for a token. */
async function opened(invite: string | null, status: number, answer: object) {
  vi.stubGlobal("location", { hash: invite === null ? "" : `#invite=${invite}` });
  vi.stubGlobal("fetch", (url: string, init: RequestInit) => {
    asked.push({ url, init });
    return Promise.resolve(Response.json(answer, { status }));
  });
  const { arrive } = await import("../src/visit");
  return arrive();
}

function remembers(invite: string | null): void {
  const visit: Visit = { invite, room: "tea", name: "Ada", microphone: { on: false, deviceId: null } };
  memory.set("roomkeeper.visit", JSON.stringify(visit));
}

test("an invitation to what is over leads to its end, and nobody joins", async () => {
  const session = await opened("A", 410, { status: 410, ...RECORD });
  if (typeof session === "string") throw new Error(session);
  expect(asked.map(({ url }) => url)).toEqual(["/api/token"]);
  expect(asked[0]?.init.headers).toMatchObject({ Authorization: "Bearer A" });
  session.open();
  await vi.waitFor(() => expect(session.snapshot().view).toMatchObject({ state: "ended", message: "Thank you!" }));
  session.close();
  expect(asked).toHaveLength(1);
  expect(memory.has("roomkeeper.visit")).toBe(false);
});

test("an invitation that has expired is refused before anybody prepares", async () => {
  expect(await opened("A", 401, {})).toBe("refused");
});

test.each([
  ["is good", 201, { server_url: "ws://127.0.0.1:1", participant_token: "x" }],
  ["nobody can be asked about", 503, {}],
])("an invitation that %s leads to the lobby", async (_, status, answer) => {
  expect(await opened("A", status, answer)).toBe("lobby");
});

test("without an invitation nobody is asked", async () => {
  expect(await opened(null, 500, {})).toBe("lobby");
  expect(asked).toEqual([]);
});

test("a tab comes back to what it was in", async () => {
  remembers("A");
  expect((await opened("A", 500, {})) as object).toHaveProperty("room");
  expect(asked).toEqual([]);
});

test.each(["A", null])("a tab that was somewhere by %j does not take another invitation there", async (before) => {
  remembers(before);
  expect(await opened("B", 201, { server_url: "ws://127.0.0.1:1", participant_token: "x" })).toBe("lobby");
});
