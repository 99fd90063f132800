/** Host names to addresses. */
import { lookup } from "node:dns/promises"
import { Context, Data, Effect } from "effect"

/** A name that has no address now, or a resolver that does not answer. */
export class ResolveError extends Data.TaggedError("ResolveError")<{ readonly message: string }> {}

/** Finds the addresses of host names. */
export interface ResolverService {
  /** All addresses of a host name, IPv4 and IPv6. */
  readonly resolve: (name: string) => Effect.Effect<ReadonlyArray<string>, ResolveError>
}

/** As the system resolves names (hosts file, DNS), unless another one is provided. */
export class Resolver extends Context.Reference<Resolver>()("rudder-relay/Resolver", {
  defaultValue: (): ResolverService => ({
    resolve: (name) =>
      Effect.tryPromise({
        try: async () => (await lookup(name, { all: true })).map(({ address }) => address),
        catch: (cause) =>
          new ResolveError({ message: cause instanceof Error ? cause.message : String(cause) })
      })
  })
}) {}
