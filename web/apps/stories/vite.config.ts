import react from "@vitejs/plugin-react";
import { defaultClientConditions, defineConfig } from "vite";

/** Pages for tests and for whoever works on the parts; they are in no wheel. */
export default defineConfig({
  plugins: [react()],
  base: "./",
  resolve: { conditions: ["roomkeeper-source", ...defaultClientConditions] },
  build: {
    modulePreload: { polyfill: false },
    target: "es2022",
    chunkSizeWarningLimit: 1200,
    rolldownOptions: { input: ["index.html", "live-kit-room.html", "session-provider.html"] },
  },
  server: { host: "127.0.0.1" },
});
