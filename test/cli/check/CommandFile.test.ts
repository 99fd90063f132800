/** Whether a command is in PATH. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as CommandFile from "../../../src/cli/check/CommandFile.ts"
import { temporaryFolder } from "../../support/Folders.ts"
import { environment } from "../../support/LocalScripts.ts"

describe("a command", () => {
  it.scopedLive("is found wherever in PATH it is, and nowhere else", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const own = join(folder, "only-here")
      writeFileSync(own, "#!/bin/sh\n")
      chmodSync(own, 0o755)
      writeFileSync(join(folder, "not-executable"), "")
      mkdirSync(join(folder, "a-folder"))
      for (const path of [`${folder}:/usr/bin`, `/usr/bin:${folder}`]) {
        yield* environment({ PATH: path })
        expect(yield* CommandFile.isInPath("only-here")).toBe(true)
        expect(yield* CommandFile.isInPath("flock")).toBe(true)
        for (const name of ["not-executable", "a-folder", "nowhere"])
          expect(yield* CommandFile.isInPath(name)).toBe(false)
      }
      yield* environment({ PATH: folder })
      expect(yield* CommandFile.isInPath("only-here")).toBe(true)
      expect(yield* CommandFile.isInPath("flock")).toBe(false)
    })
  )
})
