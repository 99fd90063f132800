import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Layer, Option, Stream, TestClock } from "effect"
import { makeSettings, RelayConfig } from "../../../src/config/RelayConfig.ts"
import { NodeId } from "../../../src/NodeId.ts"
import * as FolderHistory from "../../../src/remote-run/journal/FolderHistory.ts"
import { Kind } from "../../../src/remote-run/journal/JournalRecord.ts"
import { NodeLog } from "../../../src/remote-run/journal/NodeLog.ts"
import { RunHistory } from "../../../src/remote-run/journal/RunHistory.ts"
import * as RunReader from "../../../src/remote-run/journal/RunReader.ts"
import { generator, type RunId } from "../../../src/remote-run/RunId.ts"
import { alone } from "../../../src/testing/Leases.ts"
import { type FileOperation, failingFiles } from "../../support/FailingFiles.ts"
import { record } from "../../support/Journals.ts"
import { logLines } from "../../support/LogLines.ts"

const day = Duration.toMillis(Duration.days(1))
/** When the tests begin: runs of a day ago are of an older folder. */
const today = Date.parse("2026-01-05T12:00:00Z")

interface World {
  readonly directory: string
  readonly lines: ReadonlyArray<string>
}

/** A history below a folder of its own; it keeps three days and this many bytes. */
const withHistory = <A, E>(
  test: (world: World) => Effect.Effect<A, E, RunHistory | FileSystem.FileSystem>,
  options: {
    readonly maxSize?: number
    readonly fails?: (operation: FileOperation) => boolean
    readonly prepare?: (directory: string) => Effect.Effect<void, unknown, FileSystem.FileSystem>
  } = {}
) => {
  const { lines, layer } = logLines()
  return Effect.gen(function* () {
    yield* TestClock.setTime(today)
    const real = yield* FileSystem.FileSystem
    const parent = yield* real.makeTempDirectoryScoped({ prefix: "rudder-relay-runs-" })
    const directory = `${parent}/runs`
    yield* options.prepare?.(directory) ?? Effect.void
    const settings = makeSettings({
      general: { nodeId: NodeId.make("me") },
      remoteRun: { directory, retention: Duration.days(3), maxSize: options.maxSize ?? 1e9 }
    })
    const history = FolderHistory.layer.pipe(
      Layer.provide([Layer.succeed(RelayConfig, settings), alone()]),
      Layer.provide(Layer.succeed(FileSystem.FileSystem, failingFiles(real, options.fails ?? (() => false))))
    )
    return yield* Effect.provide(test({ directory, lines }), history)
  }).pipe(Effect.scoped, Effect.provide(Layer.merge(NodeContext.layer, layer)))
}

let made = 0
/** Of one generator ids never go back; these do, and sort by their making within a day. */
const idAt = (millis: number) => generator()(millis + made++)
const pathOf = (directory: string, id: RunId, ending: string) =>
  `${directory}/${id.slice(0, 6)}/${id}.${ending}`

const headOf = (id: RunId, millis: number) => ({
  id,
  started: new Date(millis).toISOString(),
  output: "keep" as const,
  classes: [],
  nodes: 1
})
const runOf = (id: RunId) => ({ event: "run" as const, id, nodes: ["A"], unknown: [], classes: [] })

const begin = (id: RunId, millis = today) =>
  Effect.flatMap(RunHistory, (history) => history.begin(id, headOf(id, millis), runOf(id)))

/** A run whose one node prints so many bytes. */
const past = (millis: number, bytes = 10) =>
  Effect.gen(function* () {
    const history = yield* RunHistory
    const id = idAt(millis)
    const journal = yield* begin(id, millis)
    const log = new NodeLog({ journal, node: "A", keep: true, outputLimit: 1e9, started: millis })
    log.write("stdout", Buffer.alloc(bytes, "x"), () => {})
    log.end({ code: 0 }, millis)
    journal.event(Kind.done, "", { event: "done", ok: 1, failed: 0, duration: 0 }, 0)
    yield* history.finish(id)
    return id
  })

const listed = Effect.flatMap(RunHistory, (history) =>
  Effect.map(Stream.runCollect(history.ids(Option.none())), (ids) => [...ids])
)

/** What a v1 caller would be given of it. */
const rawOf = (id: RunId) =>
  Effect.gen(function* () {
    const source = yield* (yield* RunHistory).find(id)
    if (Option.isNone(source)) return undefined
    return yield* Stream.runFold(
      RunReader.stream(source.value, { format: "raw", order: "blocks", single: false, after: 0 }),
      "",
      (sum, bytes) => sum + Buffer.from(bytes).toString("utf8")
    )
  })

