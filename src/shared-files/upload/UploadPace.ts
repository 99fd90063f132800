/**
 * How fast a body comes, and when that is too slow: a sender that drips a byte now and then would hold its place for ever.
 *
 * Only the time counts in which more was wanted: where the disk is slower than the sender, the sender waits for it.
 */
import { Duration, Effect, Schedule } from "effect"
import { RequestTimeout } from "../../RelayError.ts"

export interface PaceLimits {
  /** So long a body may stand still; and over so long its rate is averaged. */
  readonly idle: Duration.Duration
  /** Bytes a second; 0: any rate will do. */
  readonly minRate: number
}

export interface UploadPace {
  /** So many bytes came. */
  readonly came: (bytes: number) => void
  /** So many milliseconds were waited for more; gives why that was too long, if it was. */
  readonly waited: (millis: number) => RequestTimeout | undefined
}

const stalled = new RequestTimeout({ message: "the body stopped coming (limits.body_idle_timeout)" })
const tooSlow = new RequestTimeout({ message: "the body comes too slowly (shared_files.min_rate)" })

export const make = ({ idle, minRate }: PaceLimits): UploadPace => {
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
      if (received < least) return tooSlow
      elapsed = 0
      received = 0
      return undefined
    }
  }
}

/**
 * Fails when a body comes too slowly; never succeeds.
 *
 * @param wanting whether more is waited for
 */
export const watch = (
  pace: UploadPace,
  idle: Duration.Duration,
  wanting: () => boolean
): Effect.Effect<never, RequestTimeout> => {
  const period = Duration.toMillis(idle)
  // By looks and not by the clock: a daemon that was stopped for a while does not blame its senders.
  const look = period / Math.max(1, Math.ceil(period / 1000))
  return Effect.suspend(() => (wanting() ? (pace.waited(look) ?? Effect.void) : Effect.void)).pipe(
    Effect.schedule(Schedule.spaced(Duration.millis(look))),
    Effect.andThen(Effect.never)
  )
}
