/** The one `HttpApp`, in a program that has something around it. */
import { once } from "node:events"
import { rmSync, symlinkSync } from "node:fs"
import { createServer, request, type Server } from "node:http"
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import { HttpApiBuilder, HttpApp, HttpServer, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Clock, Effect, Layer, type Scope } from "effect"
import { Access } from "../../src/access/Access.ts"
import { Relay, SharedFiles } from "../../src/index.ts"
import * as BegunRequest from "../../src/server/BegunRequest.ts"
import { Connections } from "../../src/server/Connections.ts"
import * as RelayApp from "../../src/server/RelayApp.ts"
import * as RequestListener from "../../src/server/RequestListener.ts"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { temporaryFolder } from "../support/Folders.ts"
import { listening, portOf } from "../support/HttpServers.ts"
import { hashOf } from "../support/Keys.ts"
import { logLines } from "../support/LogLines.ts"
import { servedRelay } from "../support/ServedRelay.ts"
import { tree, uploadOf } from "../support/Sharing.ts"
import { eventually } from "../support/Until.ts"

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

/** What is answered at this port on one connection. */
const exchangedAt = (port: number, first: string, ...others: ReadonlyArray<string>) =>
  Effect.async<string>((resume) => {
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

/**
 * What a relay's server answers on one connection, up to its end: `first`, and each of the others behind the answer to the
 * one before it.
 */
const exchanged = (first: string, ...others: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const relay = servedRelay(yield* temporaryFolder, nodesListLayer(tree))
    const exchange = Effect.flatMap(HttpServer.HttpServer, ({ address }) =>
      exchangedAt(address._tag === "TcpAddress" ? address.port : 0, first, ...others)
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

/** Asks a server, in the name of a caller whose answers so have one id. */
const askServer = (server: Server, method: string, path: string, headers: Record<string, string> = {}) =>
  Effect.promise(
    () =>
      new Promise<unknown>((resolve, reject) => {
        // A TCP server's address is never a path.
        const port = portOf(server)
        const asked = {
          port,
          host: "127.0.0.1",
          method,
          path,
          headers: { "x-request-id": "one", ...headers }
        }
        request(asked, (answer) => {
          const { date: _, ...rest } = answer.headers
          let body = ""
          answer.setEncoding("utf8").on("data", (text) => {
            body += text
          })
          answer.on("end", () => resolve({ status: answer.statusCode, headers: rest, body }))
        })
          .on("error", reject)
          .end()
      })
  )

/** The time of a minute later: all that is on the disk changed long ago. */
const later = () => Object.assign(Clock.make(), { unsafeCurrentTimeMillis: () => Date.now() + 60_000 })

describe("a request that waits for nothing", () => {
  it.scopedLive(
    "is answered at once as it would be by a fiber: what is asked most, and all that is wrong",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryFolder
        yield* Effect.gen(function* () {
          const sharedFiles = yield* SharedFiles
          const app = yield* RelayApp.make.pipe(
            Effect.provide(Layer.provideMerge(Relay.api, HttpApiBuilder.Router.Live))
          )
          const atOnce: Array<boolean> = []
          const counted: typeof app = (given) => {
            const begun = app(given)
            atOnce.push(BegunRequest.isAnswered(begun))
            return begun
          }
          const byFibers: typeof app = (given) => app({ ...given, isAtOnce: false })
          const watch = { begin: () => {}, end: () => {} }
          const serve = (begin: typeof app) =>
            RequestListener.make(begin, watch).pipe(
              Effect.withTracerEnabled(false),
              Effect.flatMap(listening)
            )
          const [here, there] = [yield* serve(counted), yield* serve(byFibers)]
          yield* sharedFiles.upload(uploadOf("content"))
          symlinkSync(directory, join(directory, "shared-files/keyless"))
          const hash = hashOf("content")
          const file = (target: string, more: string) =>
            `/rudder/relay-api/shared-files/node/${target}/motd?source-uuid=source${more}`
          const ofFile = (target: string, hex = hash) => ["HEAD", file(target, `&hash=${hex}`)] as const
          const known = [
            ["GET", "/rudder/relay-api/system/info"],
            ["GET", "/rudder/relay-api/1/system/info?a=b"],
            ofFile("target", hashOf("other")),
            ofFile("target"),
            ["HEAD", `/rudder/relay-api/shared-files/target/source/motd?hash=${hash}`],
            ["HEAD", `/rudder/relay-api/shared-files/target/source/none?hash=${hash}`],
            ["HEAD", "/rudder/relay-api/shared-files/target/source/motd?hash=none"]
          ] as const
          const others = [
            ofFile("keyless"),
            ofFile("nobody"),
            ofFile(".."),
            ofFile("%"),
            ["HEAD", file("target", "")],
            ["HEAD", file("target", `&hash=${hash}&hash=${hash}`)],
            ["HEAD", file("target", `&hash=${hash}&algorithm=sha256`)],
            ["HEAD", `/rudder/relay-api/shared-files/node/source/motd?source-uuid=source&hash=${hash}`],
            ["POST", file("target", "")],
            ["POST", file("target", "&signature=none")],
            ["POST", file("target", "&tttl=1h")],
            ["POST", file("nobody", "&signature=none")],
            ["POST", "/rudder/relay-api/shared-files/node/target/motd"],
            ["PUT", "/rudder/relay-api/shared-files/target/source/motd?ttl=soon"],
            ["PUT", "/rudder/relay-api/shared-files/node/source/motd"],
            ["DELETE", "/rudder/relay-api/system/outbox/none"],
            ["POST", "/rudder/relay-api/system/info"],
            ["GET", "/rudder/relay-api/nothing"],
            ["GET", "/elsewhere"]
          ] as const
          for (const [method, path] of [...known, ...others])
            for (const headers of [
              {},
              { "x-forwarded-for": "nonsense" },
              { "x-forwarded-for": "192.0.2.1" },
              { origin: "https://example.com" }
            ])
              expect(yield* askServer(here, method, path, headers), `${method} ${path}`).toEqual(
                yield* askServer(there, method, path, headers)
              )
          atOnce.length = 0
          for (const [method, path] of known) yield* askServer(here, method, path)
          expect(atOnce).toEqual(known.map(() => true))
        }).pipe(Effect.provide(servedRelay(directory, nodesListLayer(tree))), Effect.withClock(later()))
      })
  )

  it.scopedLive("is answered by what is there once all have been read that came with it", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      yield* Effect.gen(function* () {
        const app = yield* RelayApp.make.pipe(
          Effect.provide(Layer.provideMerge(Relay.api, HttpApiBuilder.Router.Live))
        )
        const atOnce: Array<boolean> = []
        const counted: typeof app = (given) => {
          const begun = app(given)
          atOnce.push(BegunRequest.isAnswered(begun))
          return begun
        }
        const watch = { begin: () => {}, end: () => {} }
        const listener = yield* RequestListener.make(counted, watch).pipe(Effect.withTracerEnabled(false))
        let afterReading = (_id: string | undefined, _socket: Socket) => {}
        const server = yield* listening((message, node) => {
          listener(message, node)
          afterReading(message.headers["x-request-id"]?.toString(), message.socket)
        })
        yield* (yield* SharedFiles).upload(uploadOf("content"))
        const asked = (id: string, path = "/target/source/motd") =>
          `HEAD /rudder/relay-api/shared-files${path}?hash=${hashOf("content")} HTTP/1.1\r\nHost: a\r\nX-Request-Id: ${id}\r\n\r\n`
        const ask = (socket: Socket, id: string) =>
          Effect.promise(async () => {
            socket.write(asked(id))
            const [bytes] = await once(socket, "data")
            return String(bytes).slice(9, 12)
          })
        const sockets = yield* Effect.promise(() =>
          Promise.all(
            [1, 2, 3].map(async () => {
              const socket = connect(portOf(server), "127.0.0.1").on("error", () => {})
              await once(socket, "connect")
              return socket
            })
          )
        )
        for (const socket of sockets) expect(yield* ask(socket, "first")).toBe("200")
        // Removed when the second of three has been read.
        afterReading = (id) => {
          if (id === "1") rmSync(join(directory, "shared-files/target/source/motd"))
        }
        const found = yield* Effect.all(
          sockets.map((socket, at) => ask(socket, String(at))),
          { concurrency: "unbounded" }
        )
        expect(found).toEqual(["404", "404", "404"])
        atOnce.length = 0
        afterReading = (_, socket) => socket.destroy()
        sockets[0]?.write(asked("gone"))
        yield* eventually(() => atOnce.length === 1)
        expect(atOnce).toEqual([false])
      }).pipe(Effect.provide(servedRelay(directory, nodesListLayer(tree))), Effect.withClock(later()))
    })
  )
})

