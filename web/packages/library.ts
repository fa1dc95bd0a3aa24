import { defineConfig, type UserConfig } from "vite";

/** How a package is built: one ES module, everything it shares with its host left out. */
export function library(external: string[]): UserConfig {
  return defineConfig({
    build: {
      lib: { entry: "src/index.ts", formats: ["es"], fileName: "index" },
      rolldownOptions: { external: [...external, ...external.map((name) => `${name}/jsx-runtime`)] },
      minify: false,
      target: "es2022",
    },
  });
}
