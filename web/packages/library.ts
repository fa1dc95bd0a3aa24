import { defineConfig, type UserConfig } from "vite";

/** How a package is built: one ES module for each entry point, everything it shares with its host left out. */
export function library(external: string[], ...others: string[]): UserConfig {
  return defineConfig({
    build: {
      lib: { entry: ["index", ...others].map((name) => `src/${name}.ts`), formats: ["es"] },
      rolldownOptions: { external: external.flatMap((name) => [name, new RegExp(`^${name}/`)]) },
      minify: false,
      target: "es2022",
    },
  });
}
