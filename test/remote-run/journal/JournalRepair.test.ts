import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck, Layer, Stream } from "effect"
import * as JournalEvents from "../../../src/remote-run/journal/JournalEvents.ts"
import { Kind } from "../../../src/remote-run/journal/JournalRecord.ts"
import * as JournalRepair from "../../../src/remote-run/journal/JournalRepair.ts"
import { NodeLog } from "../../../src/remote-run/journal/NodeLog.ts"
import * as PastJournal from "../../../src/remote-run/journal/PastJournal.ts"
import * as RunReader from "../../../src/remote-run/journal/RunReader.ts"
import { failingFiles } from "../../support/FailingFiles.ts"
import { makeJournal, record } from "../../support/Journals.ts"
import { logLines } from "../../support/LogLines.ts"

const id = "01900000-0000-7000-8000-000000000000"
const nodes = ["A", "B", "C"]
const head = { id, started: "2026-01-05T09:00:00.000Z", output: "keep", classes: [], nodes: 3 }
const run = { event: "run", id, nodes, unknown: [], classes: [] }
const end = (node: string, over: object = {}) => ({
  event: "end",
  node,
  code: 0,
  duration: 1,
  stderr: "",
  ...over
})
const start = (node: string) => ({ event: "start", node, hostname: `${node}.example.com` })

const headRecord = record(Kind.head, "", head)
const runRecord = record(Kind.run, "", run)
const doneRecord = record(Kind.done, "", { event: "done", ok: 3, failed: 0, duration: 2 })

const whole = [
  headRecord,
  runRecord,
  ...nodes.map((node) => record(Kind.start, node, start(node))),
  record(Kind.stdout, "A", "a line\nanother\n"),
  ...nodes.map((node) => record(Kind.end, node, end(node))),
  doneRecord
]

interface Repaired {
  /** What is there afterwards. */
  readonly files: ReadonlyArray<string>
  readonly events: ReadonlyArray<{ readonly kind: Kind; readonly node: string; readonly json: string }>
  readonly log: ReadonlyArray<string>
}

/** Repairs a file of these bytes. */
const repaired = (
  bytes: Buffer,
  fails: Parameters<typeof failingFiles>[1] = () => false
): Promise<Repaired> => {
  const { lines, layer } = logLines()
  return Effect.gen(function* () {
    const real = yield* FileSystem.FileSystem
    const directory = yield* real.makeTempDirectoryScoped({ prefix: "rudder-relay-repair-" })
    yield* real.writeFile(`${directory}/x.open`, bytes)
    yield* JournalRepair.repair(`${directory}/x.open`, `${directory}/x.run`).pipe(
      Effect.provideService(FileSystem.FileSystem, failingFiles(real, fails)),
      Effect.ignore
    )
    const files = yield* real.readDirectory(directory)
    const size = files.includes("x.run") ? Number((yield* real.stat(`${directory}/x.run`)).size) : 0
    const events =
      size === 0
        ? []
        : [...(yield* Stream.runCollect(JournalEvents.stored(PastJournal.make(`${directory}/x.run`, size))))]
    return { files, events, log: lines }
  }).pipe(Effect.scoped, Effect.provide(Layer.merge(NodeContext.layer, layer)), Effect.runPromise)
}

const endsOf = ({ events }: Repaired) =>
  events.filter(({ kind }) => kind === Kind.end).map(({ node }) => node)
const doneOf = ({ events }: Repaired) =>
  events.filter(({ kind }) => kind === Kind.done).map(({ json }): Record<string, unknown> => JSON.parse(json))

