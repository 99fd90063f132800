/** What `run` refuses before it asks anything. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as Run from "../../src/cli/Run.ts"

const none = Option.none()

/** Nobody listens there: who asks ends with another code. */
const options: Run.RunOptions = {
  url: Option.some("http://127.0.0.1:1"),
  cacert: none,
  cert: none,
  certKey: none,
  targets: ["@all"],
  exclude: [],
  classes: none,
  batch: none,
  batchWait: none,
  canary: none,
  maxFailures: none,
  splay: none,
  actor: none,
  reason: none,
  output: "keep",
  view: none,
  diff: false,
  preview: false,
  async: false,
  json: false
}

describe("options that do not go together", () => {
  const cases: ReadonlyArray<readonly [Partial<Run.RunOptions>, string]> = [
    [{ json: true }, "--json is for --preview; --view ndjson"],
    [{ json: true, async: true }, "--json is for --preview; --async prints"],
    [{ async: true, view: Option.some("ndjson") }, "--async prints the run's id"]
  ]

  it.effect("are refused with what they are for", () =>
    Effect.gen(function* () {
      for (const [given, message] of cases)
        expect(yield* Effect.flip(Run.run({ ...options, ...given }))).toMatchObject({
          code: 2,
          message: expect.stringContaining(message)
        })
    })
  )

  it.effect("leave those that do", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Run.run({ ...options, json: true, preview: true }))
      expect(error).toMatchObject({ code: 4 })
    })
  )
})
