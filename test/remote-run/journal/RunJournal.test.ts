import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it, vi } from "@effect/vitest"
import { Chunk, Effect, FastCheck, Option, Stream } from "effect"
import { Kind } from "../../../src/remote-run/journal/JournalRecord.ts"
import { JournalRoom } from "../../../src/remote-run/journal/JournalRoom.ts"
import { NodeLog } from "../../../src/remote-run/journal/NodeLog.ts"
import { RunJournal } from "../../../src/remote-run/journal/RunJournal.ts"
import * as RunReader from "../../../src/remote-run/journal/RunReader.ts"
import { failingFiles } from "../../support/FailingFiles.ts"
import { makeJournal } from "../../support/Journals.ts"
import { logLines } from "../../support/LogLines.ts"

/** Which files can't be written when they are full: all, or those of the history alone. */
type Full = "all" | "history"

/** A file system whose files take a number of writes, and no more until `mend`; of the history: those below its folder. */
const filling = (real: FileSystem.FileSystem, history: string, writes: number, full: Full) => {
  let left = writes
  return {
    mend: () => {
      left = Number.POSITIVE_INFINITY
    },
    fs: failingFiles(
      real,
      ({ method, path }) =>
        (full === "all" || path.startsWith(history)) &&
        ((method === "write" && left-- <= 0) || (method !== "write" && left <= 0))
    )
  }
}

const nodes = ["A", "B", "C"]

