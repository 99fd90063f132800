/** What a peer may send in place of a plain request: upgrades, CONNECT, other forms of the target, resets at any moment. */
import { readdirSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { cleanUp, command, curl, events, nodes, type Relay, raw, start } from "./support/Program.ts"

afterEach(cleanUp)

const base = "/rudder/relay-api"
const head = (request: string, ...headers: ReadonlyArray<string>) =>
  [`${request} HTTP/1.1`, "Host: localhost", ...headers, "", ""].join("\r\n")
const upgrade = ["Connection: Upgrade", "Upgrade: x"]

const opened = (relay: Relay): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(relay.port, "127.0.0.1", () => {
      socket.off("error", reject)
      socket.on("error", () => {})
      resolve(socket)
    })
    socket.once("error", reject)
  })

const answersStill = async (relay: Relay) =>
  expect((await curl(`${relay.url}/system/info`)).status, relay.log()).toBe(200)

const descriptors = (relay: Relay): number => readdirSync(`/proc/${relay.pid}/fd`).length

describe("an upgrade", () => {
  it("that is followed by a reset ends nothing, at whatever moment, and leaves no descriptor", async () => {
    const relay = await start({ nodes: nodes(1) })
    await answersStill(relay)
    // What the first agent needs is there for the next.
    await curl(`${relay.url}/remote-run/all?output=keep`)
    const before = descriptors(relay)
    const whole = [
      head(`GET ${base}/system/info`, ...upgrade),
      head("GET /", ...upgrade, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"),
      head("GET /", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
      `${head(`POST ${base}/remote-run/all`, ...upgrade, "Content-Length: 20")}classes=a`,
      head("CONNECT localhost:1"),
      `${head("CONNECT localhost:1", "Content-Length: 3")}abc`,
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      `${head(`GET ${base}/system/info`)}${head("CONNECT localhost:1")}`,
      `${head(`GET ${base}/remote-run/all?output=keep`)}${head("GET /", ...upgrade)}garbage`
    ]
    for (const text of whole)
      for (const length of [1, 30, text.length - 1, text.length])
        for (const end of ["reset", "half-close", "wait"] as const) {
          const socket = await opened(relay)
          const told = new Promise((resolve) => socket.once("data", resolve).once("close", resolve))
          socket.write(text.slice(0, length))
          if (end === "half-close") socket.end()
          // Until there is an answer, where there will be one.
          if (end === "wait" && length === text.length && !text.includes("Content-Length: 20")) await told
          socket.resetAndDestroy()
        }
    await answersStill(relay)
    await until("the descriptors are as before", () => descriptors(relay) <= before)
    expect(await relay.stop()).toBe(0)
  })

  it("is ignored: the request is answered like any other, its body read", async () => {
    const relay = await start({ nodes: nodes(1), agent: 'echo "classes: $classes"' })
    const { status, body } = await curl(
      "--http2",
      "-d",
      "classes=dry_run&output=keep",
      `${relay.url}/remote-run/all`
    )
    expect(status).toBe(200)
    expect(events(body)[0]).toMatchObject({ classes: ["dry_run"] })
    expect(body).toContain("n0:classes: dry_run")
    const chunked = await raw(
      relay,
      head(`POST ${base}/remote-run/all`, ...upgrade, "Transfer-Encoding: chunked"),
      "10\r\nclasses=a&output\r\n",
      "5\r\n=keep\r\n0\r\n\r\n"
    )
    expect(chunked).toContain("n0:classes: a\n")
  })

  it("closes the connection behind its answer, since what came with it is lost: it is not half done", async () => {
    const relay = await start({ nodes: nodes(1) })
    const answer = await raw(
      relay,
      head(`GET ${base}/system/info`, ...upgrade) + head(`GET ${base}/system/info`)
    )
    expect(answer.match(/HTTP\/1\.1 200 OK/g)?.length).toBe(1)
    expect(answer.toLowerCase()).toContain("\r\nconnection: close\r\n")
  })

  it("is drained at SIGTERM like any other request", async () => {
    const relay = await start({
      nodes: nodes(1),
      agent: 'cd "$(dirname "$0")"; echo begun; while [ ! -e go ]; do sleep 0.02; done; echo ended'
    })
    const socket = await opened(relay)
    let answer = ""
    socket.on("data", (bytes) => {
      answer += bytes
    })
    const closed = new Promise((resolve) => socket.once("close", resolve))
    socket.write(head(`GET ${base}/remote-run/all?output=keep&async=yes`, ...upgrade))
    await until("the agent runs", () => answer.includes("begun"))
    relay.kill("SIGTERM")
    await until("it stops", () => relay.log().includes("message=stopping"))
    await command("touch", [join(relay.directory, "go")])
    await closed
    expect(answer).toContain("n0:ended")
    expect(answer).toContain('"event":"done"')
    expect(answer.endsWith("0\r\n\r\n")).toBe(true)
    expect(await relay.exited).toBe(0)
  })
})

describe("a target", () => {
  it("of CONNECT is one that is not there", async () => {
    const relay = await start()
    const answer = await raw(relay, head("CONNECT localhost:443"))
    expect(answer).toMatch(/^HTTP\/1\.1 404 Not Found\r\n/)
    expect(answer).toContain('"_tag":"NotFound"')
  })

  it.each(["http://localhost", "HTTP://127.0.0.1:3030", "https://[::1]"])(
    "in absolute form is answered like its path: %s",
    async (origin) => {
      const relay = await start({ nodes: nodes(1) })
      const close = "Connection: close"
      const run = await raw(relay, head(`GET ${origin}${base}/remote-run/all?output=keep`, close))
      expect(run).toContain("HTTP/1.1 200 OK")
      expect(run).toContain("n0:hello")
      // The host of the target counts, and a name that was made to point here is none of ours.
      const rebound = await raw(relay, head(`GET http://evil.example${base}/remote-run/all`, close))
      expect(rebound).toContain("HTTP/1.1 403")
      expect(await raw(relay, head(`GET ${origin}`, close))).toContain("HTTP/1.1 404")
    }
  )
})
