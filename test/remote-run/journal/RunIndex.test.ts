import { FileSystem } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as RunFolders from "../../../src/remote-run/journal/RunFolders.ts"
import * as RunIndex from "../../../src/remote-run/journal/RunIndex.ts"
import type { RunId } from "../../../src/remote-run/RunId.ts"
import { idAt, today, withFolder } from "../../support/Histories.ts"

interface Indexed {
  readonly index: RunIndex.RunIndex
  /** Writes what was added. */
  readonly written: Effect.Effect<void>
}

const withIndex = <A, E>(test: (indexed: Indexed) => Effect.Effect<A, E>) =>
  withFolder(({ directory }) =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      yield* fs.makeDirectory(`${directory}/${RunFolders.folderAt(today)}`, { recursive: true })
      const writes: Array<Effect.Effect<void>> = []
      const index = RunIndex.make({
        fs,
        folders: yield* RunFolders.make(directory),
        fork: (write) => writes.push(write),
        wrote: () => {}
      })
      return yield* test({
        index,
        written: Effect.suspend(() => Effect.all(writes.splice(0), { discard: true }))
      })
    })
  )

const about = (index: RunIndex.RunIndex, id: RunId, search: Partial<RunIndex.RunSearch>) =>
  Effect.map(index.read(RunFolders.folderOf(id), { ...RunIndex.everyRun, ...search }), (runs) => runs.get(id))

const byNode = (node: string) => ({ node: Option.some(node) })
const byActor = (actor: string) => ({ actor: Option.some(actor) })

describe("the index of runs", () => {
  it.effect("counts what was said last of a run that began again, and no summary of before", () =>
    withIndex(({ index, written }) =>
      Effect.gen(function* () {
        const id = idAt(today)
        index.begun(id, "ann", ["A", "B"])
        index.ended(id, '"first"')
        yield* written
        expect(yield* about(index, id, byNode("A"))).toMatchObject({ matches: true, summary: '"first"' })
        index.begun(id, "bob", ["B", "C"])
        yield* written
        for (const search of [byNode("A"), byActor("ann"), { ...byNode("B"), ...byActor("ann") }])
          expect(yield* about(index, id, search)).toMatchObject({ isComplete: true, matches: false })
        for (const search of [byNode("C"), byActor("bob"), { ...byNode("B"), ...byActor("bob") }])
          expect(yield* about(index, id, search)).toMatchObject({ matches: true, summary: undefined })
        index.ended(id, '"second"')
        yield* written
        expect(yield* about(index, id, byNode("C"))).toMatchObject({ matches: true, summary: '"second"' })
        expect(yield* about(index, id, byNode("A"))).toMatchObject({ matches: false, summary: undefined })
      })
    )
  )

  it.effect("knows each node of a run for very many, among others", () =>
    withIndex(({ index, written }) =>
      Effect.gen(function* () {
        const [few, many] = [idAt(today), idAt(today)]
        const nodes = Array.from({ length: 40_000 }, (_, i) => `n${i}`)
        index.begun(few, "", ["n0"])
        index.begun(many, "ann", nodes)
        index.ended(many, '"many"')
        index.ended(few, '"few"')
        yield* written
        for (const node of ["n1", "n4095", "n4096", "n39999"]) {
          expect(yield* about(index, many, byNode(node))).toMatchObject({ matches: true, summary: '"many"' })
          expect(yield* about(index, few, byNode(node))).toMatchObject({ isComplete: true, matches: false })
        }
        expect(yield* about(index, many, byNode("n40000"))).toMatchObject({
          isComplete: true,
          matches: false
        })
        expect(yield* about(index, many, byActor("bob"))).toMatchObject({ isComplete: true, matches: false })
        expect(yield* about(index, few, byNode("n0"))).toMatchObject({ matches: true, summary: '"few"' })
      })
    )
  )
})
