/** The keys of requests that started runs: so that a request that comes again, also after a crash, starts none. */
import type { Effect, Option } from "effect"
import type { StorageError, StorageFull, TooBusy } from "../../RelayError.ts"
import type { RunId } from "../RunId.ts"
import type { RunKey } from "../RunKey.ts"

/** What a key stands for. */
export interface KnownKey {
  readonly run: RunId
  /** Digest of the order that came with it. */
  readonly order: string
  /**
   * False until the first agent is about to be started, or the run is over: where the relay ends before that, no agent
   * was started, and the run may begin anew.
   */
  readonly isBinding: boolean
}

/** Keys belong to the relay, whoever calls, and are known for 24 h from the start of their runs. */
export interface RunKeysService {
  /** Of those who come with one key, one at a time. */
  readonly alone: <A, E, R>(key: RunKey, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly find: (key: RunKey) => Effect.Effect<Option.Option<KnownKey>, StorageError>
  /**
   * Remembers a key for a run that is not yet binding; it is on the disk when this returns. `TooBusy`: so many younger
   * than 24 h are known that there is no place for another.
   */
  readonly reserve: (
    key: RunKey,
    order: string,
    run: RunId
  ) => Effect.Effect<void, TooBusy | StorageError | StorageFull>
  /** From now on the key stands for its run and no other; this is on the disk when it returns. */
  readonly bind: (key: RunKey) => Effect.Effect<void, StorageError>
}
