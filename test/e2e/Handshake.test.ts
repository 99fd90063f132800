/** TLS connections before they are any: silent, dripping, broken. */
import { connect, type Socket } from "node:net"
import { afterAll, afterEach, beforeAll, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { type Identity, makeIdentity, removeIdentities } from "./support/Identities.ts"
import { cleanUp, command, curl, nodes, type Options, type Relay, start } from "./support/Program.ts"

let identity: Identity

beforeAll(async () => {
  identity = await makeIdentity("root")
})
afterEach(cleanUp)
afterAll(removeIdentities)

const startTls = async (config: Options["config"] = {}) => {
  const { certificate, key } = identity
  const relay = await start({ nodes: nodes(1), config: { ...config, tls: { certificate, key } } })
  return { relay, url: `https://127.0.0.1:${relay.port}/rudder/relay-api/system/info` }
}

interface Opened {
  readonly socket: Socket
  readonly closed: () => boolean
}

const opened = (relay: Relay): Promise<Opened> =>
  new Promise((resolve, reject) => {
    let closed = false
    const socket = connect(relay.port, "127.0.0.1", () => {
      socket.off("error", reject)
      socket.on("error", () => {})
      resolve({ socket, closed: () => closed })
    })
    socket.once("error", reject)
    socket.once("close", () => {
      closed = true
    })
    socket.resume()
  })

/** The head of a record with 512 bytes of a ClientHello, of which none follow. */
const hello = Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3])

it("a connection that never says hello, or drips it, gives its place back within headers_timeout", async () => {
  const { relay, url } = await startTls({ limits: { max_connections: 4, headers_timeout: "1s" } })
  const all = await Promise.all([1, 2, 3, 4].map(() => opened(relay)))
  const drip = setInterval(() => {
    for (const { socket } of all.slice(2)) if (socket.writable) socket.write(Buffer.from([0]))
  }, 100)
  for (const { socket } of all.slice(1)) socket.write(hello)
  try {
    // One more is closed as it comes, which the log tells.
    const more = await opened(relay)
    await until("it is closed", more.closed, 10)
    await until("the four are closed", () => all.every(({ closed }) => closed()), 15)
    await expect.poll(() => relay.log()).toContain("limits.max_connections")
  } finally {
    clearInterval(drip)
  }
  expect((await curl("-k", url)).status).toBe(200)
})

it("a handshake that goes on does not delay the stop", async () => {
  const { relay } = await startTls({
    general: { shutdown_grace: "100s" },
    limits: { headers_timeout: "100s" }
  })
  const silent = await opened(relay)
  const begun = await opened(relay)
  begun.socket.write(hello)
  // Both are accepted by now: a later connection is answered.
  expect((await curl("-k", `https://127.0.0.1:${relay.port}/rudder/relay-api/system/info`)).status).toBe(200)
  relay.kill("SIGTERM")
  let code: number | null | undefined
  void relay.exited.then((ended) => {
    code = ended
  })
  await until("it has stopped", () => code !== undefined, 30)
  expect(code).toBe(0)
  await until("both are closed", () => silent.closed() && begun.closed())
})

it("why one failed is in the log, once a minute for each address", async () => {
  const { relay, url } = await startTls()
  const silent = await opened(relay)
  silent.socket.end()
  await until("it is closed", silent.closed)
  expect(relay.log()).not.toContain("handshake")
  for (const from of ["127.0.0.2", "127.0.0.2", "127.0.0.3"])
    await command("curl", ["-sS", "--interface", from, url.replace("https", "http")])
  silent.socket.destroy()
  const garbage = await opened(relay)
  garbage.socket.write("no hello\r\n\r\n")
  await until("it is told", () => relay.log().includes("wrong version"))
  const told = relay
    .log()
    .split("\n")
    .filter((line) => line.includes("a TLS handshake failed"))
  expect(told).toEqual([
    expect.stringMatching(/WARN .*address=127\.0\.0\.2 .*error="http request"/),
    expect.stringMatching(/WARN .*address=127\.0\.0\.3 .*error="http request"/),
    expect.stringMatching(/WARN .*address=127\.0\.0\.1 .*error="wrong version number"/)
  ])
})

it("garbage and resets at any moment of a handshake end nothing", async () => {
  const { relay, url } = await startTls()
  const texts = [
    Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    hello,
    Buffer.concat([hello, Buffer.alloc(505)]),
    Buffer.from([0x15, 3, 3, 0, 2, 2, 40]),
    Buffer.alloc(1000, 0xff)
  ]
  for (const text of texts)
    for (const length of [0, 1, 5, text.length])
      for (const end of ["reset", "half-close", "wait"] as const) {
        const { socket, closed } = await opened(relay)
        if (length > 0) socket.write(text.subarray(0, length))
        if (end === "half-close") socket.end()
        if (end === "half-close" || (end === "wait" && length === text.length && text !== hello))
          await until("closed", closed)
        socket.resetAndDestroy()
      }
  expect((await curl("-k", url)).status).toBe(200)
  expect(await relay.stop()).toBe(0)
})
