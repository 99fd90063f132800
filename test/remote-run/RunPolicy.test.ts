import { Duration, FastCheck } from "effect"
import { describe, expect, it } from "vitest"
import type { RunControl } from "../../src/remote-run/RunControl.ts"
import * as RunPolicy from "../../src/remote-run/RunPolicy.ts"
import { controlOf } from "../support/ControlledRelay.ts"
import { type ModelFate, type ModelNode, predict } from "../support/RunModel.ts"
import { queryOf, scenario } from "../support/RunScenario.ts"

/** Goes through a run by the policy alone, where every node that is released starts at once. */
const follow = (nodes: ReadonlyArray<ModelNode>, control: RunControl) => {
  const policy = RunPolicy.make(control, nodes.length)
  const wait = Duration.toMillis(control.batchWait ?? Duration.zero)
  const fates = new Map<string, ModelFate>(nodes.map(({ id }) => [id, "skipped"]))
  const batches: Array<ReadonlyArray<string>> = []
  const going: Array<{ readonly well: boolean; readonly to: number }> = []
  let course = RunPolicy.beginning
  let now = 0
  for (let steps = 0; steps <= 2 * nodes.length; steps++) {
    const step = RunPolicy.next(policy, course)
    if (step._tag === "Release") {
      if (step.from > 0) now += wait
      const members = nodes.slice(step.from, step.to)
      batches.push(members.map(({ id }) => id))
      for (const { id, lasts, well } of members) {
        fates.set(id, { from: now, to: now + lasts })
        going.push({ well, to: now + lasts })
      }
      course = RunPolicy.released(course, step.to)
      continue
    }
    const [next] = going.sort((one, other) => one.to - other.to).splice(0, 1)
    // What runs goes on to its end, also where nothing more is started.
    if (next === undefined) return { fates, batches, step, policy }
    now = next.to
    course = RunPolicy.ended(course, next.well)
  }
  throw new Error("the policy comes to no end")
}

describe("the policy of a run", () => {
  it("starts and stops as the model does, whatever ends when", () => {
    FastCheck.assert(
      FastCheck.property(scenario, ({ nodes, control }) => {
        const { fates, batches, step, policy } = follow(nodes, controlOf(queryOf(control)))
        const predicted = predict(nodes, control, Number.POSITIVE_INFINITY)
        expect([...fates]).toEqual([...predicted.fates])
        expect(batches).toEqual(predicted.batches)
        // It is over where nobody was left to be stopped, and says why where somebody was.
        const isWhole = batches.flat().length === nodes.length
        if (!isWhole) expect(step._tag).toBe("Stop")
        for (const [place, { id }] of nodes.entries()) {
          const batch = batches.findIndex((members) => members.includes(id))
          if (batch >= 0) expect(RunPolicy.batchOf(policy, place)).toBe(batch + 1)
        }
      }),
      { numRuns: 2000 }
    )
  })

  it("never lets more nodes go than a batch has", () => {
    FastCheck.assert(
      FastCheck.property(scenario, FastCheck.infiniteStream(FastCheck.nat()), ({ nodes, control }, turns) => {
        const policy = RunPolicy.make(controlOf(queryOf(control)), nodes.length)
        let course = RunPolicy.beginning
        const going: Array<ModelNode> = []
        while (true) {
          const step = RunPolicy.next(policy, course)
          if (step._tag === "Stop" || step._tag === "Over") return
          if (step._tag === "Release") {
            expect(going).toEqual([])
            expect(step.to).toBeGreaterThan(step.from)
            going.push(...nodes.slice(step.from, step.to))
            const isCanary = step.from === 0 && policy.canary > 0
            expect(going.length).toBeLessThanOrEqual(isCanary ? policy.canary : policy.batch)
            course = RunPolicy.released(course, step.to)
            continue
          }
          const [next] = going.splice(turns.next().value % going.length, 1)
          course = RunPolicy.ended(course, next?.well === true)
        }
      }),
      { numRuns: 1000 }
    )
  })

  it.each([
    ["batch=10%", 1000, { batch: 100 }],
    ["batch=10%", 1001, { batch: 101 }],
    ["batch=10%", 3, { batch: 1 }],
    ["batch=7%", 100, { batch: 7 }],
    ["batch=0.5%", 1000, { batch: 5 }],
    ["batch=12.5%", 9, { batch: 2 }],
    ["batch=100%", 7, { batch: 7 }],
    ["batch=20", 7, { batch: 20 }],
    ["canary=1%", 1000, { canary: 10 }],
    ["canary=1%", 101, { canary: 2 }],
    ["canary=1%", 5, { canary: 1 }],
    ["max_failures=5%", 1000, { maxFailures: 50 }],
    ["max_failures=5%", 39, { maxFailures: 1 }],
    ["max_failures=5%", 19, { maxFailures: 0 }],
    ["max_failures=29%", 100, { maxFailures: 29 }],
    ["max_failures=0", 19, { maxFailures: 0 }],
    ["max_failures=0%", 19, { maxFailures: 0 }],
    ["", 19, { batch: 19, canary: 0, maxFailures: Number.POSITIVE_INFINITY }]
  ])("%s of %i nodes", (query, nodes, expected) => {
    expect(RunPolicy.make(controlOf(query), nodes)).toMatchObject(expected)
  })

  it("of no nodes is over at once", () => {
    const policy = RunPolicy.make(controlOf("batch=2&canary=50%&max_failures=0"), 0)
    expect(RunPolicy.next(policy, RunPolicy.beginning)).toEqual({ _tag: "Over" })
  })
})
