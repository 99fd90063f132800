/** What node's server answers by itself, and what it does not. */
import { createServer, type Server } from "node:http"
import { connect } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { makeSettings } from "../../src/config/GivenSettings.ts"
import * as UnreadableRequests from "../../src/server/UnreadableRequests.ts"
import { logLines } from "../support/LogLines.ts"
import { eventually } from "../support/Until.ts"

const { limits } = makeSettings({})

/** A server that answers what it can read, its port, and what the log says. */
const withServer = <A, E>(
  use: (port: number, lines: ReadonlyArray<string>) => Effect.Effect<A, E, Scope.Scope>
) => {
  const { lines, layer } = logLines()
  return Effect.gen(function* () {
    const server = yield* Effect.acquireRelease(
      Effect.async<Server>((resume) => {
        const options = { headersTimeout: 200, requestTimeout: 0, connectionsCheckingInterval: 50 }
        const made = createServer(options, (asked, response) => {
          // Who reads the body has a line of its own about it.
          if (asked.url === "/body") asked.on("error", () => response.writeHead(400).end("cut")).resume()
          else if (asked.url === "/later" || asked.url === "/begun") {
            if (asked.url === "/begun") response.write("it is ")
            made.once("clientError", () => setImmediate(() => response.end("read")))
          } else response.end("read")
        })
        made.listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
      }),
      (made) => Effect.async<void>((resume) => void made.close(() => resume(Effect.void)))
    )
    yield* UnreadableRequests.answered(server, limits)
    const address = server.address()
    return yield* use(typeof address === "object" && address !== null ? address.port : 0, lines)
  }).pipe(Effect.scoped, Effect.provide(layer))
}

/** All that comes back for what is sent, until the server closes. */
const sent = (port: number, text: string) =>
  Effect.async<string>((resume) => {
    let answer = ""
    const socket = connect(port, "127.0.0.1", () => socket.write(text))
    socket.on("data", (bytes) => {
      answer += bytes
    })
    socket.on("error", () => {})
    socket.once("close", () => resume(Effect.succeed(answer)))
    return Effect.sync(() => socket.destroy())
  })

const request = (more: string) => `GET / HTTP/1.1\r\nHost: relay\r\n${more}`

describe("what can't be read as a request", () => {
  for (const [what, text, status, tag] of [
    ["no HTTP", "hello?\r\n\r\n", 400, "InvalidRequest"],
    ["too long a head", request(`X: ${"x".repeat(40_000)}\r\n\r\n`), 431, "InvalidRequest"],
    ["half of a head", request("X: "), 408, "RequestTimeout"]
  ] as const)
    it.live(`is answered with an id, and the log has a line with it: ${what}`, () =>
      withServer((port, lines) =>
        Effect.gen(function* () {
          const answer = yield* sent(port, text)
          expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
          const [head = "", body = ""] = answer.split("\r\n\r\n")
          expect(JSON.parse(body)).toMatchObject({ _tag: tag })
          expect(head).toContain(`Content-Length: ${Buffer.byteLength(body)}`)
          const id = /^x-request-id: (\S+)/im.exec(head)?.[1]
          yield* eventually(() => lines.length > 0)
          expect(lines).toEqual([
            expect.stringMatching(
              new RegExp(`^WARN .*address=127\\.0\\.0\\.1 .*request=${id} status=${status} tag=${tag}$`)
            )
          ])
        })
      )
    )

  it.live(
    "ends the connection where it comes behind a request, and is not answered in the middle of its answer",
    () =>
      withServer((port) =>
        Effect.gen(function* () {
          const answer = yield* sent(port, `${request("\r\n")}hello?\r\n\r\n`)
          expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n([^\r]+\r\n)*\r\nread($|HTTP\/1\.1 400 )/)
        })
      )
  )

  it.live("is not answered in the place of what was asked before it, and cuts no answer off", () =>
    withServer((port, lines) =>
      Effect.gen(function* () {
        for (const path of ["/later", "/begun"])
          for (const rest of ["hello?\r\n\r\n", "POST"]) {
            const answer = yield* sent(port, `GET ${path} HTTP/1.1\r\nHost: relay\r\n\r\n${rest}`)
            expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
            expect(answer.match(/HTTP\/1/g)).toHaveLength(1)
            expect(answer).toMatch(/read(\r\n0\r\n\r\n)?$/)
          }
        yield* eventually(() => lines.length > 0)
        expect(lines).toEqual([expect.stringMatching(/^WARN .*tag=InvalidRequest/)])
      })
    )
  )

  it.live("is told to what reads the body where it is in a body: there is one answer, and one line", () =>
    withServer((port, lines) =>
      Effect.gen(function* () {
        const head = "POST /body HTTP/1.1\r\nHost: relay\r\nTransfer-Encoding: chunked\r\n\r\n"
        for (const rest of ["no size\r\n", "3\r\nabc\r\nno size\r\n"]) {
          const answer = yield* sent(port, `${head}${rest}`)
          expect(answer).toMatch(/^HTTP\/1\.1 400 /)
          expect(answer).toContain("cut")
          expect(answer).not.toContain("no HTTP request")
        }
        expect(lines).toEqual([])
      })
    )
  )

  it.live("has no line where a caller connects, and says nothing", () =>
    withServer((port, lines) =>
      Effect.gen(function* () {
        expect(yield* sent(port, "")).toMatch(/^HTTP\/1\.1 408 /)
        yield* sent(port, "hello?\r\n\r\n")
        yield* eventually(() => lines.length > 0)
        expect(lines).toEqual([expect.stringContaining("status=400")])
      })
    )
  )
})
