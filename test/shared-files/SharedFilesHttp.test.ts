/** Whatever a request says, nothing outside the relay's own folders is touched. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, posix } from "node:path"
import { Headers, type HttpRouter, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, FastCheck, Layer, Logger, Option, Runtime } from "effect"
import {
  AgentProcess,
  Certificates,
  Disk,
  makeSettings,
  NodeId,
  NodesList,
  Relay,
  RelayConfig,
  Reload,
  SubRelays,
  Upstream,
  UpstreamUnreachable
} from "../../src/index.ts"
import type { Layout } from "../../src/shared-files/file/Location.ts"
import { CrashingDisk } from "../../src/testing/CrashingDisk.ts"
import { alone } from "../../src/testing/Leases.ts"
import { nodesOf } from "../../src/testing/Topology.ts"
import { hashOf, keyNamed, signatureOf } from "../support/Keys.ts"

const key = keyNamed("source")
const content = "content\n"
const signature = signatureOf(key, content)

/** A list that knows whatever a request names, so that it is never the list that keeps a hostile id out. */
class Obliging {
  known: ReadonlyArray<string> = []
  neverLoaded = false

  readonly layer = Layer.succeed(NodesList, {
    current: Effect.sync(() => this.nodes()),
    status: Effect.succeed({ _tag: "Success" } as const),
    neverLoaded: Effect.sync(() => this.neverLoaded),
    reload: Effect.succeed({ _tag: "Success" } as const)
  })

  private nodes() {
    const { known } = this
    const node = {
      id: NodeId.make("node"),
      hostname: "node.example.com",
      policyServer: NodeId.make("relay"),
      keyHash: Option.some(key.keyHash)
    }
    return {
      ...nodesOf({}),
      get: (id: string) => (known.includes(id) ? Option.some(node) : Option.none()),
      route: (id: string) =>
        known.includes(id)
          ? ({ _tag: "Behind", relays: [NodeId.make("relay")] } as const)
          : ({ _tag: "Unknown" } as const)
    }
  }
}

const agents = Layer.succeed(AgentProcess, {
  run: () => Effect.succeed({ code: 0, signal: null }),
  unkillable: Effect.succeed(0)
})

const upstream = Layer.succeed(Upstream, {
  put: () => new UpstreamUnreachable({ message: "there is none" }),
  has: () => new UpstreamUnreachable({ message: "there is none" })
})

/** Runs are not asked for here, but their history wants a folder, and looks at it each minute. */
const historyFolder = join(tmpdir(), "rudder-relay-paths-")

const settings = (layout: Layout) =>
  Layer.scoped(
    RelayConfig,
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(historyFolder)),
        (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
      ),
      (directory) =>
        makeSettings({
          general: { nodeId: NodeId.make("me") },
          remoteRun: { directory },
          sharedFiles: {
            path: "/var/store",
            outbox: "/var/outbox",
            layout,
            minFree: 0,
            forwardWait: Duration.zero
          }
        })
    )
  )

const relay = (disk: CrashingDisk, list: Obliging, layout: Layout) =>
  Layer.mergeAll(Relay.services, Reload.layer([])).pipe(
    Layer.provideMerge(
      Relay.liveWith(
        Layer.mergeAll(
          agents,
          SubRelays.unreachable,
          Layer.succeed(Disk, disk.disk),
          alone(),
          Certificates.none,
          upstream,
          list.layer
        )
      )
    ),
    Layer.provideMerge(settings(layout)),
    Layer.provideMerge(Layer.merge(NodeHttpServer.layerContext, Logger.remove(Logger.defaultLogger)))
  )

const { boolean, array, constant, constantFrom, oneof, record, string, tuple } = FastCheck

const plain = constantFrom("node1", "file.txt", "a", "node", "files", "shared-files", "...", "-rf")
const hostile = oneof(
  constantFrom(
    ...["", ".", "..", "../..", "~tmp", "~tmp/x", "/etc/passwd", "a/../../b", "a.metadata", "x.METADATA"],
    ...[
      "a/b",
      "a\\b",
      "..\\..",
      "a\0b",
      "a\nb",
      "%2e%2e",
      "%2f",
      "é",
      "\u2024\u2024",
      "\uff0e\uff0e",
      " ",
      "a b"
    ],
    ...[
      "a".repeat(200),
      "a".repeat(201),
      "x.intent",
      "x.new",
      ".a",
      "node1/../node1",
      "//",
      ";",
      "?",
      "#",
      "*"
    ]
  ),
  string({ unit: "binary", maxLength: 12 }),
  array(constantFrom(".", "/", "~", "a", "%", "\0"), { maxLength: 8 }).map((parts) => parts.join(""))
)
const id = oneof({ weight: 3, arbitrary: plain }, { weight: 2, arbitrary: hostile })

/** Text that is no Unicode can't be written in a URL. */
const encode = (text: string): string => encodeURIComponent(Buffer.from(text).toString())

