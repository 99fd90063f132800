/** Files on their way to the policy server: the built program, over TLS, killed and restarted, below whatever answers. */
import { createHash, createPublicKey, randomBytes, verify } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { bulkSender } from "./support/BulkSender.ts"
import { type Identity, makeIdentity, removeIdentities } from "./support/Identities.ts"
import { amountOf, type Entry, entriesOf, leftOnDisk, retryAll } from "./support/OutboxView.ts"
import {
  type PolicyServer,
  type Reply,
  startPolicyServer,
  stopPolicyServers,
  type Upload
} from "./support/PolicyServer.ts"
import {
  cleanUp,
  command,
  curl,
  memory,
  type NodeEntry,
  type Options,
  prepare,
  type Relay,
  start
} from "./support/Program.ts"
import {
  type Algorithm,
  entryOf,
  fileOf,
  hashOf,
  head,
  headerOf,
  isThere,
  newSender,
  removeSenders,
  type Sender,
  type Sharing,
  share
} from "./support/Senders.ts"
import { closeWires, openWire } from "./support/Wire.ts"

let identities: Record<"root" | "upper" | "lower", Identity>
/** Shares files; it is below the lowest relay. */
let c: Sender

beforeAll(async () => {
  const [root, upper, lower] = await Promise.all(["root", "upper", "lower"].map((id) => makeIdentity(id)))
  if (root === undefined || upper === undefined || lower === undefined) throw new Error("no identities")
  identities = { root, upper, lower }
  c = await newSender("c")
})
afterAll(removeIdentities)
afterAll(removeSenders)
afterEach(async () => {
  await cleanUp()
  stopPolicyServers()
  closeWires()
})

const relayNode = (policyServer: string): NodeEntry => ({
  hostname: "relay.example.com",
  "policy-server": policyServer
})

type Config = NonNullable<Options["config"]>

const below = (url: string, identity: Identity): Config => ({
  "output.upstream": { url, server_certificate_file: identity.certificate }
})

/** Short enough for tests that wait for the next try. */
const soon = { "shared_files.retry": { initial: "20ms", max: "200ms" } }

/** Whether openssl finds that the source signed this file: by the digest that its metadata has. */
const isVerified = async (
  from: Sender,
  path: string,
  digest: string,
  algorithm: Algorithm = "sha512"
): Promise<boolean> => {
  const publicKey = fileOf("")
  await command("openssl", ["rsa", "-in", from.keyFile, "-pubout", "-out", publicKey])
  const signature = fileOf(Buffer.from(digest, "hex"))
  const { code, stdout } = await command("openssl", [
    ...["dgst", `-${algorithm}`, "-verify", publicKey, "-signature", signature, path]
  ])
  return code === 0 && stdout === "Verified OK\n"
}

const killed = async (relay: Relay): Promise<void> => {
  relay.kill("SIGKILL")
  await relay.exited
}

