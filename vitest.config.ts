import { availableParallelism } from "node:os"
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    pool: "forks",
    // Of vitest's own accord one processor would stay idle.
    maxWorkers: availableParallelism(),
    minWorkers: 1,
    // To load the libraries takes longer than most files' tests: a process runs one file after the other, and loads them
    // once. `npm run test:e2e` says otherwise.
    isolate: false,
    projects: [
      {
        extends: true,
        test: {
          name: "core",
          include: ["test/**/*.test.ts"],
          exclude: ["test/e2e/**"],
          setupFiles: ["test/support/Properties.ts"],
          testTimeout: 30_000
        }
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 60_000
        }
      }
    ]
  }
})
