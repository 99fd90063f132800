/** Which keys may have signed a file. */
import { createHash } from "node:crypto"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { certificateOf } from "../../../src/testing/SelfSigned.ts"
import { keyNamed } from "../../support/Keys.ts"
import { key, nameOf, otherKey, queryOf, send, tree } from "../../support/Sharing.ts"
import { content, withRelay } from "../../support/SharingRelay.ts"

describe("a source", () => {
  const agent = keyNamed("keyless")
  const certificate = certificateOf(agent.secret, [[["UID", "keyless"]]]).x509
  const foreign = certificateOf(otherKey.secret, [[["UID", "source"]]]).x509
  const from = (source: string, query: URLSearchParams) => send(content, query, { name: nameOf({ source }) })
  const signedBy = (by: typeof key, over: Record<string, string | undefined> = {}) =>
    queryOf(content, over, by)
  const refused = (reason: string) => ({ _tag: "BadSignature", reason })

  it.effect("that is not below this relay, or has no key here, is unknown", () =>
    Effect.gen(function* () {
      expect(yield* Effect.flip(from("far", signedBy(key)))).toMatchObject(refused("unknown-source"))
      expect(yield* Effect.flip(from("keyless", signedBy(key)))).toMatchObject(refused("unknown-source"))
    }).pipe(withRelay())
  )

  it.effect("sends the key that the list names, in either form of its hash, and no other", () =>
    Effect.gen(function* () {
      expect(yield* Effect.flip(from("source", signedBy(otherKey)))).toMatchObject(refused("key-mismatch"))
      const pkcs1 = createHash("sha512")
        .update(key.key.export({ type: "pkcs1", format: "der" }))
        .digest("hex")
      const byPkcs1 = { ...tree, source: { hostname: "s", keyHash: `sha512:${pkcs1}` } }
      expect(yield* from("source", signedBy(key)).pipe(withRelay({ tree: byPkcs1 }))).toMatchObject({
        result: "stored"
      })
      // A hash that can't be read names no key.
      const unreadable = { ...tree, source: { hostname: "s", keyHash: "sha256:zz" } }
      const unknown = yield* Effect.flip(from("source", signedBy(key)).pipe(withRelay({ tree: unreadable })))
      expect(unknown).toMatchObject(refused("unknown-source"))
    }).pipe(withRelay())
  )

  it.effect("may leave its key to its certificate, which the list must not contradict", () =>
    Effect.gen(function* () {
      const noKey = { "public-key": undefined }
      expect(yield* from("keyless", signedBy(agent, noKey))).toMatchObject({ result: "stored" })
      expect(yield* from("keyless", signedBy(agent))).toMatchObject({ result: "stored" })
      expect(yield* Effect.flip(from("keyless", signedBy(key)))).toMatchObject(refused("key-mismatch"))
      expect(yield* Effect.flip(from("keyless", signedBy(key, noKey)))).toMatchObject(
        refused("signature-mismatch")
      )
      // The list names another key than this certificate's.
      for (const by of [key, otherKey])
        expect(yield* Effect.flip(from("source", signedBy(by, noKey)))).toMatchObject({
          _tag: "InvalidRequest",
          parameter: "public-key"
        })
      expect(yield* Effect.flip(from("source", signedBy(otherKey)))).toMatchObject(refused("key-mismatch"))
    }).pipe(withRelay({ certificates: { keyless: [foreign, certificate], source: [foreign] } }))
  )
})
