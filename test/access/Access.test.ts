import { createHash } from "node:crypto"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Layer, Logger, Option, TestClock } from "effect"
import { Access } from "../../src/access/Access.ts"
import type { Caller } from "../../src/access/Caller.ts"
import type { RouteKind } from "../../src/access/RouteAccess.ts"
import { type GivenSettings, makeSettings } from "../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../src/config/RelayConfig.ts"
import { nodesListLayer, nodesOf } from "../../src/testing/Topology.ts"
import { NodesList } from "../../src/topology/NodesList.ts"
import { certificateNamed } from "../support/Keys.ts"
import { ScriptedNames } from "../support/ScriptedNames.ts"

const root = certificateNamed("relay", [["UID", "root"]])
const nodeA = certificateNamed("source", [["UID", "A"]])
const keyHash = (der: Uint8Array) => `sha256//${createHash("sha256").update(der).digest("base64")}`

/** Lists A and B; A with a key, of which the hash is given. */
const nodesWithKey = (hashOfA: string) =>
  Layer.effect(
    NodesList,
    Effect.map(NodesList, (list) => {
      const nodes = nodesOf({ A: { hostname: "a" }, B: { hostname: "b" } })
      const withKey = {
        ...nodes,
        get: (id: string) =>
          Option.map(nodes.get(id), (node) =>
            id === "A" ? { ...node, keyHash: Option.some(hashOfA) } : node
          )
      }
      return NodesList.of({ ...list, current: Effect.succeed(withKey) })
    })
  ).pipe(Layer.provide(nodesListLayer({})))

interface Line {
  readonly level: string
  readonly message: string
  readonly annotations: Record<string, unknown>
}

/** Runs with the access rules of these settings, names as scripted, and the log's lines in a list. */
const withAccess = <A, E>(
  given: GivenSettings,
  use: (access: Access["Type"], names: ScriptedNames, log: Array<Line>) => Effect.Effect<A, E>,
  nodesList = nodesWithKey(keyHash(nodeA.spki))
) => {
  const names = new ScriptedNames()
  const log: Array<Line> = []
  const logger = Logger.make(({ annotations, logLevel, message }) => {
    log.push({
      level: logLevel.label,
      message: String(message),
      annotations: Object.fromEntries(annotations)
    })
  })
  return Effect.flatMap(Access, (access) => use(access, names, log)).pipe(
    Effect.provide(Access.layer),
    Effect.provide([nodesList, names.layer, Layer.succeed(RelayConfig, makeSettings(given))]),
    Effect.provide(Logger.replace(Logger.defaultLogger, logger))
  )
}

const from = (peer: string, over: Partial<Caller> = {}): Caller => ({
  peer,
  forwardedFor: undefined,
  certificate: Option.none(),
  ...over
})

const showing = (
  { x509, spki }: ReturnType<typeof certificateNamed>,
  uid: string | undefined
): Partial<Caller> => ({
  certificate: Option.some({ x509, keyHash: keyHash(spki), uid: Option.fromNullable(uid) })
})

const kinds = ["policyServer", "nodes", "sharedFolder", "admin"] as const

/** The kinds of routes that a caller may use. */
const allowed = (access: Access["Type"], caller: Caller) =>
  Effect.filter(kinds, (kind: RouteKind) => Effect.isSuccess(access.check(kind, caller)))

const upstream = { output: { upstream: { host: Option.some("policy.example.com") } } }
const list = (...entries: ReadonlyArray<string>) => Option.some(entries)