/** What a client is sent that ends its side right behind what it asks. */
const answersTo = (server: Server, text: string) =>
  Effect.promise(async () => {
    const socket = connect({ port: portOf(server), host: "127.0.0.1", allowHalfOpen: true })
    let answer = ""
    socket.setEncoding("utf8").on("data", (bytes) => {
      answer += bytes
    })
    socket.end(text)
    await once(socket, "end")
    socket.destroy()
    return answer
  })

/** A server whose app answers each request at once, with its address. */
const echoing = Effect.gen(function* () {
  const app: BegunRequest.Begin<never, never, never> = ({ request }) => ({
    response: HttpServerResponse.text(request.url),
    headers: []
  })
  const server = createServer()
  const connections = new Connections(server, 1000)
  server.on("request", yield* RequestListener.make(app, connections).pipe(Effect.withTracerEnabled(false)))
  yield* Effect.acquireRelease(
    Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
    () => connections.close
  )
  return { server, connections }
})

const questions = (paths: ReadonlyArray<string>) =>
  paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`).join("")

describe("requests that come one behind the other", () => {
  it.scopedLive("are all answered, in their order, with the end of who asks", () =>
    Effect.gen(function* () {
      const paths = ["/a", "/b", "/c"]
      const { server } = yield* echoing
      const answer = yield* answersTo(server, questions(paths))
      expect(answer.match(/\/[abc]$|\/[abc](?=HTTP)/g)).toEqual(paths)
    })
  )

  it.scopedLive.each([
    ["more of them than wait for each other", Array.from({ length: 20 }, () => "GET /more")],
    ["what is no request for this server", ["CONNECT a:1"]]
  ] as const)("lose no answer to the first by what comes behind it: %s", ([_, behind]) =>
    Effect.gen(function* () {
      const more = behind.map((line) => `${line} HTTP/1.1\r\nHost: a\r\n\r\n`).join("")
      const { server } = yield* echoing
      const answer = yield* exchangedAt(portOf(server), `${questions(["/first"])}${more}`)
      expect(answer).toMatch(/^HTTP\/1\.1 200 .*\/first/s)
    })
  )

  it.scopedLive("hold up no stop once they are answered, or closed with those that are not", () =>
    Effect.gen(function* () {
      const { server, connections } = yield* echoing
      yield* answersTo(server, questions(["/a", "/b"]))
      yield* exchangedAt(portOf(server), questions(Array.from({ length: 20 }, () => "/more")))
      yield* connections.stopAccepting
      expect((yield* Effect.timeoutOption(connections.answered, "5 seconds"))._tag).toBe("Some")
    })
  )
})

describe("a request with a body that nobody wants", () => {
  it.scopedLive("keeps its connection where the body is here whole, also where it is answered at once", () =>
    Effect.gen(function* () {
      const relay = servedRelay(yield* temporaryFolder, nodesListLayer(tree))
      yield* Effect.gen(function* () {
        const app = yield* RelayApp.make.pipe(
          Effect.provide(Layer.provideMerge(Relay.api, HttpApiBuilder.Router.Live))
        )
        const server = yield* RequestListener.make(app, { begin: () => {}, end: () => {} }).pipe(
          Effect.withTracerEnabled(false),
          Effect.flatMap(listening)
        )
        const file = `/rudder/relay-api/shared-files/target/source/none?hash=${hashOf("content")}`
        const head = `HEAD ${file} HTTP/1.1\r\nHost: localhost\r\n`
        const port = portOf(server)
        for (const [asked, status] of [
          [`${head}Content-Length: 3\r\n\r\nabc`, "404"],
          [`${head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`, "404"],
          [get("Host: localhost\r\nContent-Length: 3\r\n").concat("abc"), "200"]
        ] as const) {
          const answer = yield* exchangedAt(port, asked, last)
          expect(statusesOf(answer)).toEqual([status, "200"])
        }
        const cut = yield* exchangedAt(port, `${head}Content-Length: 3\r\n\r\nab`)
        expect(statusesOf(cut)).toEqual(["404"])
        expect(cut.toLowerCase()).toContain("\r\nconnection: close\r\n")
      }).pipe(Effect.provide(relay))
    })
  )
})

describe("the line of a request", () => {
  it.scopedLive("counts the time from when it was read, not from when it was begun", () =>
    Effect.gen(function* () {
      const { lines, layer } = logLines()
      yield* Effect.gen(function* () {
        const app = yield* RelayApp.make.pipe(
          Effect.provide(Layer.provideMerge(Relay.api, HttpApiBuilder.Router.Live))
        )
        const readBefore: typeof app = (given) => app({ ...given, since: given.since - 5000 })
        const server = yield* RequestListener.make(readBefore, { begin: () => {}, end: () => {} }).pipe(
          Effect.withTracerEnabled(false),
          Effect.flatMap(listening)
        )
        yield* askServer(server, "POST", "/rudder/relay-api/system/info")
        yield* eventually(() => lines.some((line) => line.includes("request=one")))
        expect(lines.join("\n")).toMatch(/request=one .*seconds=5\b/)
      }).pipe(
        Effect.provide(
          servedRelay(yield* temporaryFolder, nodesListLayer(tree)).pipe(Layer.provideMerge(layer))
        )
      )
    })
  )
})

describe("a defect of who may ask", () => {
  it.scopedLive(
    "is a 500 with the request's id, under which the log has it, also where it is met at once",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryFolder
        const { lines, layer } = logLines()
        yield* Effect.gen(function* () {
          const access = yield* Access
          const app = yield* RelayApp.make.pipe(
            Effect.provide(Layer.provideMerge(Relay.api, HttpApiBuilder.Router.Live)),
            Effect.provideService(Access, {
              ...access,
              check: () => {
                throw new Error("no rule")
              }
            })
          )
          const begin = (isAtOnce: boolean): typeof app => {
            return (given) => app({ ...given, isAtOnce })
          }
          for (const isAtOnce of [true, false]) {
            const before = lines.length
            const server = yield* RequestListener.make(begin(isAtOnce), {
              begin: () => {},
              end: () => {}
            }).pipe(Effect.withTracerEnabled(false), Effect.flatMap(listening))
            expect(yield* askServer(server, "GET", "/rudder/relay-api/system/info")).toMatchObject({
              status: 500,
              headers: { "x-request-id": "one" },
              body: expect.stringContaining('"request":"one"')
            })
            yield* eventually(() => lines.length >= before + 2)
            expect(lines.slice(before)).toEqual([
              "ERROR a request failed request=one",
              expect.stringMatching(/^ERROR .* request=one .*status=500/)
            ])
          }
        }).pipe(Effect.provide(servedRelay(directory, nodesListLayer(tree)).pipe(Layer.provideMerge(layer))))
      })
  )
})