/** A run of three nodes whose disk is full after some writes; the ndjson of both orders. */
const runOnFullDisk = (full: Full, writes: number, mends: boolean, lines: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const real = yield* FileSystem.FileSystem
    const directory = yield* real.makeTempDirectoryScoped({ prefix: "rudder-relay-journal-" })
    const [history, temporary] = [`${directory}/history`, `${directory}/temporary`]
    yield* real.makeDirectory(temporary)
    const { fs, mend } = filling(real, history, writes, full)
    const journal = new RunJournal({
      fs,
      room: new JournalRoom(1e9),
      fork: (effect) => void Effect.runFork(effect),
      path: `${history}/run.open`,
      finalPath: `${history}/run.run`,
      temporary
    })
    journal.event(Kind.run, "", { event: "run", id: "x", nodes, unknown: [], classes: [] }, 0)
    const logs = nodes.map((node) => new NodeLog({ journal, node, keep: true, outputLimit: 1e9, started: 0 }))
    for (const log of logs) log.start("host")
    let printed = 0
    for (const line of lines) {
      logs[line % 3]?.write("stdout", Buffer.from("0123456789\n"), () => {})
      printed += 11
      if (line % 2 === 0) yield* journal.flushed
    }
    const dropped = logs.map((log) => log.end({ code: 0 }, 0)?.dropped ?? 0)
    journal.event(Kind.done, "", { event: "done", ok: 3, failed: 0, duration: 0 }, 0)
    const read = (order: "live" | "blocks") =>
      RunReader.stream(journal, { format: "ndjson", order, single: false, after: 0 }).pipe(
        Stream.runCollect,
        Effect.map((chunks) =>
          Buffer.concat(Chunk.toReadonlyArray(chunks))
            .toString()
            .split("\n")
            .filter((text) => text !== "")
            .map((text) => JSON.parse(text))
        )
      )
    yield* journal.flushed
    const live = yield* read("live")
    const leftovers = yield* real.readDirectory(temporary)
    if (mends) mend()
    const settled = yield* journal.close
    const blocks = yield* read("blocks")
    const past = yield* real.exists(`${history}/run.run`)
    yield* journal.discard
    return { live, blocks, dropped, printed, past, settled, leftovers }
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

describe("a journal on a disk that fills", () => {
  it(
    "keeps every event, in both orders, and counts what it drops",
    () =>
      FastCheck.assert(
        FastCheck.asyncProperty(
          FastCheck.nat(8),
          FastCheck.boolean(),
          FastCheck.array(FastCheck.nat(20), { maxLength: 30 }),
          async (writes, mends, lines) => {
            const { live, blocks, dropped, printed, past } = await Effect.runPromise(
              runOnFullDisk("all", writes, mends, lines)
            )
            for (const events of [live, blocks]) {
              const count = (event: string) =>
                events.filter((one: { event: string }) => one.event === event).length
              expect([count("run"), count("start"), count("end"), count("done")]).toEqual([1, 3, 3, 1])
              // A line that is shown was not counted as dropped. (The reverse may be: what was cut off on its way.)
              expect(count("output") * 11).toBeLessThanOrEqual(printed)
            }
            const shown = live.filter((one: { event: string }) => one.event === "output").length * 11
            const lost = dropped.reduce((sum, bytes) => sum + bytes, 0)
            expect(shown + lost).toBeLessThanOrEqual(printed)
            if (mends) expect(past).toBe(true)
          }
        ),
        { numRuns: 100 }
      ),
    60_000
  )

  it(
    "goes on in a temporary file: callers miss nothing, and it comes home where there is room again",
    () =>
      FastCheck.assert(
        FastCheck.asyncProperty(
          FastCheck.nat(8),
          FastCheck.boolean(),
          FastCheck.array(FastCheck.nat(20), { maxLength: 30 }),
          async (writes, mends, lines) => {
            const { live, blocks, dropped, printed, past, settled, leftovers } = await Effect.runPromise(
              runOnFullDisk("history", writes, mends, lines)
            )
            for (const events of [live, blocks]) {
              const count = (event: string) =>
                events.filter((one: { event: string }) => one.event === event).length
              expect([count("run"), count("start"), count("end"), count("done")]).toEqual([1, 3, 3, 1])
              expect(count("output") * 11).toBe(printed)
            }
            expect(dropped).toEqual([0, 0, 0])
            expect(leftovers).toEqual([])
            expect(past).toBe(settled)
            if (mends) expect(settled).toBe(true)
          }
        ),
        { numRuns: 50 }
      ),
    60_000
  )

  it.effect("says in the log why, and where", () => {
    const { lines, layer } = logLines()
    return Effect.gen(function* () {
      const real = yield* FileSystem.FileSystem
      const directory = yield* real.makeTempDirectoryScoped({ prefix: "rudder-relay-journal-" })
      const journal = new RunJournal({
        fs: failingFiles(real, ({ method }) => method === "write"),
        room: new JournalRoom(10),
        fork: (effect) => void Effect.runFork(Effect.provide(effect, layer)),
        path: `${directory}/run.open`,
        finalPath: `${directory}/run.run`,
        temporary: directory
      })
      const account = { dropped: 0 }
      const flags = { continued: false, open: false }
      for (let line = 0; line < 3; line++)
        journal.output(Kind.stdout, "A", Buffer.from("more than there is room for\n"), flags, 0, account)
      journal.event(Kind.done, "", { event: "done", ok: 0, failed: 0, duration: 0 }, 0)
      yield* Effect.provide(journal.close, layer)
      const says = (text: string) => lines.filter((line) => line.startsWith(`WARN ${text}`))
      expect(says("the runs that go on fill remote_run.max_size; output is dropped").length).toBe(1)
      expect(account.dropped).toBe(84)
      const elsewhere = says("the run's history can't be written; it goes on in a temporary file")
      expect(elsewhere.length).toBe(1)
      expect(elsewhere[0]).toContain(`file=${directory}/run.open`)
      expect(elsewhere[0]).toContain("ENOSPC: no space left")
      const dropped = says("nor can the temporary file be written; the run's output is dropped")
      expect(dropped.length).toBe(1)
      expect(dropped[0]).toContain("ENOSPC: no space left")
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
  })

  it.effect("is not begun anew where its file was taken away", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped({ prefix: "rudder-relay-journal-" })
      const journal = new RunJournal({
        fs,
        room: new JournalRoom(1e9),
        fork: (effect) => void Effect.runFork(effect),
        path: `${directory}/run.open`,
        finalPath: `${directory}/run.run`
      })
      journal.event(Kind.head, "", { some: "head" }, 0)
      yield* journal.flushed
      yield* fs.remove(`${directory}/run.open`)
      journal.event(Kind.done, "", { event: "done", ok: 0, failed: 0, duration: 0 }, 0)
      yield* journal.flushed
      expect(yield* fs.readDirectory(directory)).toEqual([])
      yield* journal.close
      yield* journal.discard
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
  )
})

describe("what comes to a journal", () => {
  const account = { dropped: 0 }
  const flags = { continued: false, open: false }
  const line = (journal: RunJournal, length = 2) =>
    void journal.output(Kind.stdout, "A", Buffer.alloc(length, "x"), flags, 0, account)
  const turns = Effect.forEach(
    Array.from({ length: 20 }),
    () => Effect.promise(() => new Promise((resolve) => setImmediate(resolve))),
    { discard: true }
  )
  const grown = (journal: RunJournal, beyond: number) =>
    Effect.async<void>((resume) => void journal.whenGrown(beyond, () => resume(Effect.void))).pipe(
      Effect.repeat({ until: () => journal.length() > beyond })
    )

  /** Real time stands still, but where the test moves it. */
  const stopped = Effect.acquireRelease(
    Effect.sync(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })),
    () => Effect.sync(() => vi.useRealTimers())
  )

  it.scoped("is written at once after a silence, and then together with what comes in the next moment", () =>
    Effect.gen(function* () {
      const journal = yield* makeJournal()
      yield* stopped
      line(journal)
      yield* grown(journal, 0)
      const first = journal.length()
      for (let i = 0; i < 3; i++) {
        line(journal)
        yield* turns
      }
      expect(journal.length()).toBe(first)
      vi.advanceTimersByTime(3)
      yield* grown(journal, first)
      // One record of three lines.
      expect(journal.length() - first).toBe(first + 4)
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scoped("does not wait where it is much, or where somebody waits for its being written", () =>
    Effect.gen(function* () {
      const journal = yield* makeJournal()
      yield* stopped
      line(journal)
      yield* grown(journal, 0)
      line(journal, 40_000)
      yield* grown(journal, 40_000)
      const length = journal.length()
      line(journal)
      yield* journal.flushed
      expect(journal.length()).toBeGreaterThan(length)
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scoped("is seen by a caller that keeps up without a look at the file", () =>
    Effect.gen(function* () {
      const journal = yield* makeJournal()
      const unreadable = failingFiles(yield* FileSystem.FileSystem, ({ method }) => method === "open")
      const first = yield* RunReader.stream(journal, {
        format: "raw",
        order: "live",
        single: false,
        after: 0
      }).pipe(
        Stream.runHead,
        Effect.provideService(FileSystem.FileSystem, unreadable),
        Effect.zipLeft(
          Effect.sync(() => line(journal)),
          { concurrent: true }
        )
      )
      expect(Option.map(first, (bytes) => Buffer.from(bytes).toString())).toEqual(Option.some("xx"))
    }).pipe(Effect.provide(NodeContext.layer))
  )
})
