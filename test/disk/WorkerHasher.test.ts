import { createHash } from "node:crypto"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import { Hasher } from "../../src/disk/Hasher.ts"
import * as WorkerHasher from "../../src/disk/WorkerHasher.ts"

const shared = (bytes: Uint8Array): Uint8Array => {
  const memory = new Uint8Array(new SharedArrayBuffer(bytes.length))
  memory.set(bytes)
  return memory
}

const hexOf = (algorithm: "sha256" | "sha512", bytes: Uint8Array) =>
  createHash(algorithm).update(bytes).digest("hex")

/** Gives all pieces before the first of them is hashed, and the last one with the digest. */
const hash = (algorithm: "sha256" | "sha512", pieces: ReadonlyArray<Uint8Array>) =>
  Effect.gen(function* () {
    const hashing = yield* (yield* Hasher).begin(algorithm)
    const taken = yield* Effect.forEach(pieces.slice(0, -1), (piece) => hashing.update(shared(piece)))
    const digest = yield* hashing.digest(shared(pieces.at(-1) ?? new Uint8Array()))
    yield* Effect.all(taken)
    return digest.toString("hex")
  }).pipe(Effect.scoped)

const pieces = FastCheck.array(FastCheck.uint8Array({ maxLength: 100 }), { maxLength: 6 })

describe("WorkerHasher", () => {
  it.effect.prop(
    "hashes contents in whatever pieces they come, several at once",
    [FastCheck.array(pieces, { minLength: 1, maxLength: 4 })],
    ([contents]) =>
      Effect.gen(function* () {
        const hashes = Effect.forEach(contents, (content) => hash("sha512", content), {
          concurrency: "unbounded"
        })
        expect(yield* hashes).toEqual(contents.map((content) => hexOf("sha512", Buffer.concat(content))))
      }).pipe(Effect.provide(WorkerHasher.layer), Effect.asVoid),
    { fastCheck: { numRuns: 20 } }
  )

  it.effect("hashes the same here and on its thread", () =>
    Effect.gen(function* () {
      for (const length of [0, 1, 64 * 1024, 64 * 1024 + 1, 1 << 20]) {
        const content = Buffer.alloc(length, "content")
        expect(yield* hash("sha256", [content])).toBe(hexOf("sha256", content))
      }
    }).pipe(Effect.provide(WorkerHasher.layer))
  )
})
