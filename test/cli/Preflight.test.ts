/** What is found before anything is read. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Preflight from "../../src/cli/Preflight.ts"
import { temporaryFolder } from "../support/Folders.ts"

describe("a configuration", () => {
  it.scopedLive("that is named by its file is one finding, which names the folder", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = join(folder, "main.conf")
      writeFileSync(file, "")
      const { findings } = yield* Preflight.examine(file)
      expect(findings).toMatchObject([
        { kind: "configuration", file, message: expect.stringMatching(/ is a file; .*: --config \S+$/) }
      ])
      expect(findings[0]?.message.endsWith(`--config ${folder}`)).toBe(true)
    }).pipe(Effect.provide(NodeContext.layer))
  )
})
