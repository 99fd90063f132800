/** What `share` refuses before it asks anything. */
import { FileSystem } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as Share from "../../src/cli/Share.ts"

const options: Share.ShareOptions = {
  url: Option.some("http://127.0.0.1:1"),
  cacert: Option.none(),
  cert: Option.none(),
  certKey: Option.none(),
  source: "a",
  target: "b",
  key: "none.pem",
  fileId: Option.none(),
  ttl: Option.none(),
  file: "none"
}

describe("what is shared", () => {
  const cases: ReadonlyArray<readonly [Partial<Share.ShareOptions>, string]> = [
    ...["soon", "2 fortnights", "-1", "1.5h"].map(
      (ttl) => [{ ttl: Option.some(ttl) }, "--ttl: expected a time"] as const
    ),
    [{ ttl: Option.some(" 1d") }, "--ttl: expected no spaces around"],
    [{ source: "a/b" }, "--source: expected a node's id"],
    [{ target: ".." }, "--target: expected a node's id"],
    [{ fileId: Option.some("a b") }, "--file-id: expected 1 to 200 letters"],
    [{ file: "/some where/a b" }, "the name of /some where/a b: expected 1 to 200 letters"],
    [{ file: "motd.metadata" }, "--file-id gives it another name"]
  ]

  it.effect("by what can't be is refused before a file is read, or anything asked", () =>
    Effect.gen(function* () {
      for (const [given, message] of cases)
        expect(yield* Effect.flip(Share.share({ ...options, ...given }))).toMatchObject({
          code: 2,
          message: expect.stringContaining(message)
        })
    }).pipe(Effect.provide(FileSystem.layerNoop({})))
  )
})
