import { defineConfig } from "vitest/config";
import { devServer } from "./tests/dev-server/plugin.ts";

export default defineConfig({
  // Every address in the built page is relative, so that a server may serve it from any path.
  base: "./",
  plugins: [devServer()],
  build: {
    target: "es2022",
    // The page is embedded into a program: one script, one style sheet, constant file names.
    modulePreload: false,
    assetsInlineLimit: 0,
    rolldownOptions: {
      output: {
        entryFileNames: "assets/app.js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/[name][extname]",
      },
    },
  },
  test: { include: ["tests/**/*.test.ts", "tests/**/*.test.tsx"], environment: "node", restoreMocks: true },
});
