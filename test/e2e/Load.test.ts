/** What the relay bears: many agents, many nodes, much output, callers that do not read. */
import { connect, type Socket } from "node:net"
import { afterEach, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import {
  cleanUp,
  command,
  curl,
  events,
  memory,
  nodes,
  prepare,
  type Relay,
  start
} from "./support/Program.ts"

afterEach(cleanUp)

const MiB = 1024 * 1024

/** Asks and never reads. */
const neverReads = (relay: Relay, path: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(relay.port, "127.0.0.1", () => {
      socket.write(`GET /rudder/relay-api${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`, () => resolve(socket))
    })
    socket.pause()
    socket.on("error", reject)
  })

const runs = async (relay: Relay) =>
  JSON.parse((await curl(`${relay.url}/remote-run/runs?limit=100`)).body).runs

describe("many agents", () => {
  it("run side by side: one hundred of 1 s each, fifty at once, take at most 1.25 × 2 s", async () => {
    const relay = await start({
      nodes: nodes(100),
      agent: "exec sleep 1",
      config: { remote_run: { max_concurrent: 50 } }
    })
    // The first run also loads what any run needs.
    await curl(`${relay.url}/remote-run/nodes?nodes=n0`)
    const done = events((await curl(`${relay.url}/remote-run/all`)).body).at(-1)
    console.log(`100 agents of 1 s, 50 at once: ${done?.duration} s`)
    expect(done).toMatchObject({ event: "done", ok: 100, failed: 0 })
    expect(Number(done?.duration)).toBeLessThanOrEqual(2.5)
  })

  it("of 10,000 nodes each get their end, in less than 250 MiB", async () => {
    const relay = await start({ nodes: nodes(10_000), agent: 'echo "a line of $host"' })
    const { body } = await curl(`${relay.url}/remote-run/all?output=keep`)
    const all = events(body)
    const ended = new Set(all.filter(({ event }) => event === "end").map(({ node }) => node))
    const { highest } = memory(relay.pid)
    console.log(
      `10,000 nodes: ${all.at(-1)?.duration} s, highest resident memory ${(highest / MiB).toFixed(0)} MiB`
    )
    expect(all.filter(({ event }) => event === "end").length).toBe(10_000)
    expect(ended.size).toBe(10_000)
    expect(all.at(-1)).toMatchObject({ event: "done", ok: 10_000, failed: 0 })
    expect(body.split("\n").filter((line) => /^n\d+:a line of n\d+\.example\.com$/.test(line)).length).toBe(
      10_000
    )
    expect(highest).toBeLessThan(250 * MiB)
  }, 300_000)

  it("of one big run do not keep a small one waiting: it starts as soon as the next agent ends", async () => {
    const relay = await start({
      nodes: nodes(1001),
      agent: '[ "$host" = n1000.example.com ] || exec sleep 1',
      config: { remote_run: { max_concurrent: 10 } }
    })
    const ids = Array.from({ length: 1000 }, (_, i) => `n${i}`).join(",")
    await curl("-X", "POST", "-d", "async=yes", "-d", `nodes=${ids}`, `${relay.url}/remote-run/nodes`)
    await until("the big run has every permit", async () => (await runs(relay))[0].running === 10)
    const { body } = await curl(`${relay.url}/remote-run/node/n1000`)
    expect(events(body).at(-1)).toMatchObject({ event: "done", ok: 1 })
    // By then no more than two rounds of the big run have ended.
    const [, big] = await runs(relay)
    expect(big.ok).toBeGreaterThanOrEqual(1)
    expect(big.ok).toBeLessThanOrEqual(20)
    await relay.stop()
  })
})

describe("a line", () => {
  it("reaches a streaming client within 50 ms", async () => {
    const relay = await start({
      nodes: nodes(1),
      agent: "i=0; while [ $i -lt 40 ]; do date +%s%N; i=$((i + 1)); sleep 0.05; done"
    })
    const response = await fetch(`${relay.url}/remote-run/node/n0?output=keep&async=yes`)
    const delays: Array<number> = []
    let rest = ""
    for await (const chunk of response.body ?? []) {
      const now = performance.timeOrigin + performance.now()
      rest += Buffer.from(chunk).toString()
      const lines = rest.split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines)
        if (line.startsWith("n0:")) delays.push(now - Number(BigInt(line.slice(3)) / 1000n) / 1000)
    }
    delays.sort((a, b) => a - b)
    const median = delays[Math.floor(delays.length / 2)] ?? Number.NaN
    console.log(
      `a line reaches its client in ${median.toFixed(1)} ms (median), ${delays.at(-1)?.toFixed(1)} ms (slowest of ${delays.length})`
    )
    expect(delays.length).toBe(40)
    expect(median).toBeLessThan(50)
    expect(delays.filter((delay) => delay > 50).length).toBeLessThanOrEqual(2)
  })
})

describe("callers that never read", () => {
  it("eight of 30 MB each cost no memory, slow no agent, and keep nobody from an answer", async () => {
    const directory = prepare()
    await command("sh", [
      "-c",
      `yes 'a line of output that is neither short nor long' | head -c 30000000 > ${directory}/text`
    ])
    const relay = await start({ directory, nodes: nodes(8), agent: `cat ${directory}/text` })
    // What it takes to pass on that much at all, to a caller who reads, is not theirs.
    await curl(`${relay.url}/remote-run/node/n0?output=keep&async=yes`)
    const before = memory(relay.pid).now
    const sockets = await Promise.all(
      Array.from({ length: 8 }, (_, i) => neverReads(relay, `/remote-run/node/n${i}?output=keep&async=yes`))
    )
    const slowest = { millis: 0 }
    const over = await until("all agents have ended", async () => {
      const begun = performance.now()
      await fetch(`${relay.url}/system/info`).then((response) => response.text())
      slowest.millis = Math.max(slowest.millis, performance.now() - begun)
      const all = await runs(relay)
      return all.length === 9 && all.every((run: { ok: number }) => run.ok === 1) ? all : undefined
    })
    const grown = memory(relay.pid).highest - before
    console.log(
      `8 × 30 MB unread: memory grew by ${(grown / MiB).toFixed(0)} MiB; slowest other answer ${slowest.millis.toFixed(0)} ms`
    )
    expect(over.length).toBe(9)
    expect(grown).toBeLessThan(100 * MiB)
    // Nothing is lost: whoever asks gets it all.
    const raw = await fetch(`${relay.url}/remote-run/runs/${over[0].id}/output?format=raw`).then((response) =>
      response.arrayBuffer()
    )
    expect(raw.byteLength).toBe(30_000_000)
    for (const socket of sockets) socket.destroy()
  }, 180_000)
})
