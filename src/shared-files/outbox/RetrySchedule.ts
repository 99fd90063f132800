/** When what failed is tried again. */
import { Chunk, type Duration, Effect, Schedule } from "effect"

/** Of `shared_files.retry`. */
export interface RetrySettings {
  /** The longest that the first delay may be. */
  readonly initial: Duration.Duration
  /** No delay is longer. */
  readonly max: Duration.Duration
}

/** Each delay is twice as long as the one before, up to a fifth shorter than that by chance, at most `max`; without end. */
export const retrySchedule = ({ initial, max }: RetrySettings) =>
  Schedule.exponential(initial).pipe(
    Schedule.union(Schedule.spaced(max)),
    Schedule.jitteredWith({ min: 0.8, max: 1 })
  )

/** The longest delay is reached long before; further steps change nothing. */
const maxSteps = 40

/** The delay behind the n-th failure in a row, for what goes on after a restart: n comes from the disk. */
export const delayAfter = (settings: RetrySettings, failures: number): Effect.Effect<Duration.Duration> =>
  Effect.gen(function* () {
    const steps = Math.min(Math.max(1, failures), maxSteps)
    const delays = yield* Schedule.run(
      Schedule.delays(retrySchedule(settings)),
      0,
      Array.from({ length: steps })
    )
    return Chunk.reduce(delays, settings.initial, (_, delay) => delay)
  })
