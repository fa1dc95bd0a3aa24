/** What the package adds to a page that has its peers. */
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, defaultClientConditions, type Rolldown } from "vite";
import { afterAll, beforeAll, expect, test, vi } from "vitest";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const PEERS = ["@livekit/components-react", "livekit-client", "react", "react/jsx-runtime"];

// As a page is built for its users; a test's own mode would bring React's development runtime along.
beforeAll(() => vi.stubEnv("NODE_ENV", "production"));
afterAll(() => vi.unstubAllEnvs());

/** The compressed bytes of a page that uses this and nothing else. */
async function bytesOf(imports: string, shared: string[] = []): Promise<number> {
  const built = await build({
    root: PACKAGE,
    configFile: false,
    logLevel: "error",
    resolve: { conditions: ["roomkeeper-source", ...defaultClientConditions] },
    plugins: [
      {
        name: "page",
        resolveId: (id) => (id === "page" ? id : null),
        load: (id) => (id === "page" ? `export { ${imports} } from "@roomkeeper/react";` : null),
      },
    ],
    build: {
      write: false,
      minify: true,
      target: "es2022",
      modulePreload: false,
      rolldownOptions: { input: "page", external: [...PEERS, ...shared], preserveEntrySignatures: "strict" },
    },
  });
  const [{ output }] = (Array.isArray(built) ? built : [built]) as [Rolldown.RolldownOutput];
  return gzipSync(output.map((each) => (each.type === "chunk" ? each.code : "")).join("")).length;
}

const EVERYTHING = "RoomkeeperRoom, useRoomkeeper, SessionStatus, EndScreen, EndButton";

test("the hook and the parts are less than 3 kB", async () => {
  const bytes = await bytesOf(EVERYTHING, ["@roomkeeper/client"]);
  expect(bytes).toBeGreaterThan(1_000);
  expect(bytes).toBeLessThan(3_000);
});

test("with the client that does the work they stay below 10.5 kB", async () => {
  expect(await bytesOf(EVERYTHING)).toBeLessThan(10_500);
});

test("a page pays for what it uses only", async () => {
  expect(await bytesOf("REASONS")).toBeLessThan(1_500);
  expect(await bytesOf("statusOf")).toBeLessThan(700);
});
