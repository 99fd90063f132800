/** Starts that are put off by chance, so that not all nodes ask for their policies at once. */
import { Clock, Duration, Effect, Random } from "effect"

/**
 * Starts each of the entries after a random part of `splay`, one start at a time; without a splay, at once and in their
 * order. What waits is an entry of a list, not a fiber. Returns when the last one was started.
 */
export const inTurn = <A>(
  splay: Duration.Duration,
  entries: ReadonlyArray<A>,
  start: (entry: A) => Effect.Effect<void>
): Effect.Effect<void> =>
  Duration.isZero(splay)
    ? Effect.forEach(entries, start, { discard: true })
    : Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const length = Duration.toMillis(splay)
        const put = yield* Effect.forEach(entries, (entry) =>
          Effect.map(Random.next, (part) => ({ entry, due: now + part * length }))
        )
        for (const { entry, due } of put.sort((one, other) => one.due - other.due)) {
          yield* Effect.sleep(Math.max(0, due - (yield* Clock.currentTimeMillis)))
          yield* start(entry)
        }
      })
