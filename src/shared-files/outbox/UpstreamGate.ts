/**
 * How much is sent to the policy server at once: several while it answers, nothing but one probe now and then while it
 * can't be reached.
 */
import { Clock, Duration, Effect, Option } from "effect"
import * as FiberClock from "../../FiberClock.ts"
import * as Line from "../../Line.ts"
import { delayAfter, type RetrySettings } from "./RetrySchedule.ts"

/** Leave to send one thing. */
export interface Permit {
  /** The policy server answered, whatever it said. */
  readonly answered: () => void
  /** It can't be reached. Of all that were under way, the first to say so pauses the rest. */
  readonly failed: (message: string) => Effect.Effect<void>
  /**
   * Nothing more is sent with this: somebody else may send, while its bearer sees to what was taken. So many do that as may
   * send at once; past them the place is kept to the end.
   */
  readonly sent: () => void
  /** Always at the end. */
  readonly release: () => void
}

/** What the gate knows of the policy server. */
export interface GateStatus {
  /** What the last failure was, as long as nothing was answered since. */
  readonly problem: Option.Option<string>
  /** When it answered last: milliseconds since 1970. None: not since the start. */
  readonly answered: Option.Option<number>
  /** Milliseconds until the next probe may go; 0 while the gate is open, or a probe is under way. */
  readonly pause: number
}

/** Who sends something to the policy server comes through here. */
export interface UpstreamGate {
  /**
   * Waits until one more thing may be sent, be it as a probe. To be entered where nothing interrupts but the wait itself,
   * which always can be: between the permit and whoever is to release it, it would be lost.
   */
  readonly enter: Effect.Effect<Permit>
  /** The policy server was seen to answer. */
  readonly answered: Effect.Effect<void>
  /** It did not answer what was asked besides: it is told, and nothing is held back yet. */
  readonly unanswered: (message: string) => Effect.Effect<void>
  /** A probe may go now. */
  readonly probeNow: Effect.Effect<void>
  /** What is known now. */
  readonly status: Effect.Effect<GateStatus>
}

/** So many are sent at once. */
export const maxSending = 8

interface Parts {
  readonly retry: RetrySettings
  /** Places that are taken. */
  taken: number
  /** Those who have left their place, and still see to what was taken. */
  finishing: number
  /** Those who wait for one, in their order: each is given the place that somebody leaves. */
  readonly line: Line.Line
  open: boolean
  probing: boolean
  /** In a row, by probes. */
  failures: number
  /** By the monotonic clock: the wall's may be set. Milliseconds. */
  nextProbe: number
  problem: Option.Option<string>
  lastAnswer: Option.Option<number>
  /** Opens at the next change, for good: who has seen what was before waits for this one, and misses none. */
  changed: Effect.Latch
}

/** A gate that is closed at first, but for the probe that finds out. */
export const make = (retry: RetrySettings): UpstreamGate => {
  const parts: Parts = {
    retry,
    taken: 0,
    finishing: 0,
    line: [],
    open: false,
    probing: false,
    failures: 0,
    nextProbe: 0,
    problem: Option.none(),
    lastAnswer: Option.none(),
    changed: Effect.unsafeMakeLatch(false)
  }
  return {
    enter: enter(parts),
    answered: Effect.map(Clock.currentTimeMillis, (now) => {
      reopen(parts, now)
      change(parts)
    }),
    unanswered: (message) => unanswered(parts, message),
    probeNow: Effect.sync(() => {
      parts.nextProbe = 0
      change(parts)
    }),
    status: Effect.map(FiberClock.monotonic, (now) => statusAt(parts, now))
  }
}

/** Those who wait look again. */
const change = (parts: Parts): void => {
  const before = parts.changed
  parts.changed = Effect.unsafeMakeLatch(false)
  before.unsafeOpen()
}

const reopen = (parts: Parts, now: number): void => {
  parts.lastAnswer = Option.some(now)
  parts.open = true
  parts.failures = 0
  parts.problem = Option.none()
}

