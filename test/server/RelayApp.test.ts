/** The one `HttpApp`, in a program that has something around it. */
import { connect } from "node:net"
import { HttpApp, HttpServer, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { Relay } from "../../src/index.ts"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { temporaryFolder } from "../support/Folders.ts"
import { servedRelay } from "../support/ServedRelay.ts"
import { tree } from "../support/Sharing.ts"

/** Asks a relay for paths below the base, one after the other; `around` is what the program does with its app. */
const asking = (
  paths: ReadonlyArray<string>,
  around: <R>(app: HttpApp.Default<never, R>) => HttpApp.Default<never, R> = (app) => app
) =>
  Effect.gen(function* () {
    const directory = yield* temporaryFolder
    return yield* Effect.gen(function* () {
      const app = yield* Relay.httpApp
      const local = Effect.updateService(around(app), HttpServerRequest.HttpServerRequest, (request) =>
        request.modify({ remoteAddress: "127.0.0.1" })
      )
      const runtime =
        yield* Effect.runtime<
          Exclude<Effect.Effect.Context<typeof local>, HttpServerRequest.HttpServerRequest | Scope.Scope>
        >()
      const handle = HttpApp.toWebHandlerRuntime(runtime)(local)
      return yield* Effect.promise(() =>
        Promise.all(paths.map((path) => handle(new Request(`http://relay/rudder/relay-api/${path}`))))
      )
    }).pipe(Effect.provide(servedRelay(directory, nodesListLayer(tree))))
  }).pipe(Effect.scoped)

/**
 * What a relay's server answers on one connection, up to its end: `first`, and each of the others behind the answer to the
 * one before it.
 */
const exchanged = (first: string, ...others: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const relay = servedRelay(yield* temporaryFolder, nodesListLayer(tree))
    const exchange = Effect.flatMap(HttpServer.HttpServer, ({ address }) =>
      Effect.async<string>((resume) => {
        const port = address._tag === "TcpAddress" ? address.port : 0
        let answer = ""
        const left = [...others]
        const socket = connect(port, "127.0.0.1", () => socket.write(first))
        socket.on("data", (bytes) => {
          answer += bytes
          const next = left.shift()
          if (next !== undefined) socket.write(next)
        })
        socket.on("error", () => {}).once("close", () => resume(Effect.succeed(answer)))
        return Effect.sync(() => socket.destroy())
      })
    )
    return yield* Effect.provide(exchange, relay)
  }).pipe(Effect.scoped)

const statusesOf = (answer: string) => answer.match(/(?<=HTTP\/1\.1 )\d+/g)

const get = (more: string) => `GET /rudder/relay-api/system/info HTTP/1.1\r\n${more}\r\n`
const last = get("Host: localhost\r\nConnection: close\r\n")

const paths = ["system/info", "1/system/info", "nothing", "remote-run/runs?limit=0", "system/info?a=1"]

describe("the relay's app", () => {
  it.live("leaves the request as it was for what a program does behind it", () =>
    Effect.gen(function* () {
      const found = yield* asking(paths, (app) =>
        Effect.flatMap(app, (response) =>
          Effect.map(HttpServerRequest.HttpServerRequest, ({ url }) =>
            HttpServerResponse.setHeader(response, "x-url", url)
          )
        )
      )
      expect(found.map(({ headers }) => headers.get("x-url"))).toEqual(
        paths.map((path) => `/rudder/relay-api/${path}`)
      )
      expect(found.map(({ status }) => status)).toEqual([200, 200, 404, 400, 200])
    })
  )

  it.live("answers under both bases, with an id each, and takes a semicolon for a part of a name", () =>
    Effect.gen(function* () {
      const found = yield* asking([...paths, "system/info;x", "remote-run/runs/a;b", "system%2Finfo"])
      expect(found.map(({ status }) => status)).toEqual([200, 200, 404, 400, 200, 404, 404, 404])
      const ids = found.map(({ headers }) => headers.get("x-request-id"))
      expect(new Set(ids).size).toBe(ids.length)
      for (const id of ids) expect(id).toMatch(/^[0-9a-f-]{36}$/)
    })
  )

  it.live("says of a parameter that comes twice that it does, also where the platform decodes it", () =>
    Effect.gen(function* () {
      const found = yield* asking(["system/outbox?limit=1&limit=2", "system/outbox?limit=1"])
      expect(found.map(({ status }) => status)).toEqual([400, 200])
      expect(yield* Effect.promise(() => found[0]?.json() ?? Promise.reject(found))).toMatchObject({
        _tag: "InvalidRequest",
        parameter: "limit",
        message: "limit: expected it once"
      })
    })
  )

  for (const [what, body] of [
    ["with its head", "Content-Length: 10\r\n\r\n0123456789"],
    ["in chunks", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]
  ])
    it.live(`goes on with a connection of which a refused body has come whole: ${what}`, () =>
      Effect.gen(function* () {
        const put = `PUT /rudder/relay-api/shared-files/nobody/source/file HTTP/1.1\r\nHost: localhost\r\n${body}`
        expect(statusesOf(yield* exchanged(put, last))).toEqual(["404", "200"])
      })
    )

  it.live("closes a connection on which a refused body is still to come", () =>
    Effect.gen(function* () {
      const put = "PUT /rudder/relay-api/shared-files/nobody/source/file HTTP/1.1\r\nHost: localhost\r\n"
      const answer = yield* exchanged(`${put}Content-Length: 10\r\n\r\n012345678`)
      expect(statusesOf(answer)).toEqual(["404"])
      expect(answer.toLowerCase()).toContain("\r\nconnection: close\r\n")
    })
  )

  it.live("refuses a request that names two hosts, be they the same", () =>
    Effect.gen(function* () {
      for (const hosts of ["Host: localhost\r\nhost: localhost\r\n", "HOST: a\r\nX: y\r\nHost: b\r\n"]) {
        const answer = yield* exchanged(get(hosts), last)
        expect(statusesOf(answer)).toEqual(["400", "200"])
        expect(answer).toContain('"message":"Host: expected one, and no more","parameter":"Host"')
      }
      expect(statusesOf(yield* exchanged(last))).toEqual(["200"])
    })
  )
})
