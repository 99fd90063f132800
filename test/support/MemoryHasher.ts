/** Hashes of contents without a thread for them. */
import { createHash } from "node:crypto"
import { Effect, Layer } from "effect"
import { Hasher } from "../../src/disk/Hasher.ts"

/** Hashes are made where they are asked for. */
export const memoryHasher = Layer.succeed(Hasher, {
  begin: (algorithm) =>
    Effect.sync(() => {
      const hash = createHash(algorithm)
      return {
        update: (bytes) =>
          Effect.sync(() => {
            hash.update(bytes)
            return Effect.void
          }),
        digest: (last) => Effect.sync(() => hash.update(last).digest())
      }
    })
})