describe("without configuration", () => {
  it.effect.each<[caller: string, Caller, ReadonlyArray<RouteKind>]>([
    ["this machine", from("127.0.0.1"), kinds],
    ["this machine in IPv6", from("::1"), kinds],
    ["this machine, IPv4 in IPv6", from("::ffff:127.8.9.10"), kinds],
    ["another machine", from("192.0.2.9"), ["nodes"]],
    ["another machine in IPv6", from("2001:db8::9"), ["nodes"]],
    [
      "another machine that claims to be this one",
      from("192.0.2.9", { forwardedFor: "127.0.0.1" }),
      ["nodes"]
    ],
    [
      "another machine by a proxy",
      from("127.0.0.1", { forwardedFor: "192.0.2.9" }),
      ["nodes", "sharedFolder"]
    ],
    ["the same, claiming", from("::1", { forwardedFor: "::1, 192.0.2.9" }), ["nodes", "sharedFolder"]],
    ["nonsense by a proxy", from("127.0.0.1", { forwardedFor: "unknown" }), ["sharedFolder"]],
    ["a connection that is gone", from(""), []]
  ])("%s", ([_, caller, expected]) =>
    withAccess({}, (access) =>
      Effect.gen(function* () {
        expect(yield* allowed(access, caller)).toEqual(expected)
      })
    )
  )

  it.effect("the policy server's addresses are its host name's", () =>
    withAccess(upstream, (access, names) =>
      Effect.gen(function* () {
        yield* names.set("policy.example.com", ["192.0.2.1", "2001:db8::1"])
        yield* TestClock.adjust("1 minute")
        expect(yield* allowed(access, from("::ffff:192.0.2.1"))).toEqual(["policyServer", "nodes"])
        expect(yield* allowed(access, from("2001:DB8::1"))).toEqual(["policyServer", "nodes"])
        expect(yield* allowed(access, from("127.0.0.1"))).toEqual(kinds)
      })
    )
  )

  it.effect("the policy server's host is that of its URL where only that is set", () =>
    withAccess(
      { output: { upstream: { url: Option.some(new URL("http://[2001:db8::1]:8080")) } } },
      (access) =>
        Effect.gen(function* () {
          expect(yield* allowed(access, from("2001:db8::1"))).toEqual(["policyServer", "nodes"])
        })
    )
  )
})

describe("a key that is set replaces its default, and no other", () => {
  const here = from("127.0.0.1")
  const there = from("192.0.2.9")
  it.effect.each<[string, NonNullable<GivenSettings["access"]>, Caller, ReadonlyArray<RouteKind>]>([
    ["policy_server", { policyServer: list("192.0.2.0/24") }, here, ["nodes", "sharedFolder", "admin"]],
    ["policy_server", { policyServer: list("192.0.2.0/24") }, there, ["policyServer", "nodes"]],
    ["nodes", { nodes: list("192.0.2.9") }, here, ["policyServer", "sharedFolder", "admin"]],
    ["nodes", { nodes: list("198.51.100.0/24") }, there, []],
    ["admin", { admin: list("::ffff:192.0.2.9") }, here, ["policyServer", "nodes", "sharedFolder"]],
    ["admin", { admin: list("::ffff:192.0.2.9") }, there, ["nodes", "admin"]],
    ["admin, empty", { admin: list() }, here, ["policyServer", "nodes", "sharedFolder"]],
    ["trusted_proxies", { trustedProxies: list("192.0.2.9") }, here, ["policyServer", "nodes", "admin"]],
    ["trusted_proxies", { trustedProxies: list("192.0.2.9") }, there, ["nodes", "sharedFolder"]]
  ])("%s", ([_, access, caller, expected]) =>
    withAccess({ ...upstream, access }, (service) =>
      Effect.gen(function* () {
        expect(yield* allowed(service, caller)).toEqual(expected)
      })
    )
  )

  it.effect("a proxy that is not trusted any more is not asked whom it forwards for", () =>
    withAccess({ access: { trustedProxies: list() } }, (access) =>
      Effect.gen(function* () {
        const caller = from("127.0.0.1", { forwardedFor: "192.0.2.9" })
        expect(access.clientAddress(caller)).toEqual(Either.right("127.0.0.1"))
        expect(yield* allowed(access, caller)).toEqual(["policyServer", "nodes", "admin"])
      })
    )
  )
})

describe("a client certificate", () => {
  const settings = { access: { policyServerKeyHash: [keyHash(root.spki)] } }

  it.effect.each<[string, Partial<Caller>, ReadonlyArray<RouteKind>]>([
    ["of the policy server", showing(root, "root"), ["policyServer", "nodes"]],
    ["of the policy server, whatever its subject", showing(root, undefined), ["policyServer", "nodes"]],
    ["of a known node", showing(nodeA, "A"), ["nodes", "sharedFolder"]],
    ["of another node's key", showing(root, "A"), ["policyServer", "nodes"]],
    ["of a known node's key under another node's id", showing(nodeA, "B"), ["nodes"]],
    ["of an unknown node", showing(nodeA, "X"), ["nodes"]],
    ["of nobody", showing(nodeA, undefined), ["nodes"]]
  ])("%s", ([_, certificate, expected]) =>
    withAccess(settings, (access) =>
      Effect.gen(function* () {
        expect(yield* allowed(access, from("192.0.2.9", certificate))).toEqual(expected)
      })
    )
  )

  it.effect("is a known node's also by the hash of its PKCS#1 form", () =>
    withAccess(
      settings,
      (access) =>
        Effect.gen(function* () {
          expect(yield* allowed(access, from("192.0.2.9", showing(nodeA, "A")))).toContain("sharedFolder")
        }),
      nodesWithKey(`sha256:${createHash("sha256").update(nodeA.pkcs1).digest("hex")}`)
    )
  )

  it.effect("is no node's where the list's hash is unreadable", () =>
    withAccess(
      settings,
      (access) =>
        Effect.gen(function* () {
          expect(yield* allowed(access, from("192.0.2.9", showing(nodeA, "A")))).toEqual(["nodes"])
        }),
      nodesWithKey("sha256:")
    )
  )
})

