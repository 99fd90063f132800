/**
 * The time-outs of the agents of one run. All may take equally long, so they come to their deadlines in the order of
 * their starts, and one fiber that waits for the first is enough: a race with a timer for each agent costs three fibers.
 */
import { Clock, Duration, Effect, type Fiber, FiberId, type Scope } from "effect"

/** An agent's time. */
export interface Deadline {
  /** It was over before the agent was, whose fiber has been interrupted for that reason. */
  readonly isOver: () => boolean
  /** The agent is over. */
  readonly drop: () => void
}

/** The time-outs of the agents that run. */
export interface Deadlines {
  /**
   * The fiber is interrupted when its time is over, which `over` is told. `now` in milliseconds, by Effect's `Clock`.
   */
  readonly begin: (fiber: Fiber.RuntimeFiber<unknown, unknown>, now: number, over?: () => void) => Deadline
}

interface Entry {
  readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  /** Milliseconds, by Effect's `Clock`. */
  readonly at: number
  readonly over: (() => void) | undefined
  isOver: boolean
}

/** At the end of the scope no fiber is interrupted any more. */
export const make = (timeout: Duration.Duration): Effect.Effect<Deadlines, never, Scope.Scope> =>
  Effect.gen(function* () {
    /** In the order of their deadlines. */
    const entries = new Set<Entry>()
    const begun = yield* Effect.makeLatch()

    const endFirst = Effect.gen(function* () {
      const [first] = entries
      if (first === undefined) {
        begun.unsafeClose()
        return yield* begun.await
      }
      const left = first.at - (yield* Clock.currentTimeMillis)
      if (left > 0) return yield* Effect.sleep(left)
      entries.delete(first)
      first.isOver = true
      first.over?.()
      first.fiber.unsafeInterruptAsFork(FiberId.none)
    })
    yield* Effect.forkScoped(Effect.interruptible(Effect.forever(endFirst)))

    return {
      begin: (fiber, now, over) => {
        const entry: Entry = { fiber, at: now + Duration.toMillis(timeout), over, isOver: false }
        entries.add(entry)
        begun.unsafeOpen()
        return { isOver: () => entry.isOver, drop: () => void entries.delete(entry) }
      }
    }
  })
