import react from "@vitejs/plugin-react";
import { defaultClientConditions, defineConfig } from "vite";

// The control plane of `roomkeeper dev`, for working on the page with `npm run dev`.
const CONTROL_PLANE = process.env.ROOMKEEPER_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  base: "/",
  // The packages as they are written, not as they are built.
  resolve: { conditions: ["roomkeeper-source", ...defaultClientConditions] },
  build: {
    // Built into the Python package, so that the wheel serves the page without Node.
    outDir: "../../../src/roomkeeper/control/pages/interview",
    emptyOutDir: true,
    // Nothing inlined, so that the page runs under a Content-Security-Policy without 'unsafe-inline' and data:.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    chunkSizeWarningLimit: 1200,
  },
  server: { host: "127.0.0.1", proxy: { "/api": CONTROL_PLANE } },
});
