/**
 * How fast a body comes, and when that is too slow: a sender that drips a byte now and then would hold its place for ever.
 *
 * Only the time counts in which the relay waits for the sender: where the disk is slower, the sender waits for the disk.
 */
import { Duration, Effect, Schedule } from "effect"
import { RequestTimeout } from "../RelayError.ts"
import type { StreamReader } from "./StreamReader.ts"

/** How slow a body may be. */
export interface PaceLimits {
  /** So long a body may stand still; and over so long its rate is averaged. */
  readonly idle: Duration.Duration
  /** Bytes a second; 0: any rate will do. */
  readonly minRate: number
  /** What sets this rate, for who is told that the body was too slow. */
  readonly minRateSetBy?: string
}

/** Who waits for a body's bytes. */
export type Reading = Pick<StreamReader<unknown>, "isWaiting" | "received">

/** The pace of one body. */
export interface BodyPace {
  /** So many bytes came. */
  readonly came: (bytes: number) => void
  /** So many milliseconds were waited for more; gives why that was too long, if it was. */
  readonly waited: (millis: number) => RequestTimeout | undefined
}

const stalled = new RequestTimeout({ message: "the body stopped coming (limits.body_idle_timeout)" })

/** The pace of a body of which nothing has come. */
export const make = ({ idle, minRate, minRateSetBy = "min_rate" }: PaceLimits): BodyPace => {
  const period = Duration.toMillis(idle)
  const least = (minRate * period) / 1000
  /** Milliseconds since the last byte. */
  let quiet = 0
  /** Milliseconds and bytes of the period that has begun. */
  let elapsed = 0
  let received = 0
  return {
    came: (bytes) => {
      quiet = 0
      received += bytes
    },
    waited: (millis) => {
      quiet += millis
      elapsed += millis
      if (quiet >= period) return stalled
      if (elapsed < period) return undefined
      if (received < least)
        return new RequestTimeout({ message: `the body comes too slowly (${minRateSetBy})` })
      elapsed = 0
      received = 0
      return undefined
    }
  }
}

/** Fails when a body comes too slowly; never succeeds. */
export const watch = (
  pace: BodyPace,
  idle: Duration.Duration,
  reading: Reading
): Effect.Effect<never, RequestTimeout> => {
  const period = Duration.toMillis(idle)
  // Time is counted in looks, not taken from the clock: a daemon that was stopped (SIGSTOP) does not blame its senders.
  const interval = period / Math.max(1, Math.ceil(period / 1000))
  return Effect.suspend(() => {
    let seen = reading.received()
    const look = Effect.suspend(() => {
      const received = reading.received()
      if (received > seen) pace.came(received - seen)
      seen = received
      return reading.isWaiting() ? (pace.waited(interval) ?? Effect.void) : Effect.void
    })
    return look.pipe(
      Effect.schedule(Schedule.spaced(Duration.millis(interval))),
      Effect.andThen(Effect.never)
    )
  })
}

/**
 * Does something with a body, unless that comes too slowly meanwhile. Who is interrupted meanwhile goes on when both are
 * over: what they work with, such as a file that is being made, may be closed then. Effect's race alone leaves them behind.
 */
export const within =
  (limits: PaceLimits, reading: Reading) =>
  <A, E, R>(use: Effect.Effect<A, E, R>): Effect.Effect<A, E | RequestTimeout, R> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.raceFirst(restore(use), restore(watch(make(limits), limits.idle, reading)))
    )