describe("a file for a node that only root knows", () => {
  const target = "a"
  const lists = () => {
    const lowest = { c: entryOf(c, "lower") }
    const middle = { lower: relayNode("upper"), ...lowest }
    const all = { root: relayNode("root"), a: relayNode("root"), upper: relayNode("root"), ...middle }
    return { root: all, upper: middle, lower: lowest }
  }

  /** A level of the tree, always in its own folder; its policy server is behind a wire. */
  const level = (
    name: "root" | "upper" | "lower",
    upstream?: { readonly port: number; readonly identity: Identity }
  ) => {
    const directory = prepare()
    const { certificate, key } = identities[name]
    return async (): Promise<Relay> => {
      const relay = await start({
        directory,
        nodes: lists()[name],
        config: {
          general: { node_id: name },
          tls: { certificate, key },
          shared_files: { forward_wait: "100ms" },
          ...soon,
          ...(upstream === undefined ? {} : below(`https://127.0.0.1:${upstream.port}`, upstream.identity))
        }
      })
      const origin = relay.origin.replace("http:", "https:")
      return { ...relay, origin, url: relay.url.replace(relay.origin, origin) }
    }
  }

  it("arrives there once, whole, though root was down and both relays were killed on the way", async () => {
    const toRoot = await openWire()
    const toUpper = await openWire()
    const startRoot = level("root")
    const startUpper = level("upper", { port: toRoot.port, identity: identities.root })
    const startLower = level("lower", { port: toUpper.port, identity: identities.upper })
    let upper = await startUpper()
    let lower = await startLower()
    const restartUpper = async () => {
      await killed(upper)
      upper = await startUpper()
      toUpper.lead(upper.port)
    }
    toUpper.lead(upper.port)
    const content = fileOf(randomBytes(2_000_000))
    const sharing: Sharing = { from: c, target, fileId: "far", path: content, date: new Date().toISOString() }
    const halfWay = 500_000

    // The relay that receives is killed half way, then the one that sends.
    let held = toUpper.hold(halfWay)
    const answer = await share(lower, { ...sharing, ttl: "1d" }, "-k")
    expect([answer.status, JSON.parse(answer.body).result]).toEqual([202, "queued"])
    await held
    await restartUpper()
    held = toUpper.hold(halfWay)
    await retryAll(lower)
    await held
    await killed(lower)
    lower = await startLower()
    await until("the upper relay has it", async () => (await entriesOf(lower)).length === 0)
    expect(await entriesOf(upper)).toMatchObject([{ target, source: "c", file_id: "far", size: 2_000_000 }])
    await restartUpper()
    await until("it is tried, and root is not there", async () => {
      const [entry] = await entriesOf(upper)
      return (entry?.attempts ?? 0) > 0 && entry?.last_error !== null
    })

    // Root is there; the relay that sends is killed half way.
    const root = await startRoot()
    held = toRoot.hold(halfWay)
    toRoot.lead(root.port)
    await held
    await restartUpper()
    await until("root has it", async () => (await entriesOf(upper)).length === 0)

    const place = join(root.directory, "shared-files", target, "files", "c", "far")
    const metadata = readFileSync(`${place}.metadata`, "utf8")
    expect(readFileSync(place).equals(readFileSync(content))).toBe(true)
    expect(metadata).toContain(`\nhash_value=${await hashOf(content)}\n`)
    expect(metadata).toContain(`\ndate=${sharing.date}\n`)
    expect(await isVerified(c, place, /^digest=([0-9a-f]+)$/m.exec(metadata)?.[1] ?? "")).toBe(true)
    const expires = Number(/^expires=(\d+)$/m.exec(metadata)?.[1])
    expect(expires).toBeGreaterThan(Date.now() / 1000 + 86_000)
    expect(expires).toBeLessThanOrEqual(Date.now() / 1000 + 86_400)
    await expect.poll(() => root.log().match(/message="shared file accepted"/g)).toHaveLength(1)
    for (const relay of [lower, upper]) {
      expect(await entriesOf(relay)).toEqual([])
      expect(leftOnDisk(relay)).toEqual([])
    }
    // Asked at the bottom, root answers.
    const hash = await hashOf(content)
    const ask = (asked: string) =>
      curl("-k", "-I", `${lower.url}/shared-files/node/${target}/far?source-uuid=c&hash=${asked}`)
    expect((await ask(hash)).status).toBe(200)
    expect((await ask(hash.replace(/^./, (digit) => (digit === "0" ? "1" : "0")))).status).toBe(404)
  })
})

/** A relay with the source below it, and a scripted policy server above. */
const startBelow = async (server: PolicyServer, config: Config = {}, directory = prepare()): Promise<Relay> =>
  start({
    directory,
    nodes: { c: entryOf(c, "lower") },
    config: { general: { node_id: "lower" }, ...soon, ...below(server.url, identities.root), ...config }
  })

const sharingOf = (fileId: string, path: string): Sharing => ({ from: c, target: "a", fileId, path })

const only = async (relay: Relay): Promise<Entry> => {
  const entries = await entriesOf(relay)
  expect(entries).toHaveLength(1)
  const [entry] = entries
  if (entry === undefined) throw new Error("no entry")
  return entry
}