describe("a refusal", () => {
  it.effect("names the address and the key, to the caller and in the log", () =>
    withAccess({}, (access, _, log) =>
      Effect.gen(function* () {
        const caller = from("127.0.0.1", { forwardedFor: "192.0.2.9", ...showing(nodeA, "A") })
        const error = yield* Effect.flip(access.check("policyServer", caller))
        expect(error._tag).toBe("AccessDenied")
        expect(error.message).toMatch(/192\.0\.2\.9.*access\.policy_server/)
        const annotations = {
          address: "192.0.2.9",
          key: "access.policy_server",
          peer: "127.0.0.1",
          key_hash: keyHash(nodeA.spki)
        }
        expect(log).toEqual([{ level: "WARN", message: "a caller was refused", annotations }])
      })
    )
  )

  it.effect("is logged once a minute for each address and key", () =>
    withAccess({}, (access, _, log) =>
      Effect.gen(function* () {
        const knock = (peer: string, kind: RouteKind) => Effect.exit(access.check(kind, from(peer)))
        const lines = () => log.splice(0).map(({ annotations: { address, key } }) => `${address} ${key}`)
        yield* knock("192.0.2.9", "admin")
        yield* knock("::ffff:192.0.2.9", "admin")
        yield* knock("192.0.2.9", "policyServer")
        yield* knock("192.0.2.10", "admin")
        expect(lines()).toEqual([
          "192.0.2.9 access.admin",
          "192.0.2.9 access.policy_server",
          "192.0.2.10 access.admin"
        ])
        yield* TestClock.adjust("59 seconds")
        yield* knock("192.0.2.9", "admin")
        expect(lines()).toEqual([])
        yield* TestClock.adjust("1 second")
        yield* knock("192.0.2.9", "admin")
        expect(lines()).toEqual(["192.0.2.9 access.admin"])
      })
    )
  )

  it.effect("of many addresses is counted where it is not logged", () =>
    withAccess({}, (access, _, log) =>
      Effect.gen(function* () {
        const knock = (last: number) =>
          Effect.exit(access.check("admin", from(`2001:db8::${last.toString(16)}`)))
        yield* Effect.forEach(
          Array.from({ length: 5000 }, (_, last) => last),
          knock
        )
        expect(log.splice(0).length).toBe(200)
        yield* TestClock.adjust("1 minute")
        yield* knock(1)
        yield* knock(2)
        expect(log.map(({ annotations }) => annotations.omitted)).toEqual([4800, undefined, undefined])
      })
    )
  )

  it.effect("over an X-Forwarded-For that can't be read is logged with the proxy's address", () =>
    withAccess({}, (access, _, log) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(access.check("nodes", from("::1", { forwardedFor: "unknown" })))
        expect(error.message).toMatch(/^X-Forwarded-For: /)
        expect(log.map(({ annotations }) => annotations)).toEqual([
          { address: "::1", key: "access.trusted_proxies" }
        ])
      })
    )
  )

  it.effect("of a connection that is gone is not logged", () =>
    withAccess({ access: { nodes: list() } }, (access, _, log) =>
      Effect.gen(function* () {
        expect(yield* Effect.isFailure(access.check("nodes", from("")))).toBe(true)
        expect(log).toEqual([])
      })
    )
  )
})

it.effect("the client's address is one text, for bounds per address", () =>
  withAccess({}, (access) =>
    Effect.sync(() => {
      const callers = [
        from("::ffff:192.0.2.9"),
        from("::1", { forwardedFor: "192.0.2.9:41000" }),
        from("127.0.0.1", { forwardedFor: "::FFFF:c000:209" })
      ]
      expect(new Set(callers.map((caller) => Either.getOrThrow(access.clientAddress(caller))))).toEqual(
        new Set(["192.0.2.9"])
      )
    })
  )
)
