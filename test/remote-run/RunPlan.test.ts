import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import { NodeId } from "../../src/NodeId.ts"
import * as RunPlan from "../../src/remote-run/RunPlan.ts"
import { nodesOf, type Tree } from "../../src/testing/Topology.ts"

const tree: Tree = {
  own: { hostname: "own.example.com" },
  relay: { hostname: "relay.example.com" },
  below: { hostname: "below.example.com", relays: ["relay"] },
  deep: { hostname: "deep.example.com", relays: ["relay", "below"] },
  other: { hostname: "other.example.com" },
  lost: { hostname: "lost.example.com", relays: ["nobody"] }
}
const nodes = nodesOf(tree)
const ids = (...names: ReadonlyArray<string>) => names.map((name) => NodeId.make(name))
const some = (...names: ReadonlyArray<string>): RunPlan.RunTarget => ({ _tag: "Nodes", ids: ids(...names) })

const planOf = (target: RunPlan.RunTarget, of = nodes) =>
  Effect.map(RunPlan.make(of, target), ({ own, behind, known, unknown }) => ({
    own: own.map(({ id }) => id),
    behind: [...behind].map(([relay, others]) => [relay.id, ...others]),
    known,
    unknown
  }))

describe("the plan of a run", () => {
  it.effect("has every node under who runs it, in the order of the target", () =>
    Effect.gen(function* () {
      expect(yield* planOf(some("deep", "other", "below", "own"))).toEqual({
        own: ["other", "own"],
        behind: [["relay", "deep", "below"]],
        known: ["deep", "other", "below", "own"],
        unknown: []
      })
    })
  )

  it.effect("for all nodes names none as unknown, though one has a policy server that is not there", () =>
    Effect.gen(function* () {
      expect(yield* planOf({ _tag: "All" })).toEqual({
        own: ["own", "relay", "other"],
        behind: [["relay", "below", "deep"]],
        known: ["own", "relay", "below", "deep", "other"],
        unknown: []
      })
    })
  )

  it.effect("names what it does not know, and what can't be reached", () =>
    Effect.gen(function* () {
      expect(yield* planOf(some("stranger", "own", "lost"))).toMatchObject({
        own: ["own"],
        known: ["own"],
        unknown: ["stranger", "lost"]
      })
      expect(yield* planOf({ _tag: "One", id: NodeId.make("stranger") })).toMatchObject({
        known: [],
        unknown: ["stranger"]
      })
    })
  )

  it.effect("leaves out no id and takes none twice, of however many", () =>
    Effect.promise(() =>
      FastCheck.assert(
        FastCheck.asyncProperty(
          FastCheck.array(FastCheck.constantFrom("mine", "behind", "unknown"), { maxLength: 3000 }),
          (whose) => {
            const named = whose.map((kind, i) => [`n${i}`, kind] as const)
            const large = nodesOf({
              relay: { hostname: "relay.example.com" },
              ...Object.fromEntries(
                named
                  .filter(([, kind]) => kind !== "unknown")
                  .map(([id, kind]) => [id, { hostname: id, relays: kind === "mine" ? [] : ["relay"] }])
              )
            })
            const of = (kind: string) => named.filter(([, other]) => other === kind).map(([id]) => id)
            const test = Effect.gen(function* () {
              const plan = yield* planOf(some(...named.map(([id]) => id)), large)
              expect(plan.own).toEqual(of("mine"))
              expect(plan.behind.flatMap(([, ...others]) => others)).toEqual(of("behind"))
              expect(plan.unknown).toEqual(of("unknown"))
              expect(plan.known.length).toBe(of("mine").length + of("behind").length)
            })
            return Effect.runPromise(test)
          }
        ),
        { numRuns: 30, endOnFailure: true }
      )
    )
  )
})
