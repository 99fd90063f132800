/** How many agents may run at once, over all runs, and which run is next to start one. */
import { Effect } from "effect"

interface Waiter {
  readonly lane: object
  readonly grant: () => void
}

/**
 * Permits that go round-robin over the lanes (runs) that wait. A lane waits with one request at a time, so the queue is
 * as long as the number of waiting runs, not of their nodes.
 */
export interface AgentPermits {
  /** Waits until a permit is free and this lane is next. Who has taken it gives it back; interrupted, nobody has. */
  readonly take: (lane: object) => Effect.Effect<void>
  /** Gives back one that was taken. */
  readonly give: Effect.Effect<void>
  readonly inUse: Effect.Effect<number>
}

/** @param permits how many agents may run at once */
export const make = (permits: number): AgentPermits => {
  let free = permits
  /** Those that get the next permits, first come first served. */
  const queue = new Set<Waiter>()
  /** The next request of the lane that got the latest permit: whoever waits now goes before it. */
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

  const take = (lane: object) =>
    Effect.async<void>((resume) => {
      const waiter: Waiter = { lane, grant: () => resume(Effect.void) }
      if (lane === latestLane && latest === undefined) latest = waiter
      else queue.add(waiter)
      grantWhatIsFree()
      return Effect.sync(() => {
        const waiting = queue.delete(waiter) || latest === waiter
        if (latest === waiter) latest = undefined
        // The permit was granted at the moment of the interruption: nobody else will release it.
        if (!waiting) release()
      })
    })

  const release = () => {
    free++
    grantWhatIsFree()
  }

  return {
    take,
    give: Effect.sync(release),
    inUse: Effect.sync(() => permits - free)
  }
}
