import { defaultServerConditions } from "vite";
import { defineConfig } from "vitest/config";

const conditions = ["roomkeeper-source", ...defaultServerConditions];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: { include: ["packages/*/tests/**/*.test.{ts,tsx}", "apps/*/tests/**/*.test.{ts,tsx}"] },
});
