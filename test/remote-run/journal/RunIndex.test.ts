import { FileSystem, Error as PlatformError } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as RunFolders from "../../../src/remote-run/journal/RunFolders.ts"
import * as RunIndex from "../../../src/remote-run/journal/RunIndex.ts"
import type { RunId } from "../../../src/remote-run/RunId.ts"
import { idAt, today, withFolder } from "../../support/Histories.ts"

interface Indexed {
  readonly index: RunIndex.RunIndex
  /** Of the log. */
  readonly lines: ReadonlyArray<string>
  /** Writes what was added. */
  readonly written: Effect.Effect<void>
}

/** @param given makes what the index is kept with of the real one */
const withIndex = <A, E>(
  test: (indexed: Indexed) => Effect.Effect<A, E>,
  given: (real: FileSystem.FileSystem) => FileSystem.FileSystem = (real) => real
) =>
  withFolder(({ directory, lines }) =>
    Effect.gen(function* () {
      const fs = given(yield* FileSystem.FileSystem)
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
        lines,
        written: Effect.suspend(() => Effect.all(writes.splice(0), { discard: true }))
      })
    })
  )

const failure = (method: string) =>
  new PlatformError.SystemError({
    module: "FileSystem",
    method,
    reason: "Unknown",
    description: `EIO: ${method}`
  })

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

  it.effect("says of a run with a summary that is too long that it is over", () =>
    withIndex(({ index, written }) =>
      Effect.gen(function* () {
        const id = idAt(today)
        index.begun(id, "ann", ["A"])
        index.ended(id, JSON.stringify("x".repeat(20_000)))
        yield* written
        expect(yield* about(index, id, {})).toMatchObject({ isSummarized: true, summary: undefined })
      })
    )
  )

  it.effect("that can't be read or written is in the log once, until it can be again", () => {
    const failing = new Set<string>()
    const guard =
      (method: string) =>
      <A, R>(effect: Effect.Effect<A, PlatformError.PlatformError, R>) =>
        Effect.suspend(() => (failing.has(method) ? Effect.fail(failure(method)) : effect))
    return withIndex(
      ({ index, lines, written }) =>
        Effect.gen(function* () {
          const id = idAt(today)
          const use = Effect.gen(function* () {
            for (let time = 0; time < 3; time++) {
              yield* about(index, id, {})
              index.begun(id, "ann", ["A"])
              yield* written
            }
            return lines.filter((line) => line.startsWith("WARN the index of runs can't be kept")).length
          })
          failing.add("open").add("writeFile")
          expect(yield* use).toBe(1)
          failing.delete("writeFile")
          expect(yield* use).toBe(1)
          failing.clear()
          expect(yield* use).toBe(1)
          failing.add("writeFile")
          expect(yield* use).toBe(2)
          failing.clear()
          expect(yield* use).toBe(2)
          failing.add("open")
          expect(yield* use).toBe(3)
        }),
      (real) => ({
        ...real,
        open: (path, options) => guard("open")(real.open(path, options)),
        writeFile: (path, bytes, options) => guard("writeFile")(real.writeFile(path, bytes, options))
      })
    )
  })

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
