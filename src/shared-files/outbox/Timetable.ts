/** When each shard of the outbox is to be looked at: all that is held in memory of what waits. */
import { shardCount } from "./EntryName.ts"

export class Timetable {
  private readonly times = new Float64Array(shardCount).fill(Number.POSITIVE_INFINITY)
  private last = shardCount - 1

  /** By the monotonic clock, in milliseconds; the earliest of several counts. */
  add(shard: number, time: number): void {
    this.times[shard] = Math.min(this.times[shard] ?? time, time)
  }

  /** A shard whose time has come, each in its turn, which then has none; else milliseconds until the next one's. */
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