const close = (parts: Parts, message: string) =>
  Effect.gen(function* () {
    if (parts.open || parts.failures === 0)
      yield* Effect.logWarning("the policy server can't be reached; what waits for it is held back").pipe(
        Effect.annotateLogs({ error: message })
      )
    parts.open = false
    parts.failures++
    parts.problem = Option.some(message)
    const delay = yield* delayAfter(parts.retry, parts.failures)
    parts.nextProbe = (yield* FiberClock.monotonic) + Math.ceil(Duration.toMillis(delay))
  })

/** Some find a place at once. */
const enter = (parts: Parts): Effect.Effect<Permit> =>
  Effect.withFiberRuntime((fiber) => {
    const clock = FiberClock.of(fiber)
    if (parts.taken >= maxSending) return givenPlace(parts, () => admitted(parts, clock))
    parts.taken++
    return admitted(parts, clock)
  })

/** Who is interrupted there, and nothing else ends the wait otherwise, gives up the place. */
const givenPlace = (parts: Parts, then: () => Effect.Effect<Permit>): Effect.Effect<Permit> => {
  const { wait, giveUp } = Line.stand(parts.line, () => leavePlace(parts))
  return Effect.matchCauseEffect(Effect.interruptible(wait), {
    onFailure: (cause) => {
      giveUp()
      return Effect.failCause(cause)
    },
    onSuccess: then
  })
}

const leavePlace = (parts: Parts): void => {
  if (!Line.handOver(parts.line)) parts.taken--
}

/** Who has a place waits until something may be sent. To be called in a step of an effect. */
const admitted = (parts: Parts, clock: Clock.Clock): Effect.Effect<Permit> =>
  parts.open ? Effect.succeed(permit(parts, clock, false)) : admittedByTime(parts, clock)

const admittedByTime = (parts: Parts, clock: Clock.Clock): Effect.Effect<Permit> =>
  Effect.flatMap(decide(parts, clock), (decided) =>
    "wait" in decided
      ? Effect.interruptible(decided.wait).pipe(
          Effect.onInterrupt(() => Effect.sync(() => leavePlace(parts))),
          Effect.andThen(() => admitted(parts, clock))
        )
      : Effect.succeed(decided)
  )

/** A permit, or what to wait for: the next change behind what was seen here, or the time of the next probe. */
const decide = (parts: Parts, clock: Clock.Clock) =>
  Effect.map(FiberClock.monotonic, (now): Permit | { readonly wait: Effect.Effect<unknown> } => {
    if (parts.open) return permit(parts, clock, false)
    const change = parts.changed.await
    if (parts.probing) return { wait: change }
    if (parts.nextProbe > now) return { wait: Effect.timeoutOption(change, parts.nextProbe - now) }
    parts.probing = true
    return permit(parts, clock, true)
  })

const permit = (parts: Parts, clock: Clock.Clock, isProbe: boolean): Permit => {
  let isMine = isProbe
  let isSent = false
  // A probe is over once it was answered, or failed: nobody has to wait for what else its bearer does.
  const endProbe = () => {
    if (!isMine) return
    isMine = false
    parts.probing = false
    change(parts)
  }
  return {
    answered: () => {
      const wasOpen = parts.open
      reopen(parts, clock.unsafeCurrentTimeMillis())
      endProbe()
      if (!wasOpen) change(parts)
    },
    // Others that were under way when the first one failed say the same thing once more.
    failed: (message) =>
      Effect.suspend(() => (parts.open || isMine ? close(parts, message) : Effect.void)).pipe(
        Effect.andThen(Effect.sync(endProbe))
      ),
    sent: () => {
      if (isSent || parts.finishing >= maxSending) return
      isSent = true
      parts.finishing++
      leavePlace(parts)
    },
    release: () => {
      endProbe()
      if (isSent) parts.finishing--
      else leavePlace(parts)
    }
  }
}

const unanswered = (parts: Parts, message: string) =>
  Effect.suspend(() => {
    if (Option.isSome(parts.problem)) return Effect.void
    parts.problem = Option.some(message)
    return Effect.logWarning("the policy server does not answer").pipe(
      Effect.annotateLogs({ error: message })
    )
  })

const statusAt = ({ problem, lastAnswer, open, probing, nextProbe }: Parts, now: number): GateStatus => ({
  problem,
  answered: lastAnswer,
  pause: open || probing ? 0 : Math.max(0, nextProbe - now)
})
