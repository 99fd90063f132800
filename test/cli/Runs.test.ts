/** What `runs list` refuses before it asks anything. */
import { FileSystem } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as Runs from "../../src/cli/Runs.ts"

const options: Runs.ListOptions = {
  url: Option.some("http://127.0.0.1:1"),
  cacert: Option.none(),
  cert: Option.none(),
  certKey: Option.none(),
  limit: Option.none(),
  before: Option.none(),
  node: Option.none(),
  actor: Option.none(),
  since: Option.none(),
  state: Option.none(),
  json: false
}

describe("a list of runs", () => {
  it.effect("by what can't be is refused in the relay's words", () =>
    Effect.gen(function* () {
      for (const [given, message] of [
        [{ since: Option.some("soon") }, "--since: expected an RFC 3339 date"],
        [{ actor: Option.some("") }, "--actor: expected 1 to 200 characters"]
      ] as const)
        expect(yield* Effect.flip(Runs.list({ ...options, ...given }))).toMatchObject({
          code: 2,
          message: expect.stringContaining(message)
        })
    }).pipe(Effect.provide(FileSystem.layerNoop({})))
  )
})
