/** When each shard of the outbox is to be looked at: with `SeenKeys`, all that is held in memory of what waits. */
import { shardCount } from "./EntryName.ts"

/** The next time of each shard. */
export class Timetable {
  private readonly times = new Float64Array(shardCount).fill(Number.POSITIVE_INFINITY)
  private last = shardCount - 1

  /** By the monotonic clock, in milliseconds; the earliest of several counts. */
  add(shard: number, time: number): void {
    this.times[shard] = Math.min(this.times[shard] ?? time, time)
  }

  /**
   * A shard whose time has come, and which then has none: the next one behind the last that was given, so that none is left
   * waiting by others. Else milliseconds until the next one's time; infinite where no shard has one.
   */
  take(now: number): { readonly shard: number } | { readonly wait: number } {
    let earliest = Number.POSITIVE_INFINITY
    for (let step = 1; step <= shardCount; step++) {
      const shard = (this.last + step) % shardCount
      const time = this.times[shard] ?? Number.POSITIVE_INFINITY
      if (time <= now) {
        this.last = shard
        this.times[shard] = Number.POSITIVE_INFINITY
        return { shard }
      }
      earliest = Math.min(earliest, time)
    }
    return { wait: earliest - now }
  }
}
