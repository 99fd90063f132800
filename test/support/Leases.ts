/** Leases in memory, for relays that a test has beside each other. */
import { Effect, Layer } from "effect"
import { FolderTaken, Lease } from "../../src/disk/Lease.ts"

/** Folders are free at first; those who share the layer's leases exclude each other. */
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

/** Nobody else is there. */
export const alone = () => new Leases().of("the only one")
