/** Leases on folders, in memory: nothing is written into the folders. */
import { Effect, Layer } from "effect"
import { FolderTaken, Lease } from "../disk/Lease.ts"

/**
 * Folders are free at first; relays that share the leases exclude each other, as two daemons do on one machine.
 *
 * @example
 * const leases = new Leases()
 * const one = Relay.liveWith(leases.of("one"))
 * const other = Relay.liveWith(leases.of("other")) // waits, and fails, where `one` has its folders
 */
export class Leases {
  private readonly holders = new Map<string, string>()

  /** The leases as one relay has them. */
  readonly of = (relay: string) =>
    Layer.succeed(Lease, {
      take: (folder) =>
        Effect.asVoid(
          Effect.acquireRelease(
            Effect.suspend(() => {
              const holder = this.holders.get(folder)
              if (holder !== undefined) return new FolderTaken({ holder })
              return Effect.sync(() => this.holders.set(folder, relay))
            }),
            () => Effect.sync(() => this.holders.delete(folder))
          )
        )
    })
}

/** `Lease` for one relay: nobody else is there. */
export const alone = () => new Leases().of("the only one")
