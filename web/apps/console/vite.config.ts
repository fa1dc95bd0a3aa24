import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The control plane whose sessions are shown, for working on the console with `npm run dev`.
const CONTROL_PLANE = process.env.ROOMKEEPER_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  base: "/console/",
  build: {
    // Built into the Python package, so that the wheel serves the console without Node.
    outDir: "../../../src/roomkeeper/control/pages/console",
    emptyOutDir: true,
    // Nothing inlined, so that the page runs under a Content-Security-Policy without 'unsafe-inline' and data:.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    // The console, and the panel of `roomkeeper dev`.
    rollupOptions: { input: ["index.html", "panel.html"] },
  },
  server: { host: "127.0.0.1", proxy: { "/api": CONTROL_PLANE } },
});
