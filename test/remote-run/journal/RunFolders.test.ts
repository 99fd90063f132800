import { FileSystem } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as RunFolders from "../../../src/remote-run/journal/RunFolders.ts"
import { idAt, today, withFolder } from "../../support/Histories.ts"

describe("the folder of a time", () => {
  it.effect("has the runs whose files are in it, and what is no run's", () =>
    withFolder(({ directory }) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const folders = yield* RunFolders.make(directory)
        const time = RunFolders.folderAt(today)
        expect(yield* folders.runs(time)).toEqual([])
        const [over, open, both, other] = [idAt(today), idAt(today), idAt(today), idAt(today)]
        yield* fs.makeDirectory(`${directory}/${time}`, { recursive: true })
        const runs = [`${over}.run`, `${open}.open`, `${both}.open`, `${both}.run`]
        const strangers = [`${other}.copy`, `${other}.ru`, `${other}`, `${other}x.run`, "x.run", ".open"]
        for (const name of [...strangers, ...runs, "index"])
          yield* fs.writeFileString(`${directory}/${time}/${name}`, "")
        expect([...(yield* folders.runs(time))].sort()).toEqual([over, open, both, both].sort())
        const files = yield* folders.files(time)
        expect(files.filter(({ id }) => id === undefined).map(({ path }) => path)).toEqual(
          strangers.sort().map((name) => `${directory}/${time}/${name}`)
        )
        expect(files.filter(({ id }) => id !== undefined).map(({ path }) => path)).toEqual(
          runs.sort().map((name) => `${directory}/${time}/${name}`)
        )
      })
    )
  )
})