describe("a policy server that does not take a file", () => {
  it("is tried until it does: whatever it said, however it fell silent, whoever was in its place", async () => {
    const server = await startPolicyServer(identities.root)
    const taken: Array<Upload> = []
    server.answer(() => ({ status: 503, body: "starting" }))
    const relay = await startBelow(server, {
      shared_files: { forward_wait: "0s", forward_timeout: "1s" }
    })
    const path = fileOf("in the end\n")
    expect((await share(relay, sharingOf("patient", path))).status).toBe(202)
    let attempts = 0
    const isTried = async (what: RegExp) => {
      const entry = await until(`tried, and ${what}`, async () => {
        const found = await only(relay)
        return found.attempts > attempts && what.test(found.last_error ?? "") ? found : undefined
      })
      expect(["waiting", "sending"]).toContain(entry.state)
      expect(entry).toMatchObject({ target: "a", source: "c", file_id: "patient", size: 11 })
      attempts = entry.attempts
      expect(taken).toEqual([])
    }
    await isTried(/answered 503: starting$/)
    server.answer(() => ({ status: 429 }))
    await isTried(/answered 429$/)
    server.answer(() => ({ status: 307, headers: { location: `${server.url}/elsewhere` } }))
    await isTried(/answered 307$/)
    server.answer(() => "reset")
    await isTried(/ECONNRESET|socket hang up/)
    server.answer(() => "silence")
    await isTried(/silent for 1s$/)
    server.become(identities.upper)
    await isTried(/another key than the one that is known/)
    const asked = server.requests.length
    server.answer((upload) => {
      taken.push(upload)
      return { status: 200 }
    })
    await isTried(/another key than the one that is known/)
    expect(server.requests).toHaveLength(asked)
    server.become(identities.root)
    await until("it is delivered", async () => (await entriesOf(relay)).length === 0)
    expect(taken).toMatchObject([{ target: "a", source: "c", fileId: "patient", ttl: "36500d" }])
    expect(taken[0]?.content.toString()).toBe("in the end\n")
    expect(new Set(server.requests)).toEqual(
      new Set(["PUT /rudder/relay-api/shared-files/a/c/patient?ttl=36500d"])
    )
    await until("nothing of it is left on the disk", () => leftOnDisk(relay).length === 0)
    for (const what of ["503", "429", "307", "silent", "another key"])
      await expect.poll(() => relay.log()).toMatch(new RegExp(`will be tried again.*${what}`))
  })
})

describe("a policy server that refuses a file", () => {
  it("is asked once; the source learns of it, and it is sent again when somebody says so", async () => {
    const server = await startPolicyServer(identities.root)
    const puts = () => server.requests.filter((request) => request.startsWith("PUT")).length
    let refuse = () => {}
    server.answer(
      () =>
        new Promise((resolve) => {
          refuse = () => resolve({ status: 403, body: '{"_tag":"BadSignature","message":"not from c"}' })
        })
    )
    const relay = await startBelow(server, { shared_files: { forward_wait: "0s" } })
    const sharing = sharingOf("unwanted", fileOf("unwanted\n"))
    expect((await share(relay, sharing)).status).toBe(202)
    await until("the policy server is asked", () => puts() === 1)
    refuse()
    const entry = await until("it is refused", async () => {
      const found = await only(relay)
      return found.state === "refused" ? found : undefined
    })
    expect(entry).toMatchObject({
      file_id: "unwanted",
      attempts: 1,
      last_error: "not from c",
      next_try: null
    })
    expect(await amountOf(relay)).toMatchObject({ waiting: 0, refused: 1 })

    // The source asks, and sends it once more: it is told, and nobody else is asked.
    server.answer(() => ({ status: 200 }))
    expect(await isThere(relay, sharing)).toBe(403)
    const again = await share(relay, sharing)
    expect([again.status, JSON.parse(again.body)]).toEqual([
      403,
      { _tag: "UpstreamRejected", message: "not from c", status: 403 }
    ])
    // Also behind a restart, which sends what waits.
    await killed(relay)
    const restarted = await startBelow(server, {}, relay.directory)
    expect(await isThere(restarted, sharing)).toBe(403)
    // Another file is no matter of it; when that one is there, the refused one had its chance.
    expect((await share(restarted, sharingOf("wanted", fileOf("wanted\n")))).status).toBe(200)
    expect(server.requests.filter((request) => request.includes("unwanted"))).toHaveLength(1)

    server.answerHead(() => ({ status: 200 }))
    expect(await retryAll(restarted)).toBe(1)
    await until("it is delivered", async () => (await entriesOf(restarted)).length === 0)
    expect(
      server.requests.filter((request) => request.includes("PUT") && request.includes("unwanted"))
    ).toHaveLength(2)
    expect(await isThere(restarted, sharing)).toBe(200)
    expect(leftOnDisk(restarted)).toEqual([])
  })
})

