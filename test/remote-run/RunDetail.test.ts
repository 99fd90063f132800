import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option, Schema, Stream } from "effect"
import * as JournalEvents from "../../src/remote-run/journal/JournalEvents.ts"
import { Kind } from "../../src/remote-run/journal/JournalRecord.ts"
import * as RunDetail from "../../src/remote-run/RunDetail.ts"
import { RunId } from "../../src/remote-run/RunId.ts"
import { RunDetail as Detail } from "../../src/remote-run/RunRecord.ts"
import { makeJournal } from "../support/Journals.ts"

const id = RunId.make("01900000-0000-7000-8000-000000000000")
const decode = Schema.decodeUnknown(Schema.parseJson(Detail))

describe("the detail of a run", () => {
  it.scoped("leaves out no node, also where an end can't be read", () =>
    Effect.gen(function* () {
      const journal = yield* makeJournal()
      journal.event(Kind.run, "", { event: "run", id, nodes: ["A", "B", "C"], unknown: [], classes: [] }, 0)
      journal.event(Kind.end, "A", { event: "end", node: "A", code: 0, duration: 1, stderr: "" }, 0)
      // What JSON makes of an infinite duration.
      journal.event(Kind.end, "B", { event: "end", node: "B", code: 0, duration: null, stderr: "" }, 0)
      yield* journal.flushed
      const summary = {
        id,
        started: "2026-01-05T09:00:00.000Z",
        output: "keep" as const,
        classes: [],
        nodes: 3,
        running: 0,
        ok: 1,
        failed: 1
      }
      const stream = yield* RunDetail.json({
        id,
        summary: Effect.succeed(summary),
        doneAt: Effect.succeed(Option.none()),
        events: JournalEvents.events(journal).pipe(Stream.provideSomeLayer(NodeContext.layer)),
        hasBehind: () => Effect.succeed(true),
        read: () => Stream.empty
      })
      const text = yield* Stream.runFold(
        stream,
        "",
        (sum, bytes) => sum + Buffer.from(bytes).toString("utf8")
      )
      const { states } = yield* decode(text)
      expect(states).toMatchObject([
        { node: "A", state: "ended", code: 0 },
        { node: "B", state: "ended", code: null, error: { _tag: "StorageError" } },
        { node: "C", state: "waiting" }
      ])
    }).pipe(Effect.provide(NodeContext.layer))
  )
  it.scoped("knows which nodes wait and which run", () =>
    Effect.gen(function* () {
      const journal = yield* makeJournal()
      const nodes = ["A", "B", "C", "D"]
      journal.event(Kind.run, "", { event: "run", id, nodes, unknown: [], classes: [] }, 0)
      for (const node of ["A", "B"])
        journal.event(Kind.start, node, { event: "start", node, hostname: "h" }, 0)
      journal.event(Kind.end, "A", { event: "end", node: "A", code: 0, duration: 1, stderr: "" }, 0)
      yield* journal.flushed
      const run = { events: JournalEvents.events(journal).pipe(Stream.provideSomeLayer(NodeContext.layer)) }
      expect(yield* RunDetail.nodesIn(run, "running")).toEqual(new Set(["B"]))
      expect(yield* RunDetail.nodesIn(run, "waiting")).toEqual(new Set(["C", "D"]))
    }).pipe(Effect.provide(NodeContext.layer))
  )
})
