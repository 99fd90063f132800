import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as RequestReport from "../src/RequestReport.ts"

describe("the report of a request", () => {
  it.effect("has what was added, cut, and nothing of what is not known", () =>
    Effect.gen(function* () {
      const report = RequestReport.make("POST", "/a/:b")
      yield* RequestReport.add({ actor: "x".repeat(1000), parent: undefined, size: 5 }, "done").pipe(
        Effect.provideService(RequestReport.CurrentReport, report)
      )
      expect(report.about()).toEqual({ actor: `${"x".repeat(300)}…`, size: 5 })
      expect(report.message()).toBe("done")
    })
  )

  it.effect("is nobody's outside of a request, and keeps nothing", () =>
    Effect.gen(function* () {
      yield* RequestReport.add({ left: "behind" })
      const report = yield* RequestReport.CurrentReport
      expect([RequestReport.isInRequest(report), report.about()]).toEqual([false, {}])
    })
  )

  it("names the first ten of many ids, and how many there are", () => {
    const many = Array.from({ length: 12 }, (_, at) => `n${at}`)
    expect(RequestReport.ids({ all: "nodes", count: "node_count" }, many)).toEqual({
      nodes: "n0 n1 n2 n3 n4 n5 n6 n7 n8 n9",
      node_count: 12
    })
  })
})