describe("an older policy server", () => {
  /** As Rudder's older relay reads an upload: all it dislikes is 500. */
  const older = () => {
    const stored = new Map<string, { readonly upload: Upload; readonly hash: string }>()
    const known = new Set<string>()
    const keys = [
      "header",
      "algorithm",
      "digest",
      "hash_value",
      "short_pubkey",
      "hostname",
      "keydate",
      "keyid"
    ]
    const unit = "(?:weeks?|w|days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)"
    const ttlPattern = new RegExp(`^(?:\\d+|(?:\\d+ *${unit} *)+)$`)
    const dislikes = ({ target, ttl, header, content }: Upload): string | undefined => {
      if (!known.has(target)) return `unknown node ${target}`
      const missing = keys.find((key) => (header[key] ?? "") === "")
      if (missing !== undefined) return `no ${missing}`
      const { algorithm = "", digest = "", hash_value, short_pubkey = "" } = header
      if (header.header !== "rudder-signature-v1") return "header"
      if (ttl === null || !ttlPattern.test(ttl)) return `ttl ${ttl}`
      if (createHash(algorithm).update(content).digest("hex") !== hash_value) return "hash"
      const key = createPublicKey({ key: Buffer.from(short_pubkey, "base64"), format: "der", type: "pkcs1" })
      return verify(algorithm, content, key, Buffer.from(digest, "hex")) ? undefined : "signature"
    }
    const put = (upload: Upload): Reply => {
      const problem = dislikes(upload)
      if (problem !== undefined) return { status: 500, body: problem }
      const { target, source, fileId, header } = upload
      stored.set(`/rudder/relay-api/shared-files/${target}/${source}/${fileId}`, {
        upload,
        hash: header.hash_value ?? ""
      })
      return { status: 200 }
    }
    const head = ({ pathname, searchParams }: URL): Reply => ({
      status: stored.get(pathname)?.hash === searchParams.get("hash") ? 200 : 404
    })
    return {
      known,
      put,
      head,
      of: (name: string) => stored.get(`/rudder/relay-api/shared-files/${name}`)?.upload
    }
  }

  it("gets what agents send in either form, and what it answers 500 to later, when it takes it", async () => {
    const server = await startPolicyServer(identities.root)
    const { known, put, head: answerHead, of } = older()
    server.answer(put)
    server.answerHead(answerHead)
    const relay = await startBelow(server)
    const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, at) => (at * 7919) % 256))
    const path = fileOf(bytes)
    const hash = await hashOf(path, "sha256")
    const ask = () => head(relay, `/shared-files/a/c/v1?hash=${hash}`)
    const body = fileOf(Buffer.concat([Buffer.from(await headerOf(c, path, "sha256")), bytes]))
    const send = () =>
      curl("-X", "PUT", "--data-binary", `@${body}`, `${relay.url}/shared-files/a/c/v1?ttl=1day+2hours`)
    const sharing: Sharing = { ...sharingOf("v2", path), ttl: "1w 2d", date: new Date().toISOString() }

    expect(await ask()).toBe(404)
    expect(await isThere(relay, sharing)).toBe(404)
    expect((await send()).status).toBe(202)
    expect((await share(relay, sharing)).status).toBe(202)
    const entries = await until("both were tried twice", async () => {
      const found = await entriesOf(relay)
      return found.every(({ attempts }) => attempts > 1) ? found : undefined
    })
    expect(entries.map(({ file_id }) => file_id)).toEqual(["v2", "v1"])
    for (const { last_error } of entries)
      expect(last_error).toBe("the policy server answered 500: unknown node a")
    await expect.poll(() => relay.log()).toMatch(/will be tried again.*unknown node a/)
    // What waits here is on its way: the agent need not send it again.
    expect(await ask()).toBe(200)
    expect(await isThere(relay, sharing)).toBe(200)

    known.add("a")
    await until("both are delivered", async () => (await entriesOf(relay)).length === 0)
    for (const [name, algorithm, ttl] of [
      ["v1", "sha256", /^1d 1h 59m \d+s$|^1d 2h$/],
      ["v2", "sha512", /^1w 1d 23h 59m \d+s$|^1w 2d$/]
    ] as const) {
      const upload = of(`a/c/${name}`)
      expect(upload?.content.equals(bytes)).toBe(true)
      expect(upload?.ttl).toMatch(ttl)
      expect(await isVerified(c, path, upload?.header.digest ?? "", algorithm)).toBe(true)
    }
    expect(await ask()).toBe(200)
    expect(await isThere(relay, sharing)).toBe(200)
    expect(leftOnDisk(relay)).toEqual([])
    // Now that it is known, the next one is there as soon as the agent has its answer; for ever is told in days.
    expect((await share(relay, sharingOf("for-ever", path))).status).toBe(200)
    expect(of("a/c/for-ever")?.content.equals(bytes)).toBe(true)
  })
})

