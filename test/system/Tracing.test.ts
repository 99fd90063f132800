import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { HttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Logger, Option } from "effect"
import * as Tracing from "../../src/system/Tracing.ts"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { servedRelay } from "../support/ServedRelay.ts"

interface Received {
  readonly path: string
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: string
}

interface Span {
  readonly name: string
  readonly spanId: string
  readonly parentSpanId?: string
}

/** A collector that takes what comes. */
const collector = Effect.acquireRelease(
  Effect.async<{ readonly url: string; readonly received: Array<Received>; readonly close: () => void }>(
    (resume) => {
      const received: Array<Received> = []
      const server = createServer((request, response) => {
        const parts: Array<Buffer> = []
        request.on("data", (bytes: Buffer) => parts.push(bytes))
        request.on("end", () => {
          received.push({
            path: request.url ?? "",
            headers: request.headers,
            body: Buffer.concat(parts).toString()
          })
          response.end("{}")
        })
      })
      server.listen(0, "127.0.0.1", () => {
        // A TCP server's address is never a path.
        const { port } = server.address() as AddressInfo
        const close = () => {
          server.close()
          server.closeAllConnections()
        }
        resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, received, close }))
      })
    }
  ),
  ({ close }) => Effect.sync(close)
)

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "rudder-relay-tracing-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const environment = (variables: Record<string, string>) =>
  Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables))))

const traced = <A, E, R>(effect: Effect.Effect<A, E, R>, variables: Record<string, string>) =>
  Effect.provide(effect, Tracing.layer.pipe(Layer.provide(environment(variables))))

const spansOf = ({ body }: Received): ReadonlyArray<Span> =>
  JSON.parse(body).resourceSpans.flatMap(({ scopeSpans }: { scopeSpans: Array<{ spans: Array<Span> }> }) =>
    scopeSpans.flatMap(({ spans }) => spans)
  )

describe("tracing", () => {
  it.scopedLive("sends the spans of a request, from who may ask to each agent, to the collector", () =>
    Effect.gen(function* () {
      const { url, received } = yield* collector
      const directory = yield* folder
      const list = nodesListLayer({ web: { hostname: "web.example.com" } })
      const call = Effect.gen(function* () {
        const client = yield* HttpClient.HttpClient
        const answer = yield* client.get("/rudder/relay-api/remote-run/node/web?output=keep")
        expect(yield* answer.text).toContain('"event":"done"')
      }).pipe(Effect.provide(Layer.merge(servedRelay(directory, list), Logger.remove(Logger.defaultLogger))))
      yield* traced(call, {
        OTEL_EXPORTER_OTLP_ENDPOINT: `${url}/`,
        OTEL_EXPORTER_OTLP_HEADERS: "api-key=a%20secret, other = x"
      })
      expect(received.length).toBeGreaterThan(0)
      expect(received[0]).toMatchObject({
        path: "/v1/traces",
        headers: { "api-key": "a secret", other: "x" }
      })
      const spans = received.flatMap(spansOf)
      const names = spans.map(({ name }) => name)
      for (const name of ["http.server GET", "Admission.check", "RemoteRun.start", "RemoteRun.agent"])
        expect(names).toContain(name)
      const request = spans.find(({ name }) => name === "http.server GET")
      expect(spans.find(({ name }) => name === "RemoteRun.start")?.parentSpanId).toBe(request?.spanId)
    })
  )

  it.scopedLive.each<[string, (url: string) => Record<string, string>]>([
    ["without an endpoint", () => ({})],
    ["where it is switched off", (url) => ({ OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_SDK_DISABLED: "TRUE" })],
    ["where the endpoint is no URL", () => ({ OTEL_EXPORTER_OTLP_ENDPOINT: "collector" })]
  ])("makes no span at all %s", ([_, variables]) =>
    Effect.gen(function* () {
      const { url, received } = yield* collector
      const span = yield* traced(
        Effect.option(Effect.withSpan(Effect.currentSpan, "nobody takes this")),
        variables(url)
      ).pipe(Effect.provide(Logger.remove(Logger.defaultLogger)))
      expect(Option.exists(span, ({ sampled }) => sampled)).toBe(false)
      expect(received).toEqual([])
    })
  )
})
