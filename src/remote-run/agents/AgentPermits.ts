/** How many agents may run at once, over all runs, and whose turn it is. */
import { Effect, type Scope } from "effect"

interface Waiter {
  readonly lane: object
  readonly grant: () => void
}

/**
 * Permits that go round-robin over the lanes (runs) that wait. A lane waits with one request at a time, so the queue is
 * as long as the number of waiting runs, not of their nodes.
 */
export interface AgentPermits {
  /** Waits for this lane's turn and holds the permit until the scope closes. */
  readonly take: (lane: object) => Effect.Effect<void, never, Scope.Scope>
  readonly inUse: Effect.Effect<number>
}

export const make = (permits: number): AgentPermits => {
  let free = permits
  /** In the order of their turns. */
  const queue = new Set<Waiter>()
  /** The lane that had the latest turn, asking again: everybody who waits now goes first. */
  let latest: Waiter | undefined
  let latestLane: object | undefined

  const next = (): Waiter | undefined => {
    const [first] = queue
    if (first === undefined) {
      const waiter = latest
      latest = undefined
      return waiter
    }
    queue.delete(first)
    if (latest !== undefined) queue.add(latest)
    latest = undefined
    return first
  }

  const grantWhatIsFree = () => {
    while (free > 0) {
      const waiter = next()
      if (waiter === undefined) return
      free--
      latestLane = waiter.lane
      waiter.grant()
    }
  }

  const acquire = (lane: object) =>
    Effect.async<void>((resume) => {
      const waiter: Waiter = { lane, grant: () => resume(Effect.void) }
      if (lane === latestLane && latest === undefined) latest = waiter
      else queue.add(waiter)
      grantWhatIsFree()
      return Effect.sync(() => {
        const waiting = queue.delete(waiter) || latest === waiter
        if (latest === waiter) latest = undefined
        // Granted in the same instant as interrupted: nobody will release it.
        if (!waiting) release()
      })
    })

  const release = () => {
    free++
    grantWhatIsFree()
  }

  return {
    take: (lane) =>
      Effect.uninterruptibleMask((restore) =>
        restore(acquire(lane)).pipe(Effect.andThen(Effect.addFinalizer(() => Effect.sync(release))))
      ),
    inUse: Effect.sync(() => permits - free)
  }
}
