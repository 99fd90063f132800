/** Which requests have a line in the log, and what it says, through the whole app. */
import { connect } from "node:net"
import { HttpClient, HttpClientRequest, HttpServer } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { temporaryFolder } from "../support/Folders.ts"
import { logLines } from "../support/LogLines.ts"
import { servedRelay } from "../support/ServedRelay.ts"
import { eventually } from "../support/Until.ts"

type Ask = (
  method: "GET" | "HEAD" | "POST" | "DELETE",
  path: string,
  headers?: Record<string, string>
) => Effect.Effect<number, unknown, Scope.Scope>

/** `lines` gives what the log has said since it was last asked. */
const withRelay = <A, E>(
  test: (ask: Ask, lines: () => ReadonlyArray<string>, port: number) => Effect.Effect<A, E, Scope.Scope>
) =>
  Effect.gen(function* () {
    const directory = yield* temporaryFolder
    const log = logLines()
    let seen = 0
    const lines = () => {
      const found = log.lines.slice(seen).filter((line) => line.includes("request="))
      seen = log.lines.length
      return found
    }
    const relay = servedRelay(directory, nodesListLayer({ web: { hostname: "web.example.com" } }))
    return yield* Effect.gen(function* () {
      const client = yield* HttpClient.HttpClient
      const ask: Ask = (method, path, headers = {}) =>
        Effect.gen(function* () {
          const request = HttpClientRequest.make(method)(`/rudder/relay-api${path}`, { headers })
          const response = yield* client.execute(request)
          yield* response.text
          return response.status
        })
      const { address } = yield* HttpServer.HttpServer
      return yield* test(ask, lines, address._tag === "TcpAddress" ? address.port : 0)
    }).pipe(Effect.provide(Layer.provideMerge(relay, log.layer)))
  })

describe("the log's line of a request", () => {
  it.scopedLive("is there for what has an effect, and for what is refused; not for what only looks", () =>
    withRelay((ask, lines) =>
      Effect.gen(function* () {
        for (const [method, path] of [
          ["GET", "/system/info"],
          ["GET", "/remote-run/runs"],
          ["GET", "/remote-run/runs/0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee"],
          ["GET", "/no/such/route"],
          ["HEAD", `/shared-files/node/web/motd?source-uuid=web&hash=${"0".repeat(64)}`]
        ] as const)
          yield* ask(method, path)
        expect(lines()).toEqual([])

        expect(yield* ask("DELETE", "/system/outbox/none")).toBe(404)
        expect(lines()).toEqual([
          expect.stringMatching(
            /^WARN a request was refused .*entry=none .*method=DELETE .*route=\/system\/outbox\/:id .*status=404 tag=NotFound/
          )
        ])
        expect(yield* ask("GET", "/system/nodes?limit=many")).toBe(400)
        expect(lines()).toEqual([expect.stringMatching(/^WARN .*error=limit: expected .*tag=InvalidRequest/)])
        expect(yield* ask("POST", "/system/reload")).toBe(200)
        expect(lines()).toEqual([
          expect.stringMatching(/^INFO a request was answered .*route=\/system\/reload/)
        ])
      })
    )
  )

  it.scopedLive("is one, where access or another site's page is the reason of a refusal", () =>
    withRelay((ask, lines) =>
      Effect.gen(function* () {
        expect(yield* ask("POST", "/system/reload", { "x-forwarded-for": "192.0.2.9" })).toBe(403)
        expect(lines()).toEqual([
          expect.stringMatching(
            /^WARN a caller was refused address=192\.0\.2\.9 key=access\.admin method=POST .*route=\/system\/reload status=403 tag=AccessDenied/
          )
        ])
        expect(yield* ask("POST", "/system/reload", { origin: "https://evil.example.com" })).toBe(403)
        expect(lines()).toEqual([
          expect.stringMatching(/^WARN a request was refused .*error=Origin: .*status=403 tag=AccessDenied/)
        ])
      })
    )
  )

  it.scopedLive("calls nobody refused who has gone before the request was read", () =>
    withRelay((_, lines, port) =>
      Effect.gen(function* () {
        const found: Array<string> = []
        const socket = connect(port, "127.0.0.1", () => {
          socket.write("POST /rudder/relay-api/system/reload HTTP/1.1\r\nHost: localhost\r\n\r\n")
          socket.resetAndDestroy()
        })
        yield* eventually(() => found.push(...lines()) > 0)
        expect(found).toEqual([expect.stringMatching(/^INFO the caller left before .* status=499$/)])
      })
    )
  )

  it.scoped("says of a refusal what it was about and who asked, as far as the request says so", () =>
    withRelay((ask, lines) =>
      Effect.gen(function* () {
        yield* ask("DELETE", "/system/files/db/web/note", { origin: "https://evil.example.com" })
        yield* ask("POST", "/remote-run/nodes?nodes=db,web&actor=ada&reason=why&classes=b!d")
        yield* ask("POST", "/remote-run/runs/none/retry?only=bogus&actor=bob")
        yield* ask("DELETE", "/remote-run/node/web")
        const [removed, started, retried, wrongMethod] = lines()
        for (const field of ["target=db", "source=web", "file_id=note", "status=403"])
          expect(removed).toContain(field)
        for (const field of ["nodes=db web", "node_count=2", "actor=ada", "reason=why", "status=400"])
          expect(started).toContain(field)
        for (const field of ["run=none", "actor=bob"]) expect(retried).toContain(field)
        for (const field of ["route=/remote-run/node/:uuid", "status=405"])
          expect(wrongMethod).toContain(field)
      })
    )
  )
})