describe("kill -9 at any moment", () => {
  const names = ["f0", "f1", "f2", "f3", "f4", "f5"]
  const contentOf = (name: string, version: number): Buffer =>
    Buffer.from(`${name} ${version}\n`.padEnd(version % 3 === 0 ? 200_000 : 20, "."))
  const versionOf = (content: Buffer): number => Number(/^\S+ (\d+)\n/.exec(content.toString())?.[1])

  /** Takes most of what it gets, each after another while, so that stops come upon it in any state. */
  const script = (passed: () => void) => {
    const seen = new Map(names.map((name) => [name, [] as number[]]))
    const taken = new Map<string, Buffer>()
    let count = 0
    const answer = async ({ fileId, content }: Upload): Promise<Reply> => {
      passed()
      seen.get(fileId)?.push(versionOf(content))
      const turn = count++
      if (turn % 5 === 3) return { status: 503 }
      if (turn % 7 === 5) return "reset"
      await new Promise((resolve) => setTimeout(resolve, turn % 4))
      taken.set(fileId, content)
      passed()
      return { status: 200 }
    }
    return { seen, taken, answer }
  }

  it("loses nothing that was acknowledged, and the policy server sees no version go backwards", async () => {
    const server = await startPolicyServer(identities.root)
    let left = Number.POSITIVE_INFINITY
    let relay: Relay
    /** Something happened; at the moment that is the round's, the relay is killed in it. */
    const passed = () => {
      if (--left === 0) relay.kill("SIGKILL")
    }
    const { seen, taken, answer } = script(passed)
    server.answer(answer)
    const config = { shared_files: { forward_wait: "30ms" } }
    relay = await startBelow(server, config)
    const { directory } = relay
    const sender = bulkSender(c, names.length)
    const acknowledged = new Map<string, number>()
    let up = Promise.resolve(relay)
    let over = false
    let sent = 0
    const upload = async (name: string) => {
      for (let version = 1; !over; version++) {
        const current = await up
        const content = contentOf(name, version)
        passed()
        sent++
        try {
          const path = `/shared-files/node/a/${name}?${sender.query(content)}`
          expect([200, 202]).toContain(await sender.post(current, path, content))
        } catch (error) {
          // Nothing but the kill may leave a sender without an answer.
          if (left > 0) throw error
          await current.exited
          continue
        }
        acknowledged.set(name, version)
        passed()
      }
    }
    const uploads = Promise.all(names.map(upload))
    const rounds = 20
    for (let round = 0; round < rounds; round++) {
      left = 4 + 3 * round
      await Promise.race([relay.exited, uploads])
      up = startBelow(server, config, directory)
      relay = await up
    }
    over = true
    left = Number.POSITIVE_INFINITY
    await uploads
    await until("nothing waits", async () => (await entriesOf(relay)).length === 0)
    const deliveries = [...seen.values()].flat().length
    console.log(`${rounds} × kill -9: ${sent} uploads begun, ${deliveries} deliveries seen`)
    for (const name of names) {
      const versions = seen.get(name) ?? []
      expect(versions).toEqual([...versions].sort((one, other) => one - other))
      const content = taken.get(name) ?? Buffer.alloc(0)
      expect(versionOf(content)).toBeGreaterThanOrEqual(acknowledged.get(name) ?? Number.NaN)
      expect(content.equals(contentOf(name, versionOf(content)))).toBe(true)
    }
    expect(leftOnDisk(relay)).toEqual([])
    sender.close()
  })
})

