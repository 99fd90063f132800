/** Starts the run of a key once, whoever comes with it, how often, and whatever crashes in between. */
import { Effect, Option } from "effect"
import type { StorageError, StorageFull, TooBusy } from "../RelayError.ts"
import { AgentError } from "./agents/AgentProcess.ts"
import type { RunKeysService } from "./journal/RunKeys.ts"
import { IdempotencyConflict, type RunNotFound } from "./RemoteRunError.ts"
import type { RunExecutionParts } from "./RunExecution.ts"
import type { RunId } from "./RunId.ts"
import type { RunKey } from "./RunKey.ts"

/** Starts a run under an id. `beforeFirst` comes before its first agent, or before it is over without one. */
export type Launch<A> = (id: RunId, beforeFirst: Effect.Effect<void, StorageError>) => Effect.Effect<A>

/** What a request with a key asks for. */
export interface KeyedOrder<A, E> {
  readonly key: RunKey
  /** Digest of what is ordered. */
  readonly order: string
  readonly nextId: Effect.Effect<RunId>
  /** Has what the run says of itself by now where a loss of power leaves it. */
  readonly persist: (id: RunId) => Effect.Effect<void>
  readonly isGoingOn: (id: RunId) => boolean
  /** A run that was started before, going on or past. */
  readonly find: (id: RunId) => Effect.Effect<A, RunNotFound | StorageError>
  /** Makes sure that the run can be started; nothing is kept before it. */
  readonly plan: Effect.Effect<Launch<A>, E>
}

/** Why there is no run for a key. */
export type KeyedError = IdempotencyConflict | RunNotFound | StorageError | StorageFull | TooBusy

/**
 * The run of the key, started now or before. Its key is on the disk before its first agent is started, and once more,
 * as binding, right before that, with the run that it then points to: where the relay ends in between, no agent was
 * started, and the same request begins the same run anew. `RunNotFound`: the run of the key is not kept any more.
 */
export const start = <A, E>(
  keys: RunKeysService,
  { key, order, nextId, persist, isGoingOn, find, plan }: KeyedOrder<A, E>
): Effect.Effect<A, E | KeyedError> =>
  keys.alone(
    key,
    Effect.gen(function* () {
      const known = Option.getOrUndefined(yield* keys.find(key))
      if (known !== undefined && known.order !== order) return yield* conflict(known.run)
      if (known !== undefined && (known.isBinding || isGoingOn(known.run))) return yield* find(known.run)
      const launch = yield* plan
      const id = known?.run ?? (yield* nextId)
      if (known === undefined) yield* keys.reserve(key, order, id)
      const bound = yield* Effect.cached(Effect.zipRight(persist(id), keys.bind(key)))
      // Who is interrupted would leave that as the outcome for all who wait, and for the run's end.
      return yield* launch(id, Effect.uninterruptible(bound))
    })
  )

/** The key was used for another order, of which this is the run. */
export const conflict = (run: RunId): IdempotencyConflict =>
  new IdempotencyConflict({ message: `this Idempotency-Key was used for another order, run ${run}`, run })

/** The same parts, but that no agent is started, and no sub-relay called, before `first` has succeeded. */
export const behind = (
  parts: RunExecutionParts,
  first: Effect.Effect<void, StorageError>
): RunExecutionParts => {
  const { agents, subRelays } = parts
  const problem = "the relay's disk failed; its log has it"
  return {
    ...parts,
    agents: {
      unkillable: agents.unkillable,
      run: (command, output) =>
        Effect.andThen(
          Effect.mapError(first, () => new AgentError({ message: problem })),
          agents.run(command, output)
        )
    },
    subRelays: {
      run: (order) =>
        Effect.matchEffect(first, {
          onSuccess: () => subRelays.run(order),
          onFailure: () =>
            Effect.sync(() => {
              for (const node of order.nodes)
                order.report(node).end({ code: null, error: { _tag: "StorageError", message: problem } })
            })
        })
    }
  }
}
