/** Names of files and entries that would lead a command to another route: they are refused before anything is asked. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as Files from "../../src/cli/Files.ts"
import * as OutboxCommands from "../../src/cli/OutboxCommands.ts"

/** Nobody listens there: who asks ends with another code. */
const relay = {
  url: Option.some("http://127.0.0.1:1"),
  cacert: Option.none(),
  cert: Option.none(),
  certKey: Option.none()
}

describe("what is to be deleted", () => {
  const id = "019b8d1c26000000-2cf24dba5fb0a30e26e83b2ac5b9e29e"

  it.effect("is a file's name in three parts", () =>
    Effect.gen(function* () {
      for (const file of [
        `../outbox/${id}`,
        "a/b/..",
        "a/./c",
        "a/b",
        "a/b/c/d",
        "a//c",
        "a/b/c?x",
        "a/b/%2e%2e"
      ])
        expect(yield* Effect.flip(Files.remove({ ...relay, file }))).toMatchObject({
          code: 2,
          message: expect.stringContaining("expected TARGET/SOURCE/FILE")
        })
    })
  )

  it.effect("is an entry's id", () =>
    Effect.gen(function* () {
      for (const entry of ["../x", "..", "", id.slice(1), `${id}/..`])
        expect(yield* Effect.flip(OutboxCommands.remove({ ...relay, entry }))).toMatchObject({
          code: 2,
          message: expect.stringContaining("ENTRY is an entry's id")
        })
    })
  )
})
