/** A clock that stands still until a test moves it, and costs no time of the machine's: for many short runs. */
import { Clock, Duration, Effect } from "effect"

interface Sleeper {
  readonly until: number
  readonly wake: () => void
}

export class ManualClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  /** Milliseconds that have gone by. */
  private elapsed = 0
  /** What the wall clock said at the beginning, and what it was set by since. */
  private offset: number
  private sleepers: ReadonlyArray<Sleeper> = []

  /** @param start milliseconds since 1970 */
  constructor(start: number) {
    this.offset = start
  }

  unsafeCurrentTimeMillis(): number {
    return this.offset + this.elapsed
  }

  unsafeCurrentTimeNanos(): bigint {
    return BigInt(this.elapsed) * 1_000_000n
  }

  readonly currentTimeMillis = Effect.sync(() => this.unsafeCurrentTimeMillis())
  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.async((resume) => {
      const sleeper = {
        until: this.elapsed + Math.ceil(Duration.toMillis(duration)),
        wake: () => resume(Effect.void)
      }
      this.sleepers = [...this.sleepers, sleeper]
      return Effect.sync(() => {
        this.sleepers = this.sleepers.filter((one) => one !== sleeper)
      })
    })
  }

  /** Somebody sets the wall clock; the time that goes by is not changed by that. */
  set(byMillis: number): void {
    this.offset += byMillis
  }

  /**
   * So many milliseconds go by. At each moment until which somebody sleeps they are woken, and what that sets off comes
   * to rest.
   */
  pass<E, R>(millis: number, rest: Effect.Effect<void, E, R>): Effect.Effect<void, E, R> {
    return Effect.gen(this, function* () {
      const end = this.elapsed + millis
      yield* rest
      while (this.elapsed < end || this.sleepers.some(({ until }) => until <= end)) {
        const next = Math.min(end, ...this.sleepers.map(({ until }) => until))
        this.elapsed = Math.max(this.elapsed, next)
        const due = this.sleepers.filter(({ until }) => until <= this.elapsed)
        this.sleepers = this.sleepers.filter((one) => !due.includes(one))
        for (const { wake } of due) wake()
        yield* rest
      }
    })
  }
}
