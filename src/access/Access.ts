/** Who may call which routes: by address, or by client certificate. */
import { Context, Effect, Either, Layer, Option } from "effect"
import * as Counters from "../Counters.ts"
import * as AccessEntry from "../config/AccessEntry.ts"
import { RelayConfig } from "../config/RelayConfig.ts"
import type { Settings } from "../config/Settings.ts"
import { AccessDenied } from "../RelayError.ts"
import * as KeyHash from "../topology/KeyHash.ts"
import { NodesList } from "../topology/NodesList.ts"
import * as AddressSet from "./AddressSet.ts"
import type { Caller } from "./Caller.ts"
import { clientAddress } from "./ClientAddress.ts"
import * as FollowedSets from "./FollowedSets.ts"
import * as RefusalLog from "./RefusalLog.ts"
import type { RouteKind } from "./RouteAccess.ts"

/** Says who may call. */
export interface AccessService {
  /**
   * Whether this caller may use routes of this kind.
   *
   * - `policyServer`: its address is in `access.policy_server`, or its certificate's key hash in
   *   `access.policy_server_key_hash`.
   * - `nodes`, `admin`: its address is in the rule of that name.
   * - `sharedFolder`: the connection comes from a trusted proxy, which has checked the caller (also when it forwards for
   *   nobody: not every proxy says so, and a local process could say so as well), or the certificate is a known
   *   node's, by id and key.
   *
   * A refusal is logged with the address and the key that would let it in.
   */
  readonly check: (kind: RouteKind, caller: Caller) => Effect.Effect<void, AccessDenied>
  /** Whose request it is, for bounds per address and for logs: one text for one address. */
  readonly clientAddress: (caller: Caller) => Either.Either<string, AccessDenied>
}

/** Who may call; `layer` goes by the configuration. */
export class Access extends Context.Tag("rudder-relay/Access")<Access, AccessService>() {
  /** By the rules of the configuration. Names in them are resolved at the start (for 2 s at most) and every minute. */
  static readonly layer = Layer.scoped(
    Access,
    Effect.suspend(() => make)
  )
}

/** The key that an administrator sets to let a caller in. */
const keyOf = {
  policyServer: "access.policy_server",
  nodes: "access.nodes",
  sharedFolder: "access.trusted_proxies",
  admin: "access.admin"
} as const satisfies Record<RouteKind, string>

/** The policy server's host name: that of its URL where only that is configured. */
const upstreamHost = ({ host, url }: Settings["output"]["upstream"]): ReadonlyArray<string> =>
  Option.toArray(
    Option.orElse(host, () => Option.map(url, ({ hostname }) => hostname.replace(/^\[(.*)\]$/, "$1")))
  )

/** The rules in force: what is configured, each key by itself, else the contract's defaults. */
const rulesOf = ({ access, output }: Settings) => ({
  policyServer: Option.getOrElse(access.policyServer, () => [
    ...AddressSet.loopback,
    ...upstreamHost(output.upstream)
  ]),
  nodes: Option.getOrElse(access.nodes, () => AddressSet.any),
  admin: Option.getOrElse(access.admin, () => AddressSet.loopback),
  trustedProxies: Option.getOrElse(access.trustedProxies, () => AddressSet.loopback)
})

/** Browsers are refused by `Admission`. */
export const countRefusal = Counters.family(
  "access_refusals_total",
  "Callers that were refused, by the rule that refused them",
  "rule",
  [...Object.values(keyOf), "browser"]
)

const aboutOf = ({ certificate, peer }: Caller, address: string): Record<string, string> => ({
  ...(AccessEntry.normalizeAddress(peer) === address ? {} : { peer }),
  ...Option.match(certificate, {
    onNone: () => ({}),
    onSome: ({ keyHash }) => ({ key_hash: keyHash })
  })
})

const make = Effect.gen(function* () {
  const settings = yield* RelayConfig
  const nodesList = yield* NodesList
  const sets = yield* FollowedSets.make(rulesOf(settings))
  const log = yield* RefusalLog.make

  const isPolicyServer = ({ certificate }: Caller) =>
    Option.exists(certificate, ({ keyHash }) => settings.access.policyServerKeyHash.includes(keyHash))

  /** Its certificate has a known node's id and that node's key; the handshake has proved that it holds the key. */
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

  const addressOf = (caller: Caller) =>
    clientAddress(caller.peer, caller.forwardedFor, sets("trustedProxies"))

  const refuse = (kind: RouteKind, caller: Caller, address: string) =>
    Effect.gen(function* () {
      const key = keyOf[kind]
      countRefusal(key)
      yield* log("a caller was refused", { address, key, about: aboutOf(caller, address) })
      return yield* new AccessDenied({
        message: `${address} may not call this: it is not in ${key} of the relay's configuration`
      })
    })

  const refuseForwarded = (error: AccessDenied, { peer }: Caller) =>
    Effect.gen(function* () {
      const address = AccessEntry.normalizeAddress(peer)
      countRefusal(keyOf.sharedFolder)
      if (address !== undefined)
        yield* log("a caller was refused: the X-Forwarded-For of a trusted proxy can't be read", {
          address,
          key: keyOf.sharedFolder
        })
      return yield* error
    })

  const checkAddress = (kind: Exclude<RouteKind, "sharedFolder">, caller: Caller) => {
    const address = addressOf(caller)
    if (Either.isLeft(address)) return refuseForwarded(address.left, caller)
    return sets(kind)(address.right) ? Effect.void : refuse(kind, caller, address.right)
  }

  const checkSharedFolder = (caller: Caller) =>
    Effect.gen(function* () {
      if (sets("trustedProxies")(caller.peer) || (yield* isNode(caller))) return
      const peer = AccessEntry.normalizeAddress(caller.peer) ?? "a connection without an address"
      return yield* refuse("sharedFolder", caller, peer)
    })

  return Access.of({
    check: (kind, caller) => {
      if (kind === "sharedFolder") return checkSharedFolder(caller)
      return kind === "policyServer" && isPolicyServer(caller) ? Effect.void : checkAddress(kind, caller)
    },
    clientAddress: addressOf
  })
})
