import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, FastCheck, Fiber, Schema, Stream, TestClock } from "effect"
import { EventMarks } from "../../../src/remote-run/journal/EventMarks.ts"
import { Kind } from "../../../src/remote-run/journal/JournalRecord.ts"
import type { JournalSource } from "../../../src/remote-run/journal/JournalSource.ts"
import { NodeLog } from "../../../src/remote-run/journal/NodeLog.ts"
import { maxLineLength } from "../../../src/remote-run/journal/OutputLines.ts"
import type { RunFormat } from "../../../src/remote-run/journal/RunFormat.ts"
import type { RunJournal } from "../../../src/remote-run/journal/RunJournal.ts"
import * as RunReader from "../../../src/remote-run/journal/RunReader.ts"
import { type NodeEnding, RunEvent, type Verdict } from "../../../src/remote-run/RunEvent.ts"
import type { OutputEvent } from "../../../src/remote-run/RunStreamEvent.ts"
import { makeJournal } from "../../support/Journals.ts"
import { eventually } from "../../support/Until.ts"

/** What a node printed, piece by piece, as it was read. */
interface Printed {
  readonly node: string
  readonly stream: "stdout" | "stderr"
  readonly bytes: Uint8Array
}

const bytes = FastCheck.oneof(
  {
    weight: 6,
    arbitrary: FastCheck.array(
      FastCheck.constantFrom("\n", "a", "é", "{}", ":", "a line\n", '","', "\\", "\t"),
      { maxLength: 8 }
    ).map((parts) => new Uint8Array(Buffer.from(parts.join(""))))
  },
  { weight: 3, arbitrary: FastCheck.uint8Array({ maxLength: 30 }) },
  {
    weight: 1,
    arbitrary: FastCheck.integer({ min: 65_530, max: 140_000 }).map((length) =>
      new Uint8Array(length).fill(0x78)
    )
  }
)

const scripts = FastCheck.array(
  FastCheck.record({
    node: FastCheck.constantFrom("A", "B", "C"),
    stream: FastCheck.constantFrom("stdout" as const, "stderr" as const),
    bytes
  }),
  { maxLength: 25 }
)

const nodes = ["A", "B", "C"]
const run = { event: "run" as const, id: "the-run", nodes, unknown: [], classes: [] }

const endings: Record<string, NodeEnding> = {
  A: { code: 0 },
  B: { code: 3 },
  C: { code: null, unreported: true }
}

/** Writes a run into the journal as RemoteRun does, giving the events in their order. */
const write = (journal: RunJournal, printed: ReadonlyArray<Printed>) =>
  Effect.gen(function* () {
    journal.event(Kind.head, "", { some: "head" }, 0)
    journal.event(Kind.run, "", run, 0)
    const logs = new Map(
      nodes.map((node) => [node, new NodeLog({ journal, node, keep: true, outputLimit: 1e9, started: 0 })])
    )
    for (const [node, log] of logs) log.start(`${node}.example.com`)
    for (const { node, stream, bytes } of printed) {
      logs.get(node)?.write(stream, bytes, () => {})
      // Some records join the one before, some do not.
      if (bytes.length % 3 === 0) yield* journal.flushed
    }
    const outcomes = nodes.map((node) => ({
      node,
      outcome: logs.get(node)?.end(endings[node] ?? { code: 0 }, 1500)
    }))
    const done = { event: "done" as const, ok: 3, failed: 0, duration: 1.5 }
    journal.event(Kind.done, "", done, 0)
    yield* journal.close
    return [
      run,
      ...nodes.map((node) => ({ event: "start" as const, node, hostname: `${node}.example.com` })),
      ...outcomes.map(({ node, outcome }) => ({ event: "end" as const, node, ...outcome })),
      done
    ]
  })

const readAll = (
  source: JournalSource,
  format: RunFormat,
  order: "live" | "blocks",
  after = 0,
  more: Partial<RunReader.ReadOptions> = {}
) =>
  RunReader.stream(source, { format, order, single: false, after, ...more }).pipe(
    Stream.runCollect,
    Effect.map((chunks) => Buffer.concat(Chunk.toReadonlyArray(chunks)))
  )

const isEvent = Schema.is(RunEvent)

const printedBy = (printed: ReadonlyArray<Printed>, node: string, stream: "stdout" | "stderr") =>
  Buffer.concat(printed.filter((one) => one.node === node && one.stream === stream).map((one) => one.bytes))

/** ndjson's lines of one stream, put together again. The last may have had no newline. */
const joined = (lines: ReadonlyArray<OutputEvent>): Buffer =>
  Buffer.concat(
    lines.flatMap((line) => [
      line.base64 === undefined ? Buffer.from(line.line) : Buffer.from(line.base64, "base64"),
      Buffer.from(line.partial ? "" : "\n")
    ])
  )

const withNewline = (content: Buffer) =>
  content.length === 0 || content.at(-1) === 0x0a ? content : Buffer.concat([content, Buffer.from("\n")])