/** How a text stands in a path or a query. */
const encoding = constantFrom(
  encode,
  (text: string) => encode(encode(text)),
  (text: string) => encode(text).replaceAll("%2F", "/").replaceAll("%2E", "."),
  (text: string) => encode(text).replaceAll(".", "%2e").toLowerCase(),
  (text: string) => text
)

interface Asked {
  readonly form: "POST" | "PUT" | "HEAD" | "older HEAD"
  readonly base: string
  readonly ids: readonly [target: string, source: string, fileId: string]
  readonly encoding: (text: string) => string
  /** Of the query. */
  readonly more: string
  /** Its target is not in the list. */
  readonly isFar?: boolean
}

const request: FastCheck.Arbitrary<Asked> = record({
  form: constantFrom("POST" as const, "PUT" as const, "HEAD" as const, "older HEAD" as const),
  base: constantFrom("/rudder/relay-api", "/rudder/relay-api/1"),
  ids: tuple(id, id, id),
  isFar: boolean(),
  encoding: oneof({ weight: 2, arbitrary: constant(encode) }, { weight: 1, arbitrary: encoding }),
  more: oneof(
    { weight: 6, arbitrary: constant("") },
    { weight: 1, arbitrary: hostile.map((text) => `&${encode(text)}`) },
    {
      weight: 1,
      arbitrary: tuple(constantFrom("ttl", "hash", "algorithm", "date", "source-uuid"), hostile).map(
        ([name, text]) => `&${name}=${encode(text)}`
      )
    }
  )
})

const header = [
  "header=rudder-signature-v1",
  "algorithm=sha512",
  `digest=${signature.toString("hex")}`,
  `hash_value=${hashOf(content)}`,
  `short_pubkey=${key.text}`
].join("\n")

/** As it would come from the network, where nobody tidies a path up. */
const toRequest = ({ form, base, ids, encoding: write, more }: Asked) => {
  const [target, source, fileId] = ids.map(write)
  const query = `source-uuid=${source}&hash=${hashOf(content)}`
  const signed = `${query}&signature=${signature.toString("hex")}&public-key=${encode(key.text)}`
  const [method, url, body] = {
    POST: ["POST", `node/${target}/${fileId}?${signed}${more}`, content] as const,
    HEAD: ["HEAD", `node/${target}/${fileId}?${query}${more}`, null] as const,
    PUT: ["PUT", `${target}/${source}/${fileId}?ttl=1h${more}`, `${header}\n\n${content}`] as const,
    "older HEAD": ["HEAD", `${target}/${source}/${fileId}?${query}${more}`, null] as const
  }[form]
  return HttpServerRequest.fromWeb(new Request("http://relay", { method, body })).modify({
    url: `${base}/shared-files/${url}`,
    remoteAddress: "127.0.0.1"
  })
}

/** Not tidied up: a path that leaves a folder to come back to it is wrong too. */
const isInside = (path: string): boolean =>
  !path.includes("\0") &&
  posix.normalize(path) === path &&
  (path.startsWith(historyFolder) ||
    ["/var/store", "/var/outbox"].some((folder) => path === folder || path.startsWith(`${folder}/`)))

