/** The built program below a policy server that answers in every wrong way there is. */
import { createServer, type Server, type Socket } from "node:net"
import { afterAll, afterEach, beforeAll, expect, it } from "vitest"
import { madPeers } from "../support/MadPeers.ts"
import { until } from "../support/Until.ts"
import { entriesOf } from "./support/OutboxView.ts"
import { cleanUp, curl, prepare, start } from "./support/Program.ts"
import { entryOf, fileOf, newSender, removeSenders, type Sender, share } from "./support/Senders.ts"

let c: Sender
let server: Server
const sockets = new Set<Socket>()
let behave: (socket: Socket) => void = (socket) => socket.destroy()

beforeAll(async () => {
  c = await newSender("c")
  server = createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => {}).once("close", () => sockets.delete(socket))
    behave(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
})
afterEach(cleanUp)
afterAll(async () => {
  await removeSenders()
  for (const socket of sockets) socket.destroy()
  server.close()
})

const portOf = (): number => {
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

it("goes on, says so in the log, the outbox and its status, and delivers once it is answered", async () => {
  const directory = prepare()
  const relay = await start({
    directory,
    nodes: { c: entryOf(c, "lower") },
    config: {
      general: { node_id: "lower" },
      shared_files: { forward_wait: "0s", forward_timeout: "500ms" },
      "shared_files.retry": { initial: "20ms", max: "200ms" },
      "output.upstream": { url: `http://127.0.0.1:${portOf()}` }
    }
  })
  const path = fileOf("in the end\n")
  expect((await share(relay, { from: c, target: "a", fileId: "mad", path })).status).toBe(202)
  let attempts = 0
  const tried = async () => {
    const entry = (await entriesOf(relay))[0]
    return entry !== undefined && entry.attempts > attempts ? entry : undefined
  }
  for (const { what, connection } of madPeers) {
    behave = connection
    attempts = (await entriesOf(relay))[0]?.attempts ?? 0
    // What was begun before this peer was there is not its doing.
    attempts = (await until(`${what}: tried`, tried)).attempts
    const entry = await until(`${what}: tried again`, tried)
    expect(entry.last_error).toMatch(/^127\.0\.0\.1:\d+: \S/)
    const status = JSON.parse((await curl(`${relay.url}/1/system/status`)).body)
    expect(status.data.upstream).toMatchObject({ status: "error", details: expect.stringMatching(/\S/) })
    const asked = await curl(
      "-I",
      `${relay.url}/shared-files/node/a/other?source-uuid=c&hash=${"0".repeat(64)}`
    )
    expect(asked.body).toMatch(/^HTTP\/1\.1 404 /)
    expect(asked.body).toMatch(/^relay-upstream: unreachable\r$/im)
  }
  behave = (socket) =>
    socket.once("data", () => socket.end("HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nthanks"))
  await until("it is delivered", async () => (await entriesOf(relay)).length === 0)
  await until("its status is well", async () => {
    const { data } = JSON.parse((await curl(`${relay.url}/1/system/status`)).body)
    return data.upstream.status === "success"
  })
  await expect.poll(() => relay.log()).toMatch(/will be tried again.*answered 101/)
  await expect.poll(() => relay.log()).toMatch(/held back.*error=/)
})
