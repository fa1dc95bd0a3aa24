/**
 * What the package adds to a page that has its peers: everything that an entry point exports, with `@roomkeeper/client`,
 * bundled for production (Vite: Rolldown and Oxc's minifier), peers left out, one file, `gzip -9`.
 */
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, defaultClientConditions, type Rolldown } from "vite";
import { afterAll, beforeAll, expect, test, vi } from "vitest";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const PEERS = ["@livekit/components-react", "livekit-client", "react", "react/jsx-runtime"];

// As a page is built for its users; a test's own mode would bring React's development runtime along.
beforeAll(() => vi.stubEnv("NODE_ENV", "production"));
afterAll(() => vi.unstubAllEnvs());

/** The compressed bytes of a page that is this and nothing else. */
async function bytesOf(page: string, shared: string[] = []): Promise<number> {
  const built = await build({
    root: PACKAGE,
    configFile: false,
    logLevel: "error",
    resolve: { conditions: ["roomkeeper-source", ...defaultClientConditions] },
    plugins: [
      {
        name: "page",
        resolveId: (id) => (id === "page" ? id : null),
        load: (id) => (id === "page" ? page : null),
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
  expect(output).toHaveLength(1);
  return gzipSync(output[0].code, { level: 9 }).length;
}

const ALL = 'export * from "@roomkeeper/react";';

test("everything together is less than 8 kB", async () => {
  const bytes = await bytesOf(ALL);
  expect(bytes).toBeGreaterThan(5_000);
  expect(bytes).toBeLessThan(8_000);
});

test("the hook and the parts are less than 1.5 kB of it", async () => {
  expect(await bytesOf(ALL, ["@roomkeeper/client"])).toBeLessThan(1_500);
});

test("a page pays for what it uses only", async () => {
  expect(await bytesOf('export { tokenEndpoint } from "@roomkeeper/react";')).toBeLessThan(1_000);
  expect(await bytesOf('export { useRoomkeeper } from "@roomkeeper/react";')).toBeLessThan((await bytesOf(ALL)) - 500);
});

test.each([
  ["transcript", 1_500],
  ["en", 1_200],
  ["de", 1_700],
])("%s is an entry point of its own, less than %i bytes", async (name, most) => {
  expect(await bytesOf(`export * from "@roomkeeper/react/${name}";`)).toBeLessThan(most);
});
