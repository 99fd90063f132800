/**
 * A relay that is stopped and started again and again under callers who do not wait for it: each call is answered, or
 * ends at once with an error that its caller sees. `E2E_REQUESTS` says how many are to be answered.
 */
import { readFileSync } from "node:fs"
import * as Http from "node:http"
import { createServer } from "node:net"
import { join } from "node:path"
import { setTimeout as after } from "node:timers/promises"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { bulkSender } from "./support/BulkSender.ts"
import { type Ledger, newLedger } from "./support/Ledger.ts"
import { cleanUp, nodes, prepare, type Relay, start } from "./support/Program.ts"
import { setting } from "./support/Seeded.ts"
import { entryOf, newSender, removeSenders, type Sender } from "./support/Senders.ts"
import { fieldsOf } from "./support/Sharing.ts"

const wanted = setting("E2E_REQUESTS", 1000)
const perLife = 100

/** A call that takes longer is left hanging: none of these has anything to wait for. */
const limit = 30_000

/**
 * Not 127.0.0.1: a caller that connects from there to a port on which nobody listens may be given this port for its own
 * end, and then speaks to itself.
 */
const host = "127.0.0.7"

let c: Sender
beforeAll(async () => {
  c = await newSender("c")
})
afterAll(removeSenders)
afterEach(cleanUp)

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, host)
  await until("listening", () => server.listening)
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === "object" && address !== null ? address.port : 0
}

interface Call {
  readonly method: string
  readonly path: string
  readonly body?: Buffer
  /** Sends the second half of its body a little later. */
  readonly slowly?: boolean
}

type Outcome =
  | { readonly kind: "answered"; readonly status: number; readonly body: string }
  | { readonly kind: "refused" | "cut"; readonly code: string }
  | { readonly kind: "hung" }

const ask = (
  port: number,
  agent: Http.Agent | false,
  { method, path, body, slowly }: Call
): Promise<Outcome> =>
  new Promise((resolve) => {
    const over = (outcome: Outcome) => {
      clearTimeout(timer)
      resolve(outcome)
    }
    const failed = (error: NodeJS.ErrnoException) => {
      const code = error.code ?? error.message
      over({ kind: code === "ECONNREFUSED" ? "refused" : "cut", code })
    }
    const headers = { ...(body === undefined ? {} : { "content-length": body.length }) }
    const request = Http.request(
      { host, port, agent, method, headers, path: `/rudder/relay-api/1${path}` },
      (response) => {
        let text = ""
        response.on("error", failed)
        response.on("data", (bytes) => {
          text += bytes
        })
        response.on("end", () => over({ kind: "answered", status: response.statusCode ?? 0, body: text }))
      }
    )
    const timer = setTimeout(() => {
      over({ kind: "hung" })
      request.destroy()
    }, limit)
    request.on("error", failed)
    if (body === undefined || slowly !== true) {
      request.end(body)
      return
    }
    request.write(body.subarray(0, body.length / 2))
    setTimeout(() => request.end(body.subarray(body.length / 2)), 100)
  })

/** What went wrong with an answer; undefined: nothing. */
type Judge = (status: number, body: string) => string | undefined

const oneOf =
  (...statuses: ReadonlyArray<number>): Judge =>
  (status, body) =>
    // A relay that stops may say that it does.
    statuses.includes(status) || status === 503 ? undefined : `${status} ${body}`

/** An answer that came to its end is a run's to its end, too. */
const wholeRun: Judge = (status, body) =>
  oneOf(200)(status, body) ??
  (status === 503 || body.trimEnd().split("\n").at(-1)?.startsWith('{"event":"done"') === true
    ? undefined
    : `a run without an end: ${body}`)

