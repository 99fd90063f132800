/** Which keys sign. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import * as SignedContent from "../../src/client/SignedContent.ts"
import { secretNamed } from "../support/Keys.ts"

const secret = secretNamed("source")
const plain = secret.export({ type: "pkcs8", format: "pem" }).toString()

/** As CFEngine writes keys (PKCS#1), or as OpenSSL does by itself (PKCS#8). */
const encrypted = (passphrase: string, type: "pkcs1" | "pkcs8" = "pkcs1", cipher = "des-ede3-cbc") =>
  secret.export({ type, format: "pem", cipher, passphrase }).toString()

describe("a source's key", () => {
  it.effect("is taken as PEM, also as older versions of CFEngine encrypt it", () =>
    Effect.gen(function* () {
      for (const given of [
        plain,
        Redacted.make(plain),
        secret,
        encrypted("Cfengine passphrase"),
        Redacted.make(encrypted("Cfengine passphrase", "pkcs8", "aes-256-cbc"))
      ])
        expect((yield* SignedContent.keyOf(given)).equals(secret)).toBe(true)
    })
  )

  it.effect("that another passphrase encrypts is refused as that, and what is no key as no key", () =>
    Effect.gen(function* () {
      for (const type of ["pkcs1", "pkcs8"] as const) {
        const { message } = yield* Effect.flip(SignedContent.keyOf(encrypted("another", type)))
        expect(message).toBe("the key can't be read: it is encrypted, and not by CFEngine's own passphrase")
      }
      const { message } = yield* Effect.flip(SignedContent.keyOf("-----BEGIN NOTHING-----"))
      expect(message).toMatch(/^the key can't be read: error:/)
    })
  )
})
