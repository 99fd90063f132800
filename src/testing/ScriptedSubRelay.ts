/** A sub-relay by script: a real HTTPS server, whose answers a test writes. */
import type { X509Certificate } from "node:crypto"
import type { IncomingMessage, ServerResponse } from "node:http"
import * as Https from "node:https"
import { Effect, Layer, type Scope } from "effect"
import { Certificates } from "../topology/Certificates.ts"
import { selfSigned } from "./SelfSigned.ts"

/** What it is known by: a key and a certificate for it, made once in a process. */
export const certificate = selfSigned([["UID", "relay"]])
/** The id of the run in `runEvent`. */
export const runId = "01900000-0000-7000-8000-000000000000"

/** A request that the scripted sub-relay got. */
export interface Asked {
  readonly method: string
  readonly path: string
  readonly accept: string
  readonly form: URLSearchParams
  readonly length: number
}

/** Answers a request, with node's response in its hands: it may also cut, stall, or say nothing. */
export type Script = (response: ServerResponse, asked: Asked) => void

/** What a relay says that has no such run, or no such route. */
export const gone: Script = (response) =>
  void response.writeHead(404, { "content-type": "application/json" }).end('{"_tag":"RunNotFound"}')

/** A sub-relay that goes with its scope. */
export interface ScriptedSubRelay {
  /** What it was asked, in order. */
  readonly asked: ReadonlyArray<Asked>
  /** Where it listens, on 127.0.0.1: `general.https_port` of the relay above. */
  readonly port: number
  /** How often somebody connected. */
  readonly connections: () => number
}

/**
 * A sub-relay by script, over HTTPS with `certificate`; `DELETE` is answered 202, and who wants to go on hearing a run by
 * another script.
 *
 * @example
 * Effect.gen(function* () {
 *   const { port } = yield* ScriptedSubRelay.scripted((response, { form }) => {
 *     const nodes = form.get("nodes")?.split(",") ?? []
 *     ScriptedSubRelay.ndjson(response, ScriptedSubRelay.runEvent(nodes))
 *     response.destroy() // the line breaks before any node has ended
 *   })
 *   const settings = makeSettings({ general: { httpsPort: port } })
 *   const relay = Relay.liveWith(Layer.merge(ScriptedSubRelay.certificates(), nodesListLayer(tree)))
 *   // In the nodes list the sub-relay's host name is 127.0.0.1.
 * })
 */
export const scripted = (
  script: Script,
  again: Script = gone
): Effect.Effect<ScriptedSubRelay, never, Scope.Scope> =>
  Effect.gen(function* () {
    const asked: Array<Asked> = []
    let connections = 0
    const server = Https.createServer({ cert: certificate.cert, key: certificate.key }, (request, response) =>
      collect(request, (body) => {
        const one = {
          method: request.method ?? "",
          path: request.url ?? "",
          accept: request.headers.accept ?? "",
          form: new URLSearchParams(body),
          length: body.length
        }
        asked.push(one)
        if (one.method === "DELETE") response.writeHead(202).end()
        else if (one.method === "GET") again(response, one)
        else script(response, one)
      })
    )
    server.on("connection", () => connections++)
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    )
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    return { asked, port, connections: () => connections }
  })

const collect = (request: IncomingMessage, whole: (body: string) => void): void => {
  let body = ""
  request.on("data", (bytes) => {
    body += bytes
  })
  request.on("error", () => {})
  request.on("end", () => whole(body))
}

/** `Certificates` that know this one, as that of the node `relay`. */
export const certificates = (known: X509Certificate = certificate.x509): Layer.Layer<Certificates> =>
  Layer.succeed(Certificates, {
    forNode: (id) => Effect.succeed(id === "relay" ? [known] : []),
    reload: Effect.void
  })

/** An event of a run, as JSON. */
export type Event = Record<string, unknown>

/** Writes these events, and the head of the answer before the first. */
export const ndjson = (response: ServerResponse, ...events: ReadonlyArray<Event | string>): void => {
  if (!response.headersSent) response.writeHead(200, { "content-type": "application/x-ndjson" })
  for (const event of events) response.write(`${typeof event === "string" ? event : JSON.stringify(event)}\n`)
}

/** The first event of a run of these nodes. */
export const runEvent = (nodes: ReadonlyArray<string>, unknown: ReadonlyArray<string> = []): Event => ({
  event: "run",
  id: runId,
  nodes,
  unknown,
  classes: []
})
/** The agent of a node starts. */
export const startEvent = (node: string): Event => ({ event: "start", node, hostname: `${node}.below` })
/** The agent of a node has ended, with code 0 unless `over` says otherwise. */
export const endEvent = (node: string, over: Event = {}): Event => ({
  event: "end",
  node,
  code: 0,
  duration: 1.5,
  stderr: "",
  ...over
})
/** The last event of a run. */
export const done: Event = { event: "done", ok: 0, failed: 0, duration: 2 }