describe("the journal of a run that a crash cut off", () => {
  it(
    "at any byte, with or without garbage behind, has one end of each node and one done",
    () =>
      FastCheck.assert(
        FastCheck.asyncProperty(
          FastCheck.integer({ min: headRecord.length + runRecord.length, max: Buffer.concat(whole).length }),
          FastCheck.constantFrom("", "\0".repeat(100), "RJ", "garbage {}"),
          async (cut, garbage) => {
            const bytes = Buffer.concat([Buffer.concat(whole).subarray(0, cut), Buffer.from(garbage)])
            const result = await repaired(bytes)
            expect(result.files).toEqual(["x.run"])
            expect([...endsOf(result)].sort()).toEqual(nodes)
            expect(doneOf(result).length).toBe(1)
            expect(result.log.length).toBe(1)
          }
        ),
        { numRuns: 60 }
      ),
    60_000
  )

  it("counts who was skipped, was unreported, and was cut off, each as what it is", async () => {
    const ids = ["A", "B", "C", "D"]
    const result = await repaired(
      Buffer.concat([
        record(Kind.head, "", { ...head, nodes: 4, by: { address: "192.0.2.1", actor: "jane" }, parent: id }),
        record(Kind.run, "", { ...run, nodes: ids }),
        record(Kind.end, "A", end("A", { code: null, skipped: true })),
        record(Kind.end, "B", end("B", { code: null, unreported: true })),
        record(Kind.end, "C", end("C"))
      ])
    )
    expect([...endsOf(result)].sort()).toEqual(ids)
    const [done] = doneOf(result)
    expect(done).toMatchObject({ event: "done", ok: 1, failed: 1, skipped: 1, interrupted: true })
    expect(JSON.parse(result.events[0]?.json ?? "")).toMatchObject({
      by: { address: "192.0.2.1", actor: "jane" },
      parent: id
    })
  })

  it.each([
    ["an infinite duration, kept as null", { duration: null }],
    ["a negative duration", { duration: -1 }],
    ["a signal of 4 MB", { code: null, signal: "A".repeat(4_000_000) }],
    ["no code", { code: undefined }]
  ])("is closed also where an end has %s, and the log says so", async (_, over) => {
    const result = await repaired(
      Buffer.concat([
        headRecord,
        runRecord,
        record(Kind.end, "A", end("A")),
        record(Kind.end, "B", end("B", over))
      ])
    )
    expect(result.files).toEqual(["x.run"])
    expect([...endsOf(result)].sort()).toEqual(nodes)
    expect(doneOf(result)).toMatchObject([{ ok: 1, failed: 2, interrupted: true }])
    expect(result.log).toEqual([expect.stringMatching(/^WARN a run was cut off by a crash.*unreadable=1/)])
  })

  it("that no longer says for which nodes it is has an end of each that it names", async () => {
    const result = await repaired(
      Buffer.concat([headRecord, record(Kind.run, "", "?"), record(Kind.start, "B", start("B"))])
    )
    expect(endsOf(result)).toEqual(["B"])
    expect(result.log).toEqual([expect.stringMatching(/unreadable=1/)])
  })

  it("says how much is cut off", async () => {
    const result = await repaired(Buffer.concat([headRecord, runRecord, Buffer.alloc(77)]))
    expect(result.log).toEqual([expect.stringMatching(/bytesCutOff=77/)])
  })

  it("that had ended before has nothing added, and is not interrupted", async () => {
    const result = await repaired(Buffer.concat(whole))
    expect(doneOf(result)).toEqual([{ event: "done", ok: 3, failed: 0, duration: 2 }])
    expect(result.log).toEqual([expect.stringMatching(/the history of a run was put in its place/)])
  })

  it("that says nothing of a run is removed, and the log says so", async () => {
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.from("garbage"),
      record(Kind.head, "", "{}"),
      record(Kind.head, "", "?")
    ]) {
      const result = await repaired(bytes)
      expect(result.files).toEqual([])
      expect(result.log).toEqual([expect.stringMatching(/^WARN a file of runs says nothing of a run/)])
    }
  })

  it("stays as it is where the disk can't read it", async () => {
    const result = await repaired(Buffer.concat([headRecord, runRecord]), ({ method }) => method === "open")
    expect(result.files).toEqual(["x.open"])
    expect(result.log).toEqual([
      expect.stringMatching(/^WARN the history of a run that was cut off can't be closed/)
    ])
  })

  it("has what its nodes had printed, node by node", async () => {
    const shown = await Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const journal = yield* makeJournal()
      journal.event(Kind.head, "", head, 0)
      journal.event(Kind.run, "", run, 0)
      const logOf = (node: string) => new NodeLog({ journal, node, keep: true, outputLimit: 1e9, started: 0 })
      const [a, b, c, ofRelay] = [logOf("A"), logOf("B"), logOf("C"), logOf("B")] as const
      // B is a sub-relay too, of an older kind, whose own words are passed on before its agent starts.
      const printed = [
        [a, "a1"],
        [ofRelay, "r1"],
        [b, "b1"],
        [a, "a2"],
        [ofRelay, "r2"],
        [b, "b2"],
        [c, "c1"]
      ] as const
      a.start("a.example.com")
      yield* Effect.forEach(printed, ([log, text]) => {
        if (text === "b1") b.start("b.example.com")
        log.write("stdout", Buffer.from(`${text}\n`), () => {})
        return journal.flushed
      })
      a.end({ code: 0 }, 1000)
      yield* journal.flushed
      const { paths } = journal.partAt(0)
      const [path = "", finalPath = ""] = paths
      yield* JournalRepair.repair(path, finalPath)
      const { size } = yield* fs.stat(finalPath)
      const source = PastJournal.make(finalPath, Number(size))
      const options = { format: "text", order: "blocks", single: false, after: 0 } as const
      return yield* RunReader.stream(source, options).pipe(Stream.decodeText(), Stream.mkString)
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer), Effect.runPromise)
    const brief = shown
      .trim()
      .split("\n")
      .map((line) => /"event":"(\w+)"(?:,"node":"(\w+)")?/.exec(line)?.slice(1).join(" ") ?? line)
    expect(brief).toEqual([
      ...["run ", "start A", "A:a1", "A:a2", "end A", "B:r1", "B:r2", "start B", "B:b1", "B:b2", "end B"],
      ...["C:c1", "end C", "done "]
    ])
  })
})
