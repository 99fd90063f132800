import { FileSystem } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck, Option } from "effect"
import type { RunSelection } from "../../../src/remote-run/journal/RunListing.ts"
import { type RunId, startedAt } from "../../../src/remote-run/RunId.ts"
import { begin, day, historyIn, idAt, past, selected, today, withFolder } from "../../support/Histories.ts"

interface Made {
  readonly daysAgo: number
  readonly nodes: ReadonlyArray<string>
  readonly actor: string
  readonly state: "running" | "ended"
}

const names = ["A", "B", "C", "D"]
const actors = ["ann", "bob"]

const made: FastCheck.Arbitrary<Made> = FastCheck.record({
  daysAgo: FastCheck.integer({ min: 0, max: 2 }),
  nodes: FastCheck.subarray(names, { minLength: 1 }),
  actor: FastCheck.constantFrom("", ...actors),
  state: FastCheck.constantFrom("running" as const, "ended" as const)
})

const optional = <A>(values: FastCheck.Arbitrary<A>) =>
  FastCheck.option(values, { nil: undefined }).map(Option.fromNullable)

/** `before` and `since` by how many of the runs are older. */
const wanted = FastCheck.record({
  before: optional(FastCheck.nat(10)),
  since: optional(FastCheck.nat(10)),
  node: optional(FastCheck.constantFrom(...names, "E")),
  actor: optional(FastCheck.constantFrom(...actors, "eve")),
  state: optional(FastCheck.constantFrom("running" as const, "ended" as const))
})

/** What happens to the indexes before the runs are searched. */
const accident = FastCheck.oneof(
  FastCheck.constant({ _tag: "None" as const }),
  FastCheck.constant({ _tag: "Removed" as const }),
  FastCheck.record({
    _tag: FastCheck.constant("Cut" as const),
    at: FastCheck.double({ min: 0, max: 1, noNaN: true })
  }),
  FastCheck.record({
    _tag: FastCheck.constant("Garbled" as const),
    at: FastCheck.double({ min: 0, max: 0.99, noNaN: true })
  })
)

type Accident = typeof accident extends FastCheck.Arbitrary<infer A> ? A : never

const damage = (directory: string, what: Accident) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    for (const folder of yield* fs.readDirectory(directory)) {
      const path = `${directory}/${folder}/index`
      if (what._tag === "None" || !(yield* fs.exists(path))) continue
      if (what._tag === "Removed") {
        yield* fs.remove(path)
        continue
      }
      const bytes = yield* fs.readFile(path)
      const at = Math.floor(bytes.length * what.at)
      if (what._tag === "Garbled") bytes[at] = (bytes[at] ?? 0) ^ 0xff
      yield* fs.writeFile(path, what._tag === "Cut" ? bytes.subarray(0, at) : bytes)
    }
  })

const make = (run: Made) =>
  Effect.gen(function* () {
    const millis = today - run.daysAgo * day
    const of = { nodes: run.nodes, ...(run.actor === "" ? {} : { actor: run.actor }) }
    if (run.state === "ended") return { ...run, id: yield* past(millis, 10, of) }
    const id = idAt(millis)
    yield* begin(id, millis, of)
    return { ...run, id }
  })

const matching = (runs: ReadonlyArray<Made & { readonly id: RunId }>, selection: RunSelection) =>
  runs
    .filter(({ id }) => Option.match(selection.before, { onNone: () => true, onSome: (limit) => id < limit }))
    .filter(({ id }) =>
      Option.match(selection.since, { onNone: () => true, onSome: (at) => startedAt(id) >= at })
    )
    .filter(({ nodes }) =>
      Option.match(selection.node, { onNone: () => true, onSome: (node) => nodes.includes(node) })
    )
    .filter(({ actor }) =>
      Option.match(selection.actor, { onNone: () => true, onSome: (name) => actor === name })
    )
    .filter(({ state }) =>
      Option.match(selection.state, { onNone: () => true, onSome: (one) => state === one })
    )
    .map(({ id }) => id)
    .sort()
    .reverse()

/** The index is written behind the runs: until it says of each that it is over. */
const indexed = selected().pipe(
  Effect.map((runs) => runs.every(({ summary }) => Option.isSome(summary))),
  Effect.repeat({ until: (isSettled) => isSettled })
)

describe("the list of runs", () => {
  it.effect.prop(
    "has those that are asked for and no others, whatever became of the indexes, and again after a restart",
    { runs: FastCheck.array(made, { maxLength: 10 }), wanted, accident },
    ({ runs, wanted, accident }) =>
      withFolder(({ directory }) =>
        Effect.gen(function* () {
          const check = (all: ReadonlyArray<Made & { readonly id: RunId }>) =>
            Effect.gen(function* () {
              const ids = all.map(({ id }) => id).sort()
              const at = (older: number) => Option.fromNullable(ids[older])
              const selection: RunSelection = {
                ...wanted,
                before: Option.flatMap(wanted.before, at),
                since: Option.map(Option.flatMap(wanted.since, at), startedAt)
              }
              const found = yield* selected(selection)
              expect(found.map(({ id }) => id)).toEqual(matching(all, selection))
              for (const { id, summary } of found)
                if (Option.isSome(summary)) expect(summary.value).toMatchObject({ id, running: 0 })
            })
          const all = yield* Effect.gen(function* () {
            const all = yield* Effect.forEach(runs, make)
            yield* check(all)
            return all
          }).pipe(Effect.provide(historyIn(directory)))
          yield* damage(directory, accident)
          // What went on is cut off, and so it has ended.
          yield* check(all.map((run) => ({ ...run, state: "ended" }))).pipe(
            Effect.provide(historyIn(directory))
          )
        })
      ),
    { fastCheck: { numRuns: 30 } }
  )

  it.effect("opens as many files for a thousand runs as for ten, filtered or not", () =>
    withFolder(({ directory }) =>
      Effect.gen(function* () {
        const opened: Array<string> = []
        const fails = ({ method, path }: { readonly method: string; readonly path: string }) => {
          if (method === "open") opened.push(path)
          return false
        }
        const searches: ReadonlyArray<Partial<RunSelection>> = [
          {},
          { node: Option.some("n7") },
          { node: Option.some("nobody") },
          { actor: Option.some("ann") },
          { state: Option.some("ended") },
          { since: Option.some(today) }
        ]
        const counts = Effect.forEach(searches, (search) =>
          Effect.gen(function* () {
            opened.length = 0
            const found = yield* selected(search)
            expect(found.every(({ summary }) => Option.isSome(summary))).toBe(true)
            return opened.length
          })
        )
        const fill = (count: number) =>
          Effect.forEach(Array.from({ length: count }), (_, i) =>
            past(today, 10, { nodes: [`n${i % 10}`], actor: i % 2 === 0 ? "ann" : "bob" })
          )
        yield* Effect.gen(function* () {
          yield* fill(10)
          yield* indexed
          const few = yield* counts
          yield* fill(990)
          yield* indexed
          expect(yield* counts).toEqual(few)
          expect(Math.max(...few)).toBe(1)
        }).pipe(Effect.provide(historyIn(directory, { fails })))
      })
    )
  )
})
