import { defineConfig } from "vitest/config";
import { standIn } from "./tests/stand-in/plugin.ts";

export default defineConfig({
  // Every address in the built page is relative: whoever serves it chooses where.
  base: "./",
  plugins: [standIn()],
  build: {
    target: "es2022",
    // A page that is embedded into a program: one script, one style sheet, names that do not change.
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
