/** What `share` refuses before it asks anything. */
import { FileSystem } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as Share from "../../src/cli/Share.ts"

describe("a ttl", () => {
  it.effect("that is none is refused before a file is read", () =>
    Effect.gen(function* () {
      for (const ttl of ["soon", "2 fortnights", "-1", "1.5h"]) {
        const shared = Share.share({
          url: Option.some("http://127.0.0.1:1"),
          cacert: Option.none(),
          cert: Option.none(),
          certKey: Option.none(),
          source: "a",
          target: "b",
          key: "none.pem",
          fileId: Option.none(),
          ttl: Option.some(ttl),
          file: "none"
        })
        expect(yield* Effect.flip(shared)).toMatchObject({
          code: 2,
          message: expect.stringContaining("--ttl: expected a time")
        })
      }
    }).pipe(Effect.provide(FileSystem.layerNoop({})))
  )
})
