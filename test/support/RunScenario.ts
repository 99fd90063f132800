/** Runs under control, drawn by chance: nodes of this relay and of two sub-relays, and what a caller asks for. */
import { FastCheck } from "effect"
import type { Tree } from "../../src/testing/Topology.ts"
import type { ModelControl, ModelNode } from "./RunModel.ts"

export interface Scenario {
  readonly nodes: ReadonlyArray<ModelNode>
  readonly control: ModelControl
  readonly permits: number
}

/** Milliseconds. Longer than all the small differences between nodes together. */
const unit = 100_000

const share = (least: 0 | 1) =>
  FastCheck.oneof(
    FastCheck.integer({ min: least, max: 6 }).map(String),
    FastCheck.constantFrom("0.001%", "1%", "7%", "10%", "12.5%", "33.3%", "50%", "99.999%", "100%")
  )

const optional = <A>(of: FastCheck.Arbitrary<A>) => FastCheck.option(of, { nil: undefined })

/** Each node takes some units, and a power of two of its own, so that no two ends fall on one moment. */
export const scenario: FastCheck.Arbitrary<Scenario> = FastCheck.record({
  nodes: FastCheck.array(
    FastCheck.record({
      where: FastCheck.constantFrom<ModelNode["where"]>("own", "own", "first", "second"),
      units: FastCheck.nat(5),
      well: FastCheck.constantFrom(true, true, true, false)
    }),
    { minLength: 1, maxLength: 14 }
  ).map((drawn) =>
    drawn.map(({ where, units, well }, i): ModelNode => {
      return { id: `n${i}`, where, lasts: units * unit + 2 ** i, well }
    })
  ),
  control: FastCheck.record({
    batch: optional(share(1)),
    canary: optional(share(1)),
    max_failures: optional(share(0)),
    wait: FastCheck.constantFrom(0, 0, 7 * unit)
  }),
  permits: FastCheck.integer({ min: 1, max: 4 })
})

/** The scenario's control as a query. */
export const queryOf = ({ batch, canary, max_failures, wait }: ModelControl): string =>
  new URLSearchParams({
    ...(batch === undefined ? {} : { batch }),
    ...(canary === undefined ? {} : { canary }),
    ...(max_failures === undefined ? {} : { max_failures }),
    ...(wait === 0 ? {} : { batch_wait: `${wait / 1000}s` })
  }).toString()

/** The scenario's nodes under `me`, with the two sub-relays that are not run. */
export const treeOf = ({ nodes }: Scenario): Tree => ({
  first: { hostname: "first" },
  second: { hostname: "second" },
  ...Object.fromEntries(
    nodes.map(({ id, where }) => [id, { hostname: id, relays: where === "own" ? [] : [where] }])
  )
})