const callsOf = (ledger: Ledger, query: (content: Buffer) => string) => {
  const upload = (name: string, slowly: boolean): [Call, Judge] => {
    const { version, content } = ledger.begin(name)
    const path = `/shared-files/node/n1/${name}?${query(content)}`
    return [
      { method: "POST", path, body: content, slowly },
      (status, body) => {
        if (status === 200) ledger.acknowledge(name, version)
        return oneOf(200)(status, body)
      }
    ]
  }
  const simple = (method: string, path: string, judge: Judge) => (): [Call, Judge] => [
    { method, path },
    judge
  ]
  const hash = "ab".repeat(64)
  return [
    simple("GET", "/system/info", oneOf(200)),
    simple("HEAD", `/shared-files/node/n1/absent?source-uuid=c&hash=${hash}`, oneOf(404)),
    simple("GET", "/remote-run/node/n0?output=keep", wholeRun),
    simple("GET", "/remote-run/nodes?nodes=n0,n1&output=keep&async=yes", wholeRun),
    simple("POST", "/remote-run/all?async=yes", oneOf(202)),
    () => upload("quick", false),
    () => upload("slow", true),
    simple("GET", "/system/status", oneOf(200))
  ]
}

describe(`${wanted} requests under restarts`, () => {
  it("are each answered, or refused or cut at once; none hangs", async () => {
    const port = await freePort()
    const directory = prepare()
    const options = {
      directory,
      nodes: { ...nodes(3), c: entryOf(c) },
      agent: "echo begin; sleep 0.1; echo end",
      config: { general: { listen: `${host}:${port}`, shutdown_grace: "10s" } }
    }
    let relay: Relay = await start(options)
    const sender = bulkSender(c, 1)
    const ledger = newLedger(c)
    const kept = new Http.Agent({ keepAlive: true })
    const outcomes: Record<Outcome["kind"], number> = { answered: 0, refused: 0, cut: 0, hung: 0 }
    const faults: Array<string> = []
    const codes = new Set<string>()
    let slowest = 0
    let over = false

    const caller = async (next: () => [Call, Judge], agent: Http.Agent | false) => {
      while (!over) {
        const [call, judge] = next()
        const began = performance.now()
        const outcome = await ask(port, agent, call)
        slowest = Math.max(slowest, performance.now() - began)
        outcomes[outcome.kind]++
        if (outcome.kind === "answered") {
          const fault = judge(outcome.status, outcome.body)
          if (fault !== undefined) faults.push(`${call.method} ${call.path.slice(0, 80)}: ${fault}`)
        } else if (outcome.kind === "hung") faults.push(`${call.method} ${call.path.slice(0, 80)} hangs`)
        else codes.add(outcome.code)
        // Soon again: a start is to be met in all its moments.
        if (outcome.kind === "refused") await after(20)
      }
    }
    const callers = callsOf(ledger, sender.query).flatMap((next, i) =>
      // Uploads of one name are one after the other.
      i === 5 || i === 6 ? [caller(next, false)] : [caller(next, false), caller(next, kept)]
    )
    let restarts = 0
    while (outcomes.answered < wanted && outcomes.hung === 0) {
      const target = Math.min(wanted, outcomes.answered + perLife)
      await until(
        `${target} answers`,
        () => outcomes.answered >= target || outcomes.hung > 0,
        2 * (limit / 1000)
      )
      expect(await relay.stop()).toBe(0)
      expect(relay.log()).not.toMatch(/level=ERROR|defect|unhandled/i)
      restarts++
      relay = await start(options)
    }
    over = true
    await Promise.all(callers)
    kept.destroy()
    sender.close()
    console.log(
      `${restarts} restarts: ${outcomes.answered} answered, ${outcomes.refused} refused, ${outcomes.cut} cut ` +
        `(${[...codes].join(", ")}), ${outcomes.hung} left hanging; the slowest took ${slowest.toFixed(0)} ms`
    )
    expect(faults).toEqual([])
    for (const name of ledger.acknowledged()) {
      const place = join(directory, "shared-files/n1/files/c", name)
      expect(ledger.fault(name, readFileSync(place), fieldsOf(place).digest ?? "")).toBe(undefined)
    }
    expect(await relay.stop()).toBe(0)
  }, 300_000)
})
