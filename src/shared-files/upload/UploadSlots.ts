/** How many uploads there may be at once: in all, from one address, and from one source. */
import { Effect, Either, type Scope } from "effect"
import * as Acquired from "../../Acquired.ts"
import * as AddressBlock from "../../access/AddressBlock.ts"
import type { NodeId } from "../../NodeId.ts"
import { TooBusy } from "../../RelayError.ts"

/** Whose upload it is. */
export interface Uploader {
  readonly address: string
  /** Who it says it is: known here, and not proved yet. */
  readonly source: NodeId
}

/** The bound on uploads at once. */
export interface UploadSlots {
  /** Holds a slot while the effect runs, in a scope of its own; fails at once where there is none. */
  readonly take: (
    uploader: Uploader
  ) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | TooBusy, Exclude<R, Scope.Scope>>
}

const busy = (key: string) =>
  new TooBusy({ message: `too many uploads at once (shared_files.${key})`, retryAfterSeconds: 5 })

/** An address, or a source, is held only while it has an upload. */
export const make = (most: number, mostPerAddress: number): UploadSlots => {
  const taken = new Map<string, number>()
  let all = 0
  /** Neither is text that the other can be. */
  const countedAs = ({ address, source }: Uploader) => [
    `address ${AddressBlock.of(address)}`,
    `source ${source}`
  ]
  const enter = (uploader: Uploader): Either.Either<ReadonlyArray<string>, TooBusy> => {
    const keys = countedAs(uploader)
    if (all >= most) return Either.left(busy("max_uploads"))
    if (keys.some((key) => (taken.get(key) ?? 0) >= mostPerAddress))
      return Either.left(busy("max_uploads_per_address"))
    all++
    for (const key of keys) taken.set(key, (taken.get(key) ?? 0) + 1)
    return Either.right(keys)
  }
  const leave = (keys: ReadonlyArray<string>): void => {
    all--
    for (const key of keys) {
      const own = (taken.get(key) ?? 1) - 1
      if (own === 0) taken.delete(key)
      else taken.set(key, own)
    }
  }
  const take =
    (uploader: Uploader) =>
    <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.uninterruptibleMask((restore): Effect.Effect<A, E | TooBusy, Exclude<R, Scope.Scope>> => {
        const keys = enter(uploader)
        if (Either.isLeft(keys)) return keys.left
        // What was acquired is let go, and then the slot.
        return Acquired.scoped(restore(effect), () => leave(keys.right))
      })
  return { take }
}
