/** Who may call which routes: by address, or by client certificate. */

import { lookup } from "node:dns/promises"
import { Clock, Context, Duration, Effect, type Either, Layer, Option, Ref, Schedule } from "effect"
import { RelayConfig } from "../RelayConfig.ts"
import { AccessDenied } from "../RelayError.ts"
import * as KeyHash from "../topology/KeyHash.ts"
import { NodesList } from "../topology/NodesList.ts"
import * as AddressSet from "./AddressSet.ts"
import type { Caller } from "./Caller.ts"
import { clientAddress } from "./ClientAddress.ts"

/** The rows of the contract's table. */
export type RouteKind = "policyServer" | "nodes" | "sharedFolder" | "admin"

export interface AccessService {
  readonly check: (kind: RouteKind, caller: Caller) => Effect.Effect<void, AccessDenied>
  /** Whose request it is: for bounds per address, and for logs. */
  readonly clientAddress: (caller: Caller) => Either.Either<string, AccessDenied>
}

/** Looks up all addresses of a host name. */
export class Resolver extends Context.Reference<Resolver>()("rudder-relay/Resolver", {
  defaultValue: () => ({
    resolve: (name: string): Effect.Effect<ReadonlyArray<string>, Error> =>
      Effect.tryPromise({
        try: async () => (await lookup(name, { all: true })).map(({ address }) => address),
        catch: (cause) => (cause instanceof Error ? cause : new Error(String(cause)))
      })
  })
}) {}

export class Access extends Context.Tag("rudder-relay/Access")<Access, AccessService>() {
  /** Names are resolved at the start and again every minute. */
  static readonly layer = Layer.scoped(
    Access,
    Effect.suspend(() => make)
  )
}

const resolveInterval = Duration.minutes(1)
const logInterval = Duration.toMillis("1 minute")
const maxLogged = 1000

/** The key that an administrator sets to let a caller in. */
const keyOf: Record<RouteKind, string> = {
  policyServer: "access.policy_server",
  nodes: "access.nodes",
  sharedFolder: "access.trusted_proxies",
  admin: "access.admin"
}

/** A set whose names are resolved again and again; a name that fails keeps the addresses it had. */
const followed = (entries: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const resolver = yield* Resolver
    const names = entries.filter(AddressSet.isName)
    const fixed = entries.filter((entry) => !AddressSet.isName(entry))
    const addresses = new Map<string, ReadonlyArray<string>>()
    const failing = new Set<string>()
    const set = yield* Ref.make(AddressSet.make(fixed))

    const resolveName = (name: string) =>
      resolver.resolve(name).pipe(
        Effect.matchEffect({
          onSuccess: (found) =>
            Effect.sync(() => {
              failing.delete(name)
              addresses.set(name, found)
            }),
          onFailure: (error) => {
            const known = failing.has(name)
            failing.add(name)
            return known
              ? Effect.void
              : Effect.logWarning("a host name of the access rules can't be resolved").pipe(
                  Effect.annotateLogs({ name, error: error.message })
                )
          }
        })
      )
    const resolveAll = Effect.forEach(names, resolveName, { concurrency: 8, discard: true }).pipe(
      Effect.andThen(
        Effect.suspend(() => Ref.set(set, AddressSet.make([...fixed, ...[...addresses.values()].flat()])))
      )
    )
    // A resolver that hangs must not keep the relay from starting.
    if (names.length > 0)
      yield* Effect.forkScoped(Effect.repeat(resolveAll, Schedule.spaced(resolveInterval)))
    return Ref.get(set)
  })

/** Says once a minute for each address and key that it was refused. */
const makeRefusal = Effect.sync(() => {
  const logged = new Map<string, number>()
  return (kind: RouteKind, address: string) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const entry = `${kind} ${address}`
      if (now - (logged.get(entry) ?? Number.NEGATIVE_INFINITY) >= logInterval) {
        if (logged.size >= maxLogged) logged.clear()
        logged.set(entry, now)
        yield* Effect.logWarning("a caller was refused; to let it in, add it to the configuration").pipe(
          Effect.annotateLogs({ address, key: keyOf[kind] })
        )
      }
      return yield* new AccessDenied({ message: `${address} may not call this` })
    })
})

const make = Effect.gen(function* () {
  const { access, output } = yield* RelayConfig
  const nodesList = yield* NodesList
  const upstream = Option.toArray(output.upstream.host)
  const proxies = yield* followed(Option.getOrElse(access.trustedProxies, () => AddressSet.loopback))
  const sets = {
    policyServer: yield* followed(
      Option.getOrElse(access.policyServer, () => [...AddressSet.loopback, ...upstream])
    ),
    nodes: yield* followed(Option.getOrElse(access.nodes, () => AddressSet.any)),
    admin: yield* followed(Option.getOrElse(access.admin, () => AddressSet.loopback))
  }
  const refuse = yield* makeRefusal

  const isPolicyServer = ({ certificate }: Caller) =>
    Option.exists(certificate, ({ keyHash }) => access.policyServerKeyHash.includes(keyHash))

  /** A client certificate with a known node's id and that node's key. */
  const isNode = ({ certificate }: Caller) =>
    Effect.map(nodesList.current, (nodes) =>
      Option.exists(certificate, ({ uid, x509 }) =>
        uid.pipe(
          Option.flatMap(nodes.get),
          Option.flatMap((node) => node.keyHash),
          Option.exists((keyHash) => KeyHash.matches(keyHash, x509.publicKey))
        )
      )
    )

  const check = (kind: RouteKind, caller: Caller) =>
    Effect.gen(function* () {
      const trusted = yield* proxies
      if (kind === "policyServer" && isPolicyServer(caller)) return
      if (kind === "sharedFolder") {
        if (trusted(caller.peer) || (yield* isNode(caller))) return
        return yield* refuse(kind, caller.peer)
      }
      const address = yield* clientAddress(caller.peer, caller.forwardedFor, trusted)
      if (!(yield* sets[kind])(address)) return yield* refuse(kind, address)
    })

  return Access.of({
    check,
    clientAddress: (caller) => clientAddress(caller.peer, caller.forwardedFor, Effect.runSync(proxies))
  })
})
