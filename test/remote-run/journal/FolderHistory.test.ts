import { FileSystem } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Option, TestClock } from "effect"
import * as IndexEntry from "../../../src/remote-run/journal/IndexEntry.ts"
import { Kind } from "../../../src/remote-run/journal/JournalRecord.ts"
import * as RunFolders from "../../../src/remote-run/journal/RunFolders.ts"
import { RunHistory } from "../../../src/remote-run/journal/RunHistory.ts"
import { generator, type RunId } from "../../../src/remote-run/RunId.ts"
import type { FileOperation } from "../../support/FailingFiles.ts"
import {
  begin,
  day,
  headOf,
  historyIn,
  idAt,
  listed,
  past,
  pathOf,
  rawOf,
  runOf,
  today,
  withFolder,
  withHistory
} from "../../support/Histories.ts"
import { record } from "../../support/Journals.ts"

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
        fails: ({ method, path }) => isFull && method === "open" && path.endsWith(".open")
      }
    )
  })
})

describe("a run that a key is to point to", () => {
  it.effect("is on the disk when that is asked for, and goes on where it can't be", () => {
    const synced: Array<string> = []
    let isBroken = false
    const fails = ({ method, path }: FileOperation) => {
      if (method === "sync") synced.push(path)
      return method === "sync" && isBroken
    }
    return withFolder(({ directory, lines }) =>
      Effect.gen(function* () {
        const history = yield* RunHistory
        const id = generator()(today)
        const head = { id, started: "", output: "keep" as const, classes: [], nodes: 0 }
        yield* history.begin(id, head, { event: "run", id, nodes: [], unknown: [], classes: [] })
        expect(synced).toEqual([])
        yield* history.persist(id)
        expect(synced).toEqual([`${directory}/${id.slice(0, 6)}/${id}.open`])
        isBroken = true
        yield* history.persist(id)
        expect(lines.filter((line) => line.includes("a loss of power")).length).toBe(1)
      }).pipe(Effect.provide(historyIn(directory, { fails })))
    )
  })
})

describe("where it is kept", () => {
  it.effect("is looked at by the history itself: a folder that is gone is its problem", () =>
    withFolder(({ directory }) =>
      Effect.gen(function* () {
        const { problem } = yield* RunHistory
        const fs = yield* FileSystem.FileSystem
        yield* fs.makeDirectory(directory, { recursive: true })
        expect(Option.isNone(yield* problem)).toBe(true)
        yield* fs.remove(directory, { recursive: true })
        expect(Option.getOrThrow(yield* problem)).toContain(directory)
        yield* fs.writeFileString(directory, "")
        expect(Option.getOrThrow(yield* problem)).toBe(`${directory} is not a folder`)
      }).pipe(Effect.provide(historyIn(directory)))
    )
  )
})

describe("the index of a folder of runs", () => {
  it.effect(
    "is completed at a start, and grows at none after that: not by long summaries, nor by damaged runs",
    () =>
      withFolder(({ directory, lines }) =>
        Effect.gen(function* () {
          const fs = yield* FileSystem.FileSystem
          const index = `${directory}/${RunFolders.folderAt(today)}/index`
          const made = Effect.all([past(today, 10, { actor: "x".repeat(20_000) }), past(today), past(today)])
          const [, damaged, last] = yield* Effect.provide(made, historyIn(directory))
          const path = pathOf(directory, damaged, "run")
          yield* fs.truncate(path, (yield* fs.stat(path)).size - FileSystem.Size(5))
          /** Of the newest run, which is looked at last, there are its nodes and its summary. */
          const isComplete = Effect.map(
            Effect.orElseSucceed(fs.readFileString(index, "latin1"), () => ""),
            (text) => text.split(IndexEntry.summaryOf(last, "").toString("latin1", 16)).length > 2
          )
          const start = Effect.repeat(isComplete, { until: (complete) => complete }).pipe(
            Effect.provide(historyIn(directory)),
            Effect.andThen(fs.readFile(index))
          )
          yield* fs.remove(index)
          const bytes = Buffer.from(yield* start)
          yield* fs.writeFile(index, bytes.subarray(0, bytes.indexOf(last) - 16))
          expect(Buffer.from(yield* start).equals(bytes)).toBe(true)
          const told = lines.filter((line) => line.startsWith("WARN a run in the history can't be read"))
          expect(told.length).toBe(2)
          expect(told[0]).toMatch(new RegExp(`problem=${path} is damaged: .+ run=${damaged}$`))
        })
      )
  )
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

describe("a run whose file can't be looked at", () => {
  it.effect("is an error for who asks, not a run that is not there", () =>
    withHistory(
      () =>
        Effect.gen(function* () {
          const history = yield* RunHistory
          const id = yield* past(today)
          expect(yield* Effect.flip(history.find(id))).toMatchObject({ _tag: "StorageError" })
        }),
      { fails: ({ method, path }) => method === "stat" && path.endsWith(".run") }
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