describe("ten thousand files that wait", () => {
  const MiB = 1024 * 1024
  const connections = 32

  it("cost no more memory than one thousand, and go as soon as somebody takes them", async () => {
    const server = await startPolicyServer(identities.root)
    server.setDown(true)
    const relay = await startBelow(server, {
      shared_files: { max_uploads_per_address: 64 },
      "shared_files.retry": { initial: "1s", max: "5min" }
    })
    const sender = bulkSender(c, connections)
    const content = Buffer.from("one of ten thousand\n".repeat(50))
    const query = sender.query(content)
    let next = 0
    const fill = async (count: number) => {
      const began = performance.now()
      const worker = async () => {
        while (next < count) {
          const path = `/shared-files/node/a/file-${next++}?${query}`
          expect(await sender.post(relay, path, content)).toBe(202)
        }
      }
      await Promise.all(Array.from({ length: connections }, worker))
      return (performance.now() - began) / 1000
    }
    await fill(1000)
    const atFirst = memory(relay.pid).now
    const filling = await fill(10_000)
    sender.close()
    expect(await amountOf(relay)).toMatchObject({ waiting: 10_000, refused: 0 })
    const waiting = memory(relay.pid).highest

    const delivered = new Set<string>()
    server.answer(({ fileId }) => {
      delivered.add(fileId)
      return { status: 200 }
    })
    server.setDown(false)
    const began = performance.now()
    await retryAll(relay)
    await until("all are delivered", () => delivered.size === 10_000, 300)
    const drain = 10_000 / ((performance.now() - began) / 1000)
    await until("nothing waits", async () => (await amountOf(relay)).waiting === 0)
    const draining = memory(relay.pid).highest

    const byHand = await sentByHand(join(relay.directory, "by-hand"), server.port, 2000, 8, content.length)
    console.log(
      `10,000 files: accepted at ${(9000 / filling).toFixed(0)}/s, delivered at ${drain.toFixed(0)}/s; ` +
        `reading, sending and removing them by hand: ${byHand.toFixed(0)}/s, ${(byHand / drain).toFixed(1)} × that\n` +
        `resident memory: ${(atFirst / MiB).toFixed(0)} MiB with 1,000; at most ${(waiting / MiB).toFixed(0)} MiB ` +
        `with 10,000, ${(draining / MiB).toFixed(0)} MiB while they go`
    )
    expect(draining - atFirst).toBeLessThan(64 * MiB)
    expect(byHand / drain).toBeLessThan(10)
    expect(leftOnDisk(relay)).toEqual([])
  }, 600_000)
})

/** How many files a second a program sends that sees to nothing else. */
const sentByHand = async (
  ...args: readonly [folder: string, port: number, count: number, connections: number, bytes: number]
): Promise<number> => {
  const script = fileURLToPath(new URL("./support/sendByHand.mjs", import.meta.url))
  const { stdout, stderr } = await command(process.execPath, [script, ...args.map(String)])
  if (stdout === "") throw new Error(stderr)
  return args[2] / Number(stdout)
}