describe("the history of runs", () => {
  it.effect("is in files that nobody else reads, 0600 in folders 0700", () =>
    withHistory(({ directory }) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const id = yield* past(today)
        const modeOf = (path: string) => Effect.map(fs.stat(path), ({ mode }) => mode & 0o777)
        expect(yield* modeOf(directory)).toBe(0o700)
        expect(yield* modeOf(`${directory}/${id.slice(0, 6)}`)).toBe(0o700)
        expect(yield* modeOf(pathOf(directory, id, "run"))).toBe(0o600)
      })
    )
  )

  it.effect("is listed newest first, runs that go on among them", () =>
    withHistory(() =>
      Effect.gen(function* () {
        const old = yield* past(today - day)
        const running = idAt(today)
        yield* begin(running)
        const newest = yield* past(today)
        expect(yield* listed).toEqual([newest, running, old])
      })
    )
  )

  it.effect("that can't be written goes on in a temporary file, which can be read as ever", () =>
    withHistory(
      ({ lines }) =>
        Effect.gen(function* () {
          const history = yield* RunHistory
          const id = yield* past(today, 100_000)
          expect((yield* rawOf(id))?.length).toBe(100_000)
          expect(yield* listed).toEqual([id])
          const source = Option.getOrThrow(yield* history.find(id))
          expect(yield* history.summary(id, source)).toMatchObject({ id, ok: 1, failed: 0, running: 0 })
          expect(
            lines.filter((line) => line.startsWith("WARN the run's history can't be written")).length
          ).toBe(1)
          yield* TestClock.adjust(Duration.days(4))
          yield* history.prune
          expect((yield* Effect.exit(rawOf(id)))._tag).toBe("Failure")
        }),
      // Neither can a folder be made where a file is.
      {
        prepare: (directory) =>
          Effect.flatMap(FileSystem.FileSystem, (fs) => fs.writeFileString(directory, ""))
      }
    )
  )

  it.effect("keeps what is elsewhere within the bounds of the whole", () => {
    let isFull = true
    return withHistory(
      ({ directory }) =>
        Effect.gen(function* () {
          const fs = yield* FileSystem.FileSystem
          const first = yield* past(today, 60_000)
          const second = yield* past(today, 60_000)
          expect(yield* rawOf(first)).toBeUndefined()
          expect((yield* rawOf(second))?.length).toBe(60_000)
          isFull = false
          const third = yield* past(today)
          expect(yield* fs.exists(pathOf(directory, third, "run"))).toBe(true)
          expect(yield* listed).toEqual([third, second])
        }),
      {
        maxSize: 100_000,
        fails: ({ method, path }) => isFull && method === "open" && path.includes("/runs/")
      }
    )
  })
})

describe("pruning", () => {
  it.effect("removes what is past its retention, with its folder, and nothing that goes on", () =>
    withHistory(({ directory }) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const history = yield* RunHistory
        const old = yield* past(today - 4 * day)
        const running = idAt(today - 5 * day)
        yield* begin(running)
        const young = yield* past(today - 2 * day)
        yield* history.prune
        expect(yield* listed).toEqual([young, running])
        expect(yield* fs.exists(`${directory}/${old.slice(0, 6)}`)).toBe(false)
        expect(yield* fs.exists(pathOf(directory, running, "open"))).toBe(true)
      })
    )
  )

  it.effect("removes the oldest while all are over the size", () =>
    withHistory(
      () =>
        Effect.gen(function* () {
          const history = yield* RunHistory
          yield* history.prune
          yield* past(today, 40_000)
          const second = yield* past(today, 40_000)
          const third = yield* past(today, 40_000)
          expect(yield* listed).toEqual([third, second])
        }),
      { maxSize: 100_000 }
    )
  )

  const cutOff = (id: RunId, millis: number) =>
    Buffer.concat([record(Kind.head, "", headOf(id, millis)), record(Kind.run, "", runOf(id))])

  it.effect("takes what belongs to no run: a journal that can't be closed, and any other leftover", () => {
    const millis = today - 4 * day
    const id = idAt(millis)
    return withHistory(
      ({ directory, lines }) =>
        Effect.gen(function* () {
          const fs = yield* FileSystem.FileSystem
          const history = yield* RunHistory
          const closing = yield* Effect.exit(history.find(id))
          expect(closing._tag).toBe("Failure")
          expect(lines.some((line) => line.startsWith("WARN the history of a run that was cut off"))).toBe(
            true
          )
          yield* history.prune
          expect(yield* fs.readDirectory(directory)).toEqual([])
        }),
      {
        fails: ({ method, path }) => method === "open" && path.endsWith(".open"),
        prepare: (directory) =>
          Effect.gen(function* () {
            const fs = yield* FileSystem.FileSystem
            const folder = `${directory}/${id.slice(0, 6)}`
            yield* fs.makeDirectory(folder, { recursive: true })
            yield* fs.writeFile(pathOf(directory, id, "open"), cutOff(id, millis))
            for (const name of ["~tmp", `${id}.open.1`, "0"]) {
              yield* fs.writeFileString(`${folder}/${name}`, "left over")
              yield* fs.utimes(`${folder}/${name}`, millis / 1000, millis / 1000)
            }
          })
      }
    )
  })

  it.effect("says what it can't remove, once, and does not count it as removed", () =>
    withHistory(
      ({ lines }) =>
        Effect.gen(function* () {
          const history = yield* RunHistory
          const old = yield* past(today - 4 * day)
          yield* history.prune
          yield* history.prune
          expect(
            lines.filter((line) => line.startsWith("WARN files of runs can't be removed files=1")).length
          ).toBe(1)
          expect(yield* listed).toEqual([old])
        }),
      { fails: ({ method, path }) => method === "remove" && path.endsWith(".run") }
    )
  )
})

describe("a folder of runs that can't be read", () => {
  it.effect("is an error for who asks, not an empty history", () =>
    withHistory(
      () =>
        Effect.gen(function* () {
          expect((yield* Effect.exit(listed))._tag).toBe("Failure")
        }),
      {
        prepare: (directory) =>
          Effect.flatMap(FileSystem.FileSystem, (fs) => fs.writeFileString(directory, ""))
      }
    )
  )
})
