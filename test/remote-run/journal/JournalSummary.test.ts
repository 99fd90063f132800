import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Kind } from "../../../src/remote-run/journal/JournalRecord.ts"
import * as JournalSummary from "../../../src/remote-run/journal/JournalSummary.ts"
import { makeJournal } from "../../support/Journals.ts"

const id = "01900000-0000-7000-8000-000000000000"
const head = { id, started: "2026-01-05T09:00:00.000Z", output: "keep", classes: [], nodes: 4 }
const ends = [{ code: 0 }, { code: 1 }, { code: null, skipped: true }, { code: null, unreported: true }]

const summaryOf = (done: object | undefined) =>
  Effect.gen(function* () {
    const journal = yield* makeJournal()
    journal.event(Kind.head, "", { ...head, by: { address: "192.0.2.1" } }, 0)
    for (const [i, end] of ends.entries())
      journal.event(Kind.end, `n${i}`, { event: "end", node: `n${i}`, ...end, duration: 0, stderr: "" }, 0)
    if (done !== undefined) journal.event(Kind.done, "", { event: "done", ...done, duration: 1 }, 0)
    yield* journal.close
    return yield* JournalSummary.read(journal)
  })

describe("the summary of a run", () => {
  const expected = { ...head, running: 0, ok: 1, failed: 1, skipped: 1, by: { address: "192.0.2.1" } }

  it.scoped("counts who was skipped, whether by its last event or by its ends", () =>
    Effect.gen(function* () {
      expect(JSON.stringify(yield* summaryOf({ ok: 1, failed: 1, skipped: 1 }))).toBe(
        JSON.stringify(expected)
      )
      expect(JSON.stringify(yield* summaryOf(undefined))).toBe(JSON.stringify(expected))
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scoped("says nothing of the skipped where there were none", () =>
    Effect.gen(function* () {
      expect(yield* summaryOf({ ok: 2, failed: 2 })).not.toHaveProperty("skipped")
    }).pipe(Effect.provide(NodeContext.layer))
  )
})
