/** Hashes of large contents, made where they hold nobody up: a port, which `WorkerHasher` implements by a thread. */
import { Context, Data, type Effect, type Scope } from "effect"
import type { HashAlgorithm } from "./ContentHash.ts"

/** What was hashed so far is lost. */
export class HashLost extends Data.TaggedError("HashLost")<{ readonly message: string }> {}

/** The hash of one content, made in pieces. */
export interface Hashing {
  /**
   * Takes the next bytes; those in shared memory are not copied. The effect that it gives ends when they may be
   * overwritten; more may be given before that.
   */
  readonly update: (bytes: Uint8Array) => Effect.Effect<Effect.Effect<void, HashLost>>
  /** The hash of all, and of these last bytes. */
  readonly digest: (last: Uint8Array) => Effect.Effect<Buffer, HashLost>
}

/** Makes hashes, several at once. */
export interface HasherService {
  /** A hash that is forgotten with its scope. */
  readonly begin: (algorithm: HashAlgorithm) => Effect.Effect<Hashing, never, Scope.Scope>
}

/** The hasher of uploads and of the shared folder; `WorkerHasher.layer` has a thread for it. */
export class Hasher extends Context.Tag("rudder-relay/Hasher")<Hasher, HasherService>() {}
