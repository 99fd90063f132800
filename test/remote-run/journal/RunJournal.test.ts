import { FileSystem, Error as PlatformError } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, FastCheck, Stream } from "effect"
import { Kind } from "../../../src/remote-run/journal/JournalRecord.ts"
import { JournalRoom } from "../../../src/remote-run/journal/JournalRoom.ts"
import { NodeLog } from "../../../src/remote-run/journal/NodeLog.ts"
import { RunJournal } from "../../../src/remote-run/journal/RunJournal.ts"
import * as RunReader from "../../../src/remote-run/journal/RunReader.ts"

const full = (method: string) =>
  new PlatformError.SystemError({
    module: "FileSystem",
    method,
    reason: "Unknown",
    description: "ENOSPC: no space left"
  })

/** A file system whose files take a number of writes, and no more until `mend`. */
const filling = (fs: FileSystem.FileSystem, writes: number) => {
  let left = writes
  return {
    mend: () => {
      left = Number.POSITIVE_INFINITY
    },
    fs: {
      ...fs,
      open: (path: string, options?: FileSystem.OpenFileOptions) =>
        Effect.map(
          fs.open(path, options),
          (file): FileSystem.File => ({
            ...file,
            fd: file.fd,
            stat: file.stat,
            sync: file.sync,
            seek: (offset, from) => file.seek(offset, from),
            read: (buffer) => file.read(buffer),
            readAlloc: (size) => file.readAlloc(size),
            truncate: (length) => file.truncate(length),
            write: (buffer) => file.write(buffer),
            writeAll: (buffer) => (left-- > 0 ? file.writeAll(buffer) : Effect.fail(full("writeAll")))
          })
        )
    } satisfies FileSystem.FileSystem
  }
}

const nodes = ["A", "B", "C"]

/** A run of three nodes whose disk is full after some writes; the ndjson of both orders. */
const runOnFullDisk = (writes: number, mends: boolean, lines: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const real = yield* FileSystem.FileSystem
    const directory = yield* real.makeTempDirectoryScoped({ prefix: "rudder-relay-journal-" })
    const { fs, mend } = filling(real, writes)
    const journal = new RunJournal({
      fs,
      room: new JournalRoom(1e9),
      fork: (effect) => void Effect.runFork(effect),
      path: `${directory}/run.open`,
      finalPath: `${directory}/run.run`
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
    if (mends) mend()
    yield* journal.close
    const blocks = yield* read("blocks")
    const past = yield* real.exists(`${directory}/run.run`)
    return { live, blocks, dropped, printed, past }
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
              runOnFullDisk(writes, mends, lines)
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
})
