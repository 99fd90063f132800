/** Room for the output of all runs: on the disk, and in memory on its way there. */

/** More bytes than this on their way to the disk, and agents are asked to wait. */
const maxInFlight = 2 * 1024 * 1024

/** The bounds that all journals share. */
export class JournalRoom {
  private inFlight = 0
  private readonly paused = new Set<() => void>()
  /** Bytes of the journals of runs that go on; those that are over can make way. */
  private active = 0
  private readonly maxActive: number

  /** @param maxActive bytes that the journals of runs that go on may hold together */
  constructor(maxActive: number) {
    this.maxActive = maxActive
  }

  /** Takes room for output in a journal; false when there is none and the bytes must be dropped. */
  reserve(bytes: number): boolean {
    if (this.active + bytes > this.maxActive) return false
    this.active += bytes
    return true
  }

  /** A journal is over: its bytes may be removed to make room. */
  release(bytes: number): void {
    this.active -= bytes
  }

  /** Bytes of the journals of runs that go on. */
  get held(): number {
    return this.active
  }

  enter(bytes: number): void {
    this.inFlight += bytes
  }

  leave(bytes: number): void {
    this.inFlight -= bytes
    if (this.inFlight > maxInFlight / 2) return
    for (const resume of this.paused) resume()
    this.paused.clear()
  }

  /** False when too much is on its way to the disk; then `resume` is called once there is room again. */
  accepting(resume: () => void): boolean {
    if (this.inFlight <= maxInFlight) return true
    this.paused.add(resume)
    return false
  }
}
