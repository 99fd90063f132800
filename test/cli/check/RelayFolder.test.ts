/** What keeps a relay from its folders. */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as RelayFolder from "../../../src/cli/check/RelayFolder.ts"
import { makeSettings } from "../../../src/config/GivenSettings.ts"
import { NodeId } from "../../../src/NodeId.ts"
import { temporaryFolder } from "../../support/Folders.ts"

const wrongIn = (folder: string) =>
  Effect.map(
    RelayFolder.wrong(
      makeSettings({
        general: { nodeId: NodeId.make("root") },
        remoteRun: { directory: join(folder, "runs") },
        sharedFiles: { path: join(folder, "shared-files"), outbox: join(folder, "outbox") }
      })
    ),
    (found) => found.map(({ file }) => file)
  )

describe("a relay's folders", () => {
  it.scopedLive("are told of where they can't be made, each once", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      expect(yield* wrongIn(folder)).toEqual([])
      writeFileSync(join(folder, "runs"), "")
      writeFileSync(join(folder, "shared-files"), "")
      expect(yield* wrongIn(folder)).toEqual([join(folder, "runs"), join(folder, "shared-files")])
    })
  )

  it.scopedLive("are told of by the folder in them for what is being written, where only that is wrong", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      mkdirSync(join(folder, "shared-files"))
      writeFileSync(join(folder, "shared-files", "~tmp"), "")
      expect(yield* wrongIn(folder)).toEqual([join(folder, "shared-files", "~tmp")])
    })
  )
})
