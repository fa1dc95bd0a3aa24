import { afterEach, expect, test, vi } from "vitest";
import { tokenEndpoint } from "../src";
import { claimsOf } from "../src/token";

const request = { identity: "user-1", name: "Ada", room: null };
const ask = (response: Response | Error) => {
  const fetched = vi.fn<typeof fetch>(() =>
    response instanceof Error ? Promise.reject(response) : Promise.resolve(response),
  );
  vi.stubGlobal("fetch", fetched);
  return { fetched, answer: tokenEndpoint("/api/token")(request) };
};
afterEach(() => vi.unstubAllGlobals());

test("a granted token comes with its server and room", async () => {
  const { fetched, answer } = ask(
    Response.json({ server_url: "ws://127.0.0.1:1", participant_token: "t", room_name: "r" }, { status: 201 }),
  );
  expect(await answer).toEqual({ is: "granted", serverUrl: "ws://127.0.0.1:1", token: "t", room: "r" });
  expect(fetched.mock.calls[0]?.[0]).toBe("/api/token");
  expect(JSON.parse(String(fetched.mock.calls[0]?.[1]?.body))).toEqual({
    participant_identity: "user-1",
    participant_name: "Ada",
  });
});

test("a granted token is read in the other spelling, too", async () => {
  const { answer } = ask(Response.json({ serverUrl: "ws://127.0.0.1:1", participantToken: "t" }));
  expect(await answer).toEqual({ is: "granted", serverUrl: "ws://127.0.0.1:1", token: "t", room: null });
});

test("an ended session says why", async () => {
  const record = { v: 1, session: "S_1", seq: 4, state: "ended", reason: "completed", message: "Thank you!" };
  const { answer } = ask(Response.json(record, { status: 410 }));
  expect(await answer).toMatchObject({ is: "ended", record: { reason: "completed", message: "Thank you!" } });
});

test.each([
  ["gone, in words that are no record", new Response("gone", { status: 410 }), { is: "ended", record: null }],
  ["forbidden", new Response("", { status: 403 }), { is: "refused" }],
  ["an answer without a token", Response.json({ server_url: "ws://127.0.0.1:1" }), { is: "refused" }],
  ["a list", Response.json([]), { is: "refused" }],
  ["a page instead of JSON", new Response("<html>"), { is: "unreachable" }],
  ["a broken server", new Response("", { status: 502 }), { is: "unreachable" }],
  ["no network", new TypeError("Failed to fetch"), { is: "unreachable" }],
])("%s", async (_, response, expected) => {
  expect(await ask(response).answer).toEqual(expected);
});

test("an invitation travels in a header", async () => {
  const fetched = vi.fn<typeof fetch>(() => Promise.resolve(new Response("", { status: 403 })));
  vi.stubGlobal("fetch", fetched);
  await tokenEndpoint("/api/token", "invite")(request);
  expect(fetched.mock.calls[0]?.[1]?.headers).toMatchObject({ Authorization: "Bearer invite" });
});

test("the state of an ended session is found in a problem document, too", async () => {
  const record = { v: 1, session: "S_1", seq: 4, state: "ended", reason: "completed" };
  const { answer } = ask(Response.json({ status: 410, roomkeeper: record }, { status: 410 }));
  expect(await answer).toMatchObject({ is: "ended", record: { reason: "completed" } });
});

test("a token tells its room, its session and when it expires", () => {
  const claims = { exp: 1_700_000_000, video: { room: "täglich" }, attributes: { "roomkeeper.session": "S_1" } };
  const payload = Buffer.from(JSON.stringify(claims)).toString("base64url");
  expect(claimsOf(`e30.${payload}.x`)).toEqual({ room: "täglich", session: "S_1", expiresAt: 1_700_000_000_000 });
});

test.each(["", "no token", "a.b.c", `e30.${btoa("[1]")}.x`, `e30.${btoa('{"exp":"soon","video":7}')}.x`])(
  "%j tells nothing",
  (text) => {
    expect(claimsOf(text)).toEqual({ room: null, session: null, expiresAt: Number.POSITIVE_INFINITY });
  },
);
