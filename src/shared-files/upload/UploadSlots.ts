/** How many uploads there may be at once: in all, and from one address. */
import { Effect } from "effect"
import { TooBusy } from "../../RelayError.ts"

export interface UploadSlots {
  /** Holds a slot while the effect runs; fails at once where there is none. */
  readonly take: (
    address: string
  ) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | TooBusy, R>
}

const busy = (key: string) =>
  new TooBusy({ message: `too many uploads at once (shared_files.${key})`, retryAfterSeconds: 5 })

/** An address is held only while it has an upload. */
export const make = (most: number, mostPerAddress: number): UploadSlots => {
  const taken = new Map<string, number>()
  let all = 0
  const enter = (address: string) =>
    Effect.suspend(() => {
      const own = taken.get(address) ?? 0
      if (all >= most) return Effect.fail(busy("max_uploads"))
      if (own >= mostPerAddress) return Effect.fail(busy("max_uploads_per_address"))
      all++
      taken.set(address, own + 1)
      return Effect.void
    })
  const leave = (address: string) =>
    Effect.sync(() => {
      all--
      const own = (taken.get(address) ?? 1) - 1
      if (own === 0) taken.delete(address)
      else taken.set(address, own)
    })
  return {
    take: (address) => (effect) =>
      Effect.acquireUseRelease(
        enter(address),
        () => effect,
        () => leave(address)
      )
  }
}
