import { availableParallelism } from "node:os"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"

/** Those that take the longest: what is begun last is what the others wait for. */
const longest =
  /(OutboxModel|AgentProcess|OutboxMemory|SharedFileStore\.property|SubRelays|RunReader)\.test\.ts$/

/** Where there is no run before this one that says how long each file took, as in CI. */
class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const sorted = await super.sort(files)
    const isLong = ({ moduleId }: TestSpecification) => longest.test(moduleId)
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))]
  }
}

export default defineConfig({
  test: {
    pool: "forks",
    // Of vitest's own accord one processor would stay idle.
    maxWorkers: availableParallelism(),
    minWorkers: 1,
    // To load the libraries takes longer than most files' tests: a process runs one file after the other, and loads them
    // once. `npm run test:e2e` says otherwise.
    isolate: false,
    // Most of what tests make is gone at once: with the 16 MB of node's own accord, a tenth of the time was the collector's.
    poolOptions: { forks: { execArgv: ["--max-semi-space-size=64"] } },
    sequence: { sequencer: LongestFirst },
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
          hookTimeout: 60_000,
          // Where a log is looked at: its lines come through a pipe of their own, and not before what is answered.
          expect: { poll: { timeout: 10_000 } }
        }
      }
    ]
  }
})