describe("requests about shared files", () => {
  for (const layout of ["tree", "rudder"] as const)
    it.scopedLive(`touch no path outside the relay's folders, whatever they say: ${layout}`, () => {
      const disk = CrashingDisk.make()
      const list = new Obliging()
      const statuses = new Map<number, number>()
      return Effect.gen(function* () {
        const app = yield* Relay.httpApp
        const runtime = yield* Effect.runtime<HttpRouter.HttpRouter.DefaultServices>()
        const handle = (asked: Asked) =>
          Effect.gen(function* () {
            const [target, source] = asked.ids
            const before = disk.operations.length
            list.known = asked.encoding === encode && asked.isFar !== true ? [target, source] : [source]
            const answered = yield* Effect.either(
              Effect.provideService(app, HttpServerRequest.HttpServerRequest, toRequest(asked))
            )
            const status = answered._tag === "Right" ? answered.right.status : 404
            statuses.set(status, (statuses.get(status) ?? 0) + 1)
            const touched = disk.operations.slice(before).flatMap(({ paths }) => paths)
            expect(touched.filter((path) => !isInside(path))).toEqual([])
            expect(status).not.toBe(500)
            return status
          }).pipe(Effect.scoped)
        const base = "/rudder/relay-api"
        for (const form of ["POST", "HEAD", "PUT", "older HEAD"] as const)
          expect(
            yield* handle({ form, base, ids: ["node1", "node2", "a"], encoding: encode, more: "" })
          ).toBe(200)
        const property = FastCheck.asyncProperty(request, (asked) =>
          Effect.asVoid(handle(asked)).pipe(Runtime.runPromise(runtime))
        )
        yield* Effect.promise(() => FastCheck.assert(property, { numRuns: 1000 }))
        // Enough of them were taken, and refused, to make that mean something.
        for (const status of [200, 202, 400]) expect(statuses.get(status) ?? 0).toBeGreaterThan(10)
      }).pipe(Effect.provide(relay(disk, list, layout)))
    })

  it.scopedLive("that are uploads are refused for now, 503, while the nodes list was never loaded", () => {
    const list = new Obliging()
    list.neverLoaded = true
    return Effect.gen(function* () {
      const app = yield* Relay.httpApp
      const send = (form: Asked["form"]) =>
        Effect.provideService(
          app,
          HttpServerRequest.HttpServerRequest,
          toRequest({
            form,
            base: "/rudder/relay-api",
            ids: ["far", "node", "a"],
            encoding: encode,
            more: ""
          })
        ).pipe(Effect.scoped)
      for (const form of ["POST", "PUT"] as const) expect(yield* send(form)).toMatchObject({ status: 503 })
      // Of a list that is there, a source that is not in it is a stranger.
      list.neverLoaded = false
      for (const form of ["POST", "PUT"] as const) expect(yield* send(form)).toMatchObject({ status: 403 })
    }).pipe(Effect.provide(relay(CrashingDisk.make(), list, "tree")))
  })

  it.scopedLive("that are uploads are refused, 400, where the body would have to be decoded first", () => {
    const disk = CrashingDisk.make()
    const list = new Obliging()
    list.known = ["node1", "node2"]
    return Effect.gen(function* () {
      const app = yield* Relay.httpApp
      const send = (form: Asked["form"], encoding: string) => {
        const request = toRequest({
          form,
          base: "/rudder/relay-api",
          ids: ["node1", "node2", "a"],
          encoding: encode,
          more: ""
        })
        const headers = Headers.set(request.headers, "content-encoding", encoding)
        return Effect.provideService(
          app,
          HttpServerRequest.HttpServerRequest,
          request.modify({ headers })
        ).pipe(Effect.scoped)
      }
      for (const form of ["POST", "PUT"] as const) {
        expect(yield* send(form, "gzip")).toMatchObject({ status: 400 })
        expect([...disk.files().keys()].filter((path) => path.endsWith("/a"))).toEqual([])
      }
      for (const form of ["POST", "PUT"] as const)
        expect(yield* send(form, "Identity")).toMatchObject({ status: 200 })
    }).pipe(Effect.provide(relay(disk, list, "tree")))
  })

  it.scopedLive("that are uploads are refused, 400, where they say what is no parameter", () => {
    const disk = CrashingDisk.make()
    const list = new Obliging()
    list.known = ["node1", "node2"]
    return Effect.gen(function* () {
      const app = yield* Relay.httpApp
      const send = (form: Asked["form"], more: string) =>
        Effect.gen(function* () {
          const asked = {
            form,
            base: "/rudder/relay-api",
            ids: ["node1", "node2", "a"],
            encoding: encode,
            more
          } as const
          const request = toRequest(asked)
          const answer = yield* Effect.provideService(app, HttpServerRequest.HttpServerRequest, request)
          const body = HttpServerResponse.toWeb(answer).text()
          return { status: answer.status, body: yield* Effect.promise(() => body) }
        }).pipe(Effect.scoped)
      for (const [form, more, parameter, meant] of [
        ["POST", "&tll=1h", "tll", "expected perhaps ttl"],
        ["POST", "&Ttl=1h", "Ttl", "expected perhaps ttl"],
        ["POST", "&request_signature=00", "request_signature", "expected perhaps request-signature"],
        ["PUT", "&tll=1h", "tll", "expected perhaps ttl"],
        ["PUT", "&hash=00", "hash", "expected one of this route's parameters: ttl"]
      ] as const) {
        const { status, body } = yield* send(form, more)
        expect(status).toBe(400)
        expect(JSON.parse(body)).toMatchObject({ _tag: "InvalidRequest", parameter })
        expect(body).toContain(meant)
      }
      expect([...disk.files().keys()].filter((path) => path.endsWith("/a"))).toEqual([])
      expect(yield* send("POST", "&ttl=1h&algorithm=sha512")).toMatchObject({ status: 200 })
      // What is only asked does no harm.
      for (const form of ["HEAD", "older HEAD"] as const)
        expect(yield* send(form, "&hash_type=sha512")).toMatchObject({ status: 200 })
    }).pipe(Effect.provide(relay(disk, list, "tree")))
  })

  it.scopedLive("that ask for a file while the policy server is away are answered: send it", () => {
    const list = new Obliging()
    list.known = ["node"]
    return Effect.gen(function* () {
      const app = yield* Relay.httpApp
      for (const form of ["HEAD", "older HEAD"] as const) {
        const asked = toRequest({
          form,
          base: "/rudder/relay-api",
          ids: ["far", "node", "a"],
          encoding: encode,
          more: ""
        })
        const answer = yield* Effect.provideService(app, HttpServerRequest.HttpServerRequest, asked)
        expect(answer.status).toBe(404)
        expect(answer.headers["relay-upstream"]).toBe("unreachable")
      }
    }).pipe(Effect.scoped, Effect.provide(relay(CrashingDisk.make(), list, "tree")))
  })
})
