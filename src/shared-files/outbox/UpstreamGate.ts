/**
 * How much is sent to the policy server at once: several while it answers, nothing but one probe now and then while it
 * can't be reached.
 */
import { Clock, Deferred, Duration, Effect, FiberId, Option } from "effect"
import { delayAfter, type RetrySettings } from "./RetrySchedule.ts"

/** Leave to send one thing. */
export interface Pass {
  /** The policy server answered, whatever it said. */
  readonly answered: Effect.Effect<void>
  /** It can't be reached. Of all that were under way, the first to say so pauses the rest. */
  readonly failed: (message: string) => Effect.Effect<void>
  /** Always at the end. */
  readonly release: Effect.Effect<void>
}

export interface GateStatus {
  /** What the last failure was, as long as nothing was answered since. */
  readonly problem: Option.Option<string>
  /** Milliseconds until the next probe may go; 0 while the gate is open, or a probe is under way. */
  readonly pause: number
}

export interface UpstreamGate {
  /** Waits for its turn, be it as a probe. */
  readonly enter: Effect.Effect<Pass>
  /** The policy server was seen to answer. */
  readonly answered: Effect.Effect<void>
  /** It did not answer what was asked besides: it is told, and nothing is held back yet. */
  readonly unanswered: (message: string) => Effect.Effect<void>
  /** A probe may go now. */
  readonly probeNow: Effect.Effect<void>
  readonly status: Effect.Effect<GateStatus>
}

/** So many are sent at once. */
export const maxSending = 8

const monotonic = Effect.map(Clock.currentTimeNanos, (nanos) => Number(nanos / 1_000_000n))

/** Closed at first, but for the probe that finds out. */
export const make = (retry: RetrySettings): UpstreamGate => {
  const places = Effect.unsafeMakeSemaphore(maxSending)
  let open = false
  let probing = false
  /** In a row, by probes. */
  let failures = 0
  /** By the monotonic clock: the wall's may be set. Milliseconds. */
  let nextProbe = 0
  let problem = Option.none<string>()
  let changed = Deferred.unsafeMake<void>(FiberId.none)

  const tell = Effect.sync(() => {
    const before = changed
    changed = Deferred.unsafeMake<void>(FiberId.none)
    Deferred.unsafeDone(before, Effect.void)
  })

  const reopen = Effect.sync(() => {
    open = true
    failures = 0
    problem = Option.none()
  })

  const close = (message: string) =>
    Effect.gen(function* () {
      if (open || failures === 0)
        yield* Effect.logWarning("the policy server can't be reached; what waits for it is held back").pipe(
          Effect.annotateLogs({ error: message })
        )
      open = false
      failures++
      problem = Option.some(message)
      const delay = yield* delayAfter(retry, failures)
      nextProbe = (yield* monotonic) + Math.ceil(Duration.toMillis(delay))
    })

  const pass = (isProbe: boolean): Pass => {
    let mine = isProbe
    // A probe that was answered, or failed, is over; what else its bearer does is not waited for.
    const endProbe = Effect.suspend(() => {
      if (mine) probing = false
      mine = false
      return tell
    })
    return {
      answered: Effect.andThen(reopen, endProbe),
      // Others that were under way when the first one failed say the same thing once more.
      failed: (message) =>
        Effect.suspend(() => (open || mine ? close(message) : Effect.void)).pipe(Effect.andThen(endProbe)),
      release: Effect.andThen(endProbe, Effect.asVoid(places.release(1)))
    }
  }

  /** A pass, or what to wait for: the change behind what was seen here, whenever that comes. */
  const decide = Effect.map(monotonic, (now): Pass | { readonly wait: Effect.Effect<unknown> } => {
    if (open) return pass(false)
    const change = Deferred.await(changed)
    if (probing) return { wait: change }
    if (nextProbe > now) return { wait: Effect.timeoutOption(change, nextProbe - now) }
    probing = true
    return pass(true)
  })

  const enter = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      yield* restore(places.take(1))
      while (true) {
        const decided = yield* decide
        if (!("wait" in decided)) return decided
        yield* restore(decided.wait).pipe(Effect.onInterrupt(() => places.release(1)))
      }
    })
  )

  return {
    enter,
    answered: Effect.andThen(reopen, tell),
    unanswered: (message) =>
      Effect.suspend(() => {
        if (Option.isSome(problem)) return Effect.void
        problem = Option.some(message)
        return Effect.logWarning("the policy server does not answer").pipe(
          Effect.annotateLogs({ error: message })
        )
      }),
    probeNow: Effect.suspend(() => {
      nextProbe = 0
      return tell
    }),
    status: Effect.map(monotonic, (now) => ({
      problem,
      pause: open || probing ? 0 : Math.max(0, nextProbe - now)
    }))
  }
}