const parse = (text: string): ReadonlyArray<Record<string, unknown>> =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line))

/** text: what is not JSON is `<node>:<line>`. Bytes are kept apart by latin1. */
const parseText = (content: Buffer) => {
  const events: Array<unknown> = []
  const lines: Array<readonly [string, string]> = []
  for (const line of content.toString("latin1").split("\n").slice(0, -1)) {
    if (line.startsWith("{")) events.push(JSON.parse(Buffer.from(line, "latin1").toString("utf8")))
    else lines.push([line.slice(0, 1), line.slice(2)])
  }
  return { events, lines }
}

/** Lines as text shows them: cut where ndjson would say `partial`. */
const textLines = (content: Buffer) => withNewline(content).toString("latin1").split("\n").slice(0, -1)

const check = (printed: ReadonlyArray<Printed>) =>
  Effect.gen(function* () {
    const journal = yield* makeJournal()
    const events = yield* write(journal, printed)

    for (const order of ["live", "blocks"] as const) {
      const ndjson = parse((yield* readAll(journal, "ndjson", order)).toString("utf8"))
      const sorted = (some: ReadonlyArray<unknown>) => some.map((one) => JSON.stringify(one)).sort()
      expect(sorted(ndjson.filter((one) => one.event !== "output"))).toEqual(sorted(events))
      expect(ndjson.filter((one) => one.event !== "output").every((one) => isEvent(one))).toBe(true)
      for (const node of nodes)
        for (const stream of ["stdout", "stderr"] as const) {
          const lines = ndjson.filter((one) => one.node === node && one.stream === stream)
          const content = joined(lines.map((line) => line as unknown as OutputEvent))
          expect(content.equals(withNewline(printedBy(printed, node, stream)))).toBe(true)
        }

      const text = parseText(yield* readAll(journal, "text", order))
      expect(sorted(text.events)).toEqual(sorted(events))
      for (const node of nodes) {
        const lines = text.lines.filter(([who]) => who === node).map(([, line]) => line)
        const printedLines = textLines(printedBy(printed, node, "stdout"))
        expect(lines.join("")).toBe(printedLines.join(""))
        if (printedLines.every((line) => line.length <= maxLineLength)) expect(lines).toEqual(printedLines)
      }
    }

    const raw = yield* readAll(journal, "raw", "blocks")
    // Blocks come in the order in which the nodes end; a newline where another's output follows a line without one.
    const outputs = nodes
      .map((node) => printedBy(printed, node, "stdout"))
      .filter((output) => output.length > 0)
    const expected = outputs.map((output, index) =>
      index === outputs.length - 1 ? output : withNewline(output)
    )
    expect(raw.equals(Buffer.concat(expected))).toBe(true)

    const live = yield* readAll(journal, "raw", "live")
    const linesOf = (content: Buffer) => withNewline(content).toString("latin1").split("\n").sort()
    expect(linesOf(live)).toEqual(linesOf(Buffer.concat(outputs.map(withNewline))))

    const sse = (yield* readAll(journal, "sse", "live")).toString("utf8").split("\n\n").slice(0, -1)
    const live1 = (yield* readAll(journal, "ndjson", "live")).toString("utf8").split("\n").slice(0, -1)
    const parts = sse.map((item) => /^id: (\d+)\ndata: (.*)$/su.exec(item))
    expect(parts.map((part) => part?.[2])).toEqual(live1)
    for (const part of parts.filter((_, index) => index % 7 === 0)) {
      const rest = (yield* readAll(journal, "sse", "live", Number(part?.[1])))
        .toString("utf8")
        .split("\n\n")
        .slice(0, -1)
      expect(rest).toEqual(sse.slice(parts.indexOf(part) + 1))
    }
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

/** What a format says, cut into its events, each with what ends it. */
const cutEvents = (format: RunFormat, said: Buffer): ReadonlyArray<string> =>
  said
    .toString("latin1")
    .split(format === "sse" ? /(?<=\n\n)/ : /(?<=\n)/)
    .filter((event) => event !== "")

/** What follows the first so many events, for whom it is shown. */
const checkViews = (printed: ReadonlyArray<Printed>, from: number, node: string) =>
  Effect.gen(function* () {
    const journal = yield* makeJournal()
    yield* write(journal, printed)
    const alone = yield* makeJournal()
    yield* write(
      alone,
      printed.filter((one) => one.node === node)
    )
    const marks = new EventMarks()
    for (const single of [false, true])
      for (const format of ["text", "ndjson", "raw", "sse"] as const) {
        const source = single ? alone : journal
        const all = cutEvents(format, yield* readAll(source, format, "live", 0, { single }))
        // Last by last, so that marks are ahead as well as behind.
        for (const passed of [
          from,
          all.length - 1,
          Math.floor(all.length / 2),
          1,
          all.length,
          all.length + 5
        ]) {
          if (passed < 0) continue
          const rest = yield* readAll(source, format, "live", 0, {
            single,
            from: passed,
            marks: single ? undefined : marks
          })
          expect(rest.toString("latin1")).toBe(all.slice(passed).join(""))
        }
      }

    const objects = parse((yield* readAll(journal, "ndjson", "live")).toString("utf8"))
    const isRuns = ({ event }: Record<string, unknown>) => event === "run" || event === "done"
    const said = (more: Partial<RunReader.ReadOptions>, order: "live" | "blocks" = "live") =>
      Effect.map(readAll(journal, "ndjson", order, 0, { from, marks, ...more }), (bytes) =>
        parse(bytes.toString("utf8"))
      )
    const rest = objects.slice(from)
    expect(yield* said({ nodes: new Set([node, "X"]) })).toEqual(
      rest.filter((one) => isRuns(one) || one.node === node)
    )
    for (const stream of ["stdout", "stderr"] as const) {
      expect(yield* said({ stream })).toEqual(
        rest.filter((one) => one.event !== "output" || one.stream === stream)
      )
      const raw = yield* readAll(journal, "raw", "live", 0, { stream, nodes: new Set([node]) })
      expect(raw.equals(printedBy(printed, node, stream))).toBe(true)
      const text = parseText(yield* readAll(journal, "text", "live", 0, { stream, nodes: new Set([node]) }))
      expect(text.lines.map(([, line]) => line).join("")).toBe(
        textLines(printedBy(printed, node, stream)).join("")
      )
    }

    const wanted: Record<string, Verdict> = { A: "ok", B: "failed", C: "unreported" }
    const ended = new Set<Verdict>([wanted[node] ?? "ok"])
    const isLeft = rest.some((one) => one.event === "end" && one.node === node)
    expect(yield* said({ ended }, "blocks")).toEqual(
      rest.filter((one) => isRuns(one) || (isLeft && one.node === node))
    )
    const both = yield* said({ ended, nodes: new Set(["X"]) }, "blocks")
    expect(both).toEqual(rest.filter(isRuns))
    const blocks = cutEvents("sse", yield* readAll(journal, "sse", "blocks", 0, { ended }))
    for (const [index, block] of blocks.entries()) {
      const id = Number(/^id: (\d+)$/m.exec(block)?.[1] ?? 0)
      if (id === 0) continue
      const resumed = cutEvents("sse", yield* readAll(journal, "sse", "blocks", id, { ended }))
      expect(resumed).toEqual(blocks.slice(index + 1))
    }
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

describe("a run read from its journal", () => {
  it(
    "is what follows any number of events, and what is wanted of it",
    () =>
      FastCheck.assert(
        FastCheck.asyncProperty(
          scripts,
          FastCheck.nat(40),
          FastCheck.constantFrom(...nodes),
          (printed, from, node) => Effect.runPromise(checkViews(printed, from, node))
        ),
        { numRuns: 25 }
      ),
    60_000
  )

  it(
    "is its events and its output, in every format and order, and resumes behind any event",
    () =>
      FastCheck.assert(
        FastCheck.asyncProperty(scripts, (printed) => Effect.runPromise(check(printed))),
        { numRuns: 60 }
      ),
    60_000
  )

  it.scoped("is shown from where a damaged record names no place before it", () =>
    Effect.gen(function* () {
      const journal = yield* makeJournal()
      const end = { event: "end", node: "A", code: 0, duration: 0, stderr: "" }
      for (const previous of [0, 0.5, Number.NaN, -1]) journal.event(Kind.end, "A", end, previous)
      yield* journal.close
      const shown = parse((yield* readAll(journal, "ndjson", "blocks")).toString("utf8"))
      expect(shown).toEqual([end, end, end, end])
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scoped("is followed while it goes on, and says that it is alive after 15 s without a line", () =>
    Effect.gen(function* () {
      const journal = yield* makeJournal()
      journal.event(Kind.run, "", run, 0)
      yield* journal.flushed
      const seen: Array<string> = []
      const reading = yield* RunReader.stream(journal, {
        format: "text",
        order: "live",
        single: false,
        after: 0
      }).pipe(
        Stream.runForEach((chunk) => Effect.sync(() => seen.push(Buffer.from(chunk).toString()))),
        Effect.fork
      )
      const chunks = (count: number) => eventually(() => seen.length >= count)
      yield* chunks(1)
      yield* TestClock.adjust("14 seconds")
      expect(seen.length).toBe(1)
      yield* TestClock.adjust("1 seconds")
      yield* chunks(2)
      expect(seen[1]).toBe('{"event":"ping"}\n')
      yield* TestClock.adjust("15 seconds")
      yield* chunks(3)
      journal.output(Kind.stdout, "A", Buffer.from("line\n"), { continued: false, open: false }, 0, {
        dropped: 0
      })
      yield* chunks(4)
      expect(seen[3]).toBe("A:line\n")
      yield* journal.close
      yield* Fiber.join(reading)
    }).pipe(Effect.provide(NodeContext.layer))
  )
})
