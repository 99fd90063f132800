/** What is ordered of a run, and what is refused before the relay is asked. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as RunOrder from "../../../src/cli/run/RunOrder.ts"
import * as RunRequest from "../../../src/client/RunRequest.ts"
import * as ControlParameters from "../../../src/remote-run/ControlParameters.ts"

const names = ["classes", "batch", "batchWait", "canary", "maxFailures", "splay", "actor", "reason"] as const
const order = (given: Partial<Record<(typeof names)[number], string>>) =>
  RunOrder.make({
    output: "keep",
    classes: Option.fromNullable(given.classes),
    batch: Option.fromNullable(given.batch),
    batchWait: Option.fromNullable(given.batchWait),
    canary: Option.fromNullable(given.canary),
    maxFailures: Option.fromNullable(given.maxFailures),
    splay: Option.fromNullable(given.splay),
    actor: Option.fromNullable(given.actor),
    reason: Option.fromNullable(given.reason)
  })

describe("an order", () => {
  it.effect("is told to the relay as it was said", () =>
    Effect.gen(function* () {
      const given = {
        classes: "a, b",
        batch: "10.5%",
        batchWait: "1min 30s",
        canary: "2",
        maxFailures: "0",
        splay: "5",
        actor: "jane",
        reason: "CHG 4711"
      }
      expect(RunRequest.formOf({ nodes: ["n"], ...(yield* order(given)) })).toEqual({
        async: "yes",
        format: "ndjson",
        output: "keep",
        nodes: "n",
        classes: "a,b",
        batch: "10.5%",
        batch_wait: "90000ms",
        canary: "2",
        max_failures: "0",
        splay: "5000ms",
        actor: "jane",
        reason: "CHG 4711"
      })
    })
  )

  it.effect("that can't be understood is refused by the option's name", () =>
    Effect.gen(function* () {
      for (const [name, value, option] of [
        ["classes", "a-b", "--classes"],
        ["batch", "-1", "--batch"],
        ["batchWait", "soon", "--batch-wait"],
        ["canary", "1.5", "--canary"],
        ["maxFailures", "x%", "--max-failures"],
        ["splay", "", "--splay"],
        ["reason", "x".repeat(201), "--reason"],
        ["actor", "a\nb", "--actor"]
      ] as const)
        expect(yield* Effect.flip(order({ [name]: value }))).toMatchObject({
          code: 2,
          message: expect.stringContaining(`${option}: expected`)
        })
    })
  )

  it.effect("that the relay would refuse is refused in its words", () =>
    Effect.gen(function* () {
      for (const [name, value, parameter] of [
        ["batch", "0", "batch"],
        ["batch", "100.001%", "batch"],
        ["canary", "0.000%", "canary"],
        ["maxFailures", "101%", "max_failures"],
        ["batchWait", "8d", "batch_wait"],
        ["splay", "700000", "splay"]
      ] as const) {
        const decoded = ControlParameters.decode((asked) => (asked === parameter ? value : undefined))
        const { message } = yield* Effect.flip(decoded)
        expect(yield* Effect.flip(order({ [name]: value }))).toMatchObject({
          code: 2,
          message: `rudder-relay: --${message.replace(parameter, parameter.replace("_", "-"))}`
        })
      }
    })
  )
})
